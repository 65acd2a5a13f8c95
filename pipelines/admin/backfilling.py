"""Giving a new step to those who have passed its place: offered after a publish, asked before it happens."""

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from pipelines import operations
from pipelines.actions.registry import title_of
from pipelines.admin.confirming import Choice, Confirming, Question
from pipelines.definition.layout import places
from pipelines.models import Pipeline, PipelineVersion
from pipelines.operations import Refused
from pipelines.operations.backfilling import Passed

MOST_OFFERED: Final = 3


def offer_backfill(request: HttpRequest, *, pipeline: Pipeline, before: int | None, after: PipelineVersion) -> None:
    """Say of each step that a version added how many have passed it, with a link to give it to them."""
    old = PipelineVersion.objects.filter(pk=before).values_list("document", flat=True).first() if before else None
    if old is None:
        return
    known = {place.key for place in places(old)}
    added = [place for place in places(after.document) if place.key not in known]
    for place in added[:MOST_OFFERED]:
        found = operations.preview_backfill(pipeline=pipeline, step=place.key)
        if found.on_the_way:
            address = reverse("admin:pipelines_pipeline_backfill", args=(pipeline.pk, place.key))
            who, verb, skip = _counted(found.on_the_way)
            sentence = (
                '{} on the way {} passed “{}” already and {} it. <a class="pl-link" href="{}">Give it to them too</a>'
            )
            messages.info(request, format_html(sentence, who, verb, title_of(place.step), skip, address))


def _counted(people: int) -> tuple[str, str, str]:
    return ("1 person", "has", "skips") if people == 1 else (f"{people:,} people", "have", "skip")


class BackfillPages(Confirming):
    """The question for one step; whoever may publish may answer it."""

    get_object: Any
    has_publish_permission: Any

    def get_urls(self) -> list[URLPattern]:
        """The page of a step before those of the model itself."""
        wrap = self.admin_site.admin_view
        own = path("<int:pk>/backfill/<slug:step>/", wrap(self.backfill_view), name="pipelines_pipeline_backfill")
        inherited: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [own, *inherited]

    def backfill_view(self, request: HttpRequest, pk: int, step: str) -> HttpResponse:
        """Who has passed the step, and who of them is to get it."""
        pipeline: Pipeline | None = self.get_object(request, str(pk))
        if pipeline is None or not self.has_publish_permission(request):
            raise Http404("There is no such pipeline, or you may not publish it.")
        try:
            found = operations.preview_backfill(pipeline=pipeline, step=step)
        except Refused as error:
            raise Http404(str(error)) from None

        back = reverse("admin:pipelines_pipeline_change", args=(pipeline.pk,))
        if not (found.on_the_way or found.completed):
            messages.info(request, f"Nobody has passed “{found.name}” without it: who comes to it gets it by itself.")
            return HttpResponseRedirect(back)

        def perform(choice: str) -> str:
            done = operations.backfill(pipeline=pipeline, step=step, completed=choice == "all", by=request.user)
            more = " There are more: do it again for the rest." if done.left else ""
            who, gets = ("1 person", "gets") if done.done == 1 else (f"{done.done:,} people", "get")
            return f"{who} {gets} “{found.name}” now.{more}"

        return self.ask(request, target=found.name, question=_question(found), perform=perform, back=back)


def _those(people: int) -> str:
    return "The one who is" if people == 1 else f"The {people:,} who are"


def _question(found: Passed) -> Question:
    through = f"{_those(found.completed)} through it already"
    also = f"Also {through[0].lower()}{through[1:]}" if found.on_the_way else through
    live = Choice("live", f"{_those(found.on_the_way)} on the way", "Those who completed the pipeline do not.")
    choices = [live] if found.on_the_way else []
    choices += [Choice("all", also, "Everybody who has passed this step.")] if found.completed else []
    return Question(
        "Give this step to those who have passed it?",
        [
            "They get this step at once and nothing else; where they are, and their times, stay as they are.",
            "Each of them gets it at most once, however often this is done.",
        ],
        "Give it to them",
        choices=choices,
    )
