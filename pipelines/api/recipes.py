"""The gallery of recipes: what there is, what each promises and needs, and making one the team's own."""

from functools import partial
from typing import Any

from django.db import transaction
from django.http import Http404
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.filters import refuse_unknown
from crm.api.permissions import may
from crm.scoping import TeamScopedView
from pipelines.api.errors import told
from pipelines.api.shapes import PipelineDetailSerializer
from pipelines.recipes.gallery import Recipe, recipes
from pipelines.recipes.telling import timetable
from pipelines.recipes.using import missing, use_recipe

CARD: dict[str, serializers.Field[Any, Any, Any, Any]] = {
    "key": serializers.CharField(),
    "name": serializers.CharField(),
    "category": serializers.CharField(),
    "summary": serializers.CharField(),
    "needs": serializers.DictField(),
}
STORY = inline_serializer(
    "RecipeStory",
    {
        "name": serializers.CharField(),
        "lines": serializers.ListField(child=serializers.DictField(child=serializers.CharField(allow_blank=True))),
    },
)


class RecipesView(TeamScopedView):
    """Every recipe, by category and name."""

    resource = "pipelines"
    verbs = {"get": "view"}

    @extend_schema(
        operation_id="recipes_list",
        responses=inline_serializer("Recipes", {"results": inline_serializer("RecipeCard", CARD, many=True)}),
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request=request, known=set())
        return Response({"results": [_card(recipe) for recipe in recipes().values()]})


class RecipeView(TeamScopedView):
    """One recipe with its document, its timetable in words, and what the team does not have yet."""

    resource = "pipelines"
    verbs = {"get": "view"}

    @extend_schema(
        responses=inline_serializer(
            "Recipe",
            {
                **CARD,
                "missing": serializers.DictField(child=serializers.ListField(child=serializers.CharField())),
                "timetable": serializers.ListField(child=STORY),
                "document": serializers.DictField(),
            },
        )
    )
    def get(self, request: Request, key: str) -> Response:
        refuse_unknown(request=request, known=set())
        recipe = _named(key)
        lacking = {each.resource: [row.key for row in each.rows] for each in missing(recipe=recipe, team=self.team)}
        return Response(
            {**_card(recipe), "missing": lacking, "timetable": _timetable(recipe), "document": recipe.document}
        )


class UseRecipeView(TeamScopedView):
    """A draft of the team from a recipe, with the templates, segments and types of records that it lacks."""

    resource = "pipelines"
    verbs = {"post": "add"}

    @extend_schema(
        request=None,
        responses={
            201: inline_serializer(
                "UsedRecipe",
                {
                    "pipeline": PipelineDetailSerializer(),
                    "created": serializers.DictField(child=serializers.ListField(child=serializers.CharField())),
                },
            )
        },
    )
    def post(self, request: Request, key: str) -> Response:
        recipe = _named(key)
        if request.data:
            raise ValidationError({"": ["Send nothing: change the draft afterwards."]})
        by = request.user if getattr(request.user, "pk", None) else self.key
        with told(), transaction.atomic():
            used = use_recipe(recipe=recipe, team=self.team, may=partial(_may, self.key), by=by)
        shown = PipelineDetailSerializer(used.pipeline, context={"request": request, "view": self}).data
        created = {each.resource: [row.key for row in each.rows] for each in used.made}
        return Response({"pipeline": shown, "created": created}, status=201)


def _may(key: Any, resource: str, verb: str) -> bool:
    return may(key=key, resource=resource, verb=verb)


def _named(key: str) -> Recipe:
    recipe = recipes().get(key)
    if recipe is None:
        raise Http404
    return recipe


def _card(recipe: Recipe) -> dict[str, Any]:
    return {
        "key": recipe.key,
        "name": recipe.name,
        "category": recipe.category,
        "summary": recipe.summary,
        "needs": recipe.needs.as_dict(),
    }


def _timetable(recipe: Recipe) -> list[dict[str, Any]]:
    return [
        {"name": story.name, "lines": [{"when": line.when, "sentence": line.sentence} for line in story.lines]}
        for story in timetable(recipe)
    ]
