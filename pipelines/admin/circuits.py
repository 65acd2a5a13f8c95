"""The two buttons beside a step that fails for too many: try it again, or let its runs fail."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from pipelines import operations
from pipelines.admin.activating import counted
from pipelines.admin.confirming import Confirming, Question
from pipelines.circuits import Circuit, circuits_of
from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline


class CircuitPages(Confirming):
    """Whoever may pause a pipeline may do either, after a question."""

    get_object: Any
    has_activate_permission: Any

    def get_urls(self) -> list[URLPattern]:
        """The questions before the pages of the model itself."""
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/circuit/<slug:step>/again/", wrap(self.again_view), name="pipelines_circuit_again"),
            path("<int:pk>/circuit/<slug:step>/let-fail/", wrap(self.let_view), name="pipelines_circuit_let"),
        ]
        inherited: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [*own, *inherited]

    def again_view(self, request: HttpRequest, pk: int, step: str) -> HttpResponse:
        """A few first; all others when those pass."""
        pipeline, circuit = self._kept(request, pk, step)
        question = Question(
            f"Try “{circuit.name}” again?",
            [
                "Up to three go through now. When most of them pass, all others follow; else they wait on.",
                f"{counted(circuit.waiting, 'run waits', 'runs wait')} at this step, and nobody's tries are used up.",
            ],
            "Try again",
        )

        def perform(_: str) -> str:
            operations.try_step_again(pipeline=pipeline, step=step, by=request.user)
            return f"“{circuit.name}” is tried again now."

        return self.ask(request, target=pipeline, question=question, perform=perform, back=_page(pipeline))

    def let_view(self, request: HttpRequest, pk: int, step: str) -> HttpResponse:
        """Everybody who waits, whatever becomes of them."""
        pipeline, circuit = self._kept(request, pk, step)
        question = Question(
            f"Let runs fail at “{circuit.name}”?",
            [
                f"{counted(circuit.waiting, 'run that waits goes', 'runs that wait go')} on now, and will fail if the "
                "cause is not mended. Failed runs can be tried again later, all together.",
                "For a day nobody is kept before this step, whatever fails there.",
            ],
            "Let them fail",
            danger=True,
        )

        def perform(_: str) -> str:
            operations.let_step_fail(pipeline=pipeline, step=step, by=request.user)
            return f"Nobody is kept before “{circuit.name}” for a day."

        return self.ask(request, target=pipeline, question=question, perform=perform, back=_page(pipeline))

    def _kept(self, request: HttpRequest, pk: int, step: str) -> tuple[Pipeline, Circuit]:
        pipeline = self.get_object(request, str(pk)) if self.has_activate_permission(request) else None
        found = circuits_of(pipeline=pipeline, now=engine_now()) if pipeline is not None else []
        circuit = next((each for each in found if each.step == step and each.state != "off"), None)
        if pipeline is None or circuit is None:
            raise Http404("This step keeps nobody, or you may not decide about it.")
        return pipeline, circuit


def _page(pipeline: Pipeline) -> str:
    return reverse("admin:pipelines_pipeline_change", args=(pipeline.pk,))
