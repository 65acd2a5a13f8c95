"""The gallery of recipes: what each does in words and as a picture, and the button that makes it one's own."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from crm.models import Team
from crm.permissions import allows
from pipelines import pictures
from pipelines.admin.buttons import page_of
from pipelines.definition.layout import places
from pipelines.definition.picture.words import start_words, step_title, wait_words
from pipelines.operations import InvalidDocument, Refused
from pipelines.recipes.gallery import Recipe, recipes
from pipelines.recipes.listening import told
from pipelines.recipes.telling import timetable
from pipelines.recipes.using import missing, use_recipe


def recipes_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """GET shows the cards, or with `recipe` one of them closely; POST makes the chosen one a draft."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    team: Team | None = getattr(request, "team", None)
    if team is None:
        messages.warning(request, "Choose the team first that is to get the pipeline.")
        return HttpResponseRedirect(reverse("switch-team"))
    given = request.POST if request.method == "POST" else request.GET
    if "recipe" not in given:
        return _page(request, model_admin, "recipes", title="Recipes", groups=_groups())
    recipe = recipes().get(given["recipe"])
    if recipe is None:
        raise Http404
    if request.method == "POST":
        return _use(request, recipe, team)
    return _page(request, model_admin, "recipe", title=recipe.name, **_closely(recipe, team, _may(request)))


def _page(request: HttpRequest, model_admin: Any, template: str, **context: Any) -> HttpResponse:
    whole = {**model_admin.admin_site.each_context(request), "opts": model_admin.opts, **context}
    return TemplateResponse(request, f"admin/pipelines/{template}.html", whole)


def _groups() -> list[tuple[str, list[tuple[Recipe, str]]]]:
    """Cards by category, each with its thumbnail; the same document is drawn once."""
    return [
        (category, [(recipe, pictures.in_list(recipe.document)) for recipe in found])
        for category, found in groupby(recipes().values(), key=lambda recipe: recipe.category)
    ]


def _closely(recipe: Recipe, team: Team, may: Callable[[str, str], bool]) -> dict[str, Any]:
    labels = pictures.action_labels()
    return {
        "recipe": recipe,
        "drawing": pictures.on_page(recipe.document),
        "begins": start_words(recipe.document),
        "steps": [(step_title(place.step, labels), wait_words(place.step)) for place in places(recipe.document)],
        "stories": timetable(recipe),
        "told": told(recipe.document, recipe.needs.events),
        "lacking": [(each, may(each.resource, "add")) for each in missing(recipe=recipe, team=team)],
    }


def _may(request: HttpRequest) -> Callable[[str, str], bool]:
    """What whoever asks may do by the permission matrix."""
    member, user = getattr(request, "member", None), request.user
    role = member.role if member is not None else None
    return lambda resource, verb: bool(user.is_superuser) or allows(role=role, resource=resource, verb=verb)


def _use(request: HttpRequest, recipe: Recipe, team: Team) -> HttpResponse:
    try:
        used = use_recipe(recipe=recipe, team=team, may=_may(request), by=request.user)
    except (InvalidDocument, Refused) as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(f"{request.path}?recipe={recipe.key}")
    messages.success(request, f"This is “{used.pipeline.name}”, a draft: change it as you like, then activate it.")
    for each in used.made:
        messages.info(request, f"Also created, for you to change: {each.sentence}.")
    for each in used.left:
        messages.info(request, f"It works as it is; an admin of the team can define its {each.sentence}.")
    if recipe.needs.events or recipe.needs.hints:
        more = format_html('<a href="{}?recipe={}">what it needs from you</a>', request.path, recipe.key)
        messages.warning(request, format_html("Before you activate it, read {}.", more))
    return HttpResponseRedirect(page_of(used.pipeline))
