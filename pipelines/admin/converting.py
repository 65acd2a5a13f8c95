"""The page of a pipeline's goals and tests, and the question before a test is ended."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.decorators import action

from pipelines import operations
from pipelines.admin.confirming import Confirming, Question
from pipelines.conversion import conversion
from pipelines.models import Pipeline


class ConversionPages(Confirming):
    """Goals and tests; whoever may publish may end a test."""

    get_object: Any
    has_publish_permission: Any

    def get_urls(self) -> list[URLPattern]:
        """The question before the pages of the model itself."""
        view = self.admin_site.admin_view(self.winner_view)
        own = path("<int:pk>/winner/<slug:step>/<slug:variant>/", view, name="pipelines_pipeline_winner")
        inherited: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        view = self.admin_site.admin_view(self.reopen_view)
        back = path("<int:pk>/reopen/<slug:step>/", view, name="pipelines_pipeline_reopen")
        return [own, back, *inherited]

    @action(description="Goals and tests", icon="flag", permissions=["view"], url_path="conversion")
    def conversion_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """How many reached each goal, what it was worth, and which variant leads."""
        pipeline = self._of(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Goals and tests of {pipeline.name}",
            "pipeline": pipeline,
            "found": conversion(pipeline=pipeline),
            "may_choose": self.has_publish_permission(request),
        }
        return TemplateResponse(request, "admin/pipelines/conversion.html", context)

    def winner_view(self, request: HttpRequest, pk: int, step: str, variant: str) -> HttpResponse:
        """Ask, then give everybody one variant."""
        pipeline = self._of(request, pk)
        if not self.has_publish_permission(request):
            raise Http404("You may not publish this pipeline.")
        question = Question(
            f"Give everybody “{variant}” from now on?",
            [
                f"Whoever comes to the split “{step}” takes “{variant}”. This is published as a new version.",
                *_how_sure(pipeline, step),
                "Those who drew another variant before go on where they are.",
                "It can be taken back on the page of goals and tests.",
            ],
            f"Choose “{variant}”",
        )

        def perform(_: str) -> str:
            operations.choose_winner(pipeline=pipeline, step=step, variant=variant, by=request.user)
            return f"Everybody who comes to “{step}” takes “{variant}” now."

        back = reverse("admin:pipelines_pipeline_conversion_page", args=(pipeline.pk,))
        return self.ask(request, target=pipeline, question=question, perform=perform, back=back)

    def reopen_view(self, request: HttpRequest, pk: int, step: str) -> HttpResponse:
        """Ask, then let a split draw as before."""
        pipeline = self._of(request, pk)
        if not self.has_publish_permission(request):
            raise Http404("You may not publish this pipeline.")
        question = Question(
            "Take the choice back?",
            [
                f"The split “{step}” draws again with the weights it had. This is published as a new version.",
                "Those who took the chosen variant meanwhile go on where they are.",
            ],
            "Draw again",
        )

        def perform(_: str) -> str:
            operations.reopen_test(pipeline=pipeline, step=step, by=request.user)
            return f"“{step}” draws among its variants again."

        back = reverse("admin:pipelines_pipeline_conversion_page", args=(pipeline.pk,))
        return self.ask(request, target=pipeline, question=question, perform=perform, back=back)

    def _of(self, request: HttpRequest, pk: int | str) -> Pipeline:
        pipeline: Pipeline | None = self.get_object(request, str(pk))
        if pipeline is None:
            raise Http404("There is no such pipeline.")
        return pipeline


def _how_sure(pipeline: Pipeline, step: str) -> list[str]:
    """What is known so far: how sure each goal is about the lead, and how many went each way."""
    contests = [contest for contest in conversion(pipeline=pipeline).contests if contest.step == step]
    others = [f"{each.runs:,} “{each.name}”" for each in contests[0].variants] if contests else []
    told = [f"By “{contest.goal}”: {contest.verdict}" if contest.goal else contest.verdict for contest in contests]
    return [*told, f"So far {', '.join(others)}."] if others else told
