"""Buttons of the pipeline page: each asks first, acts on POST, and has a permission of its own."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant

from pipelines import operations
from pipelines.admin.activating import EXISTING, activation_of, counted
from pipelines.admin.backfilling import BackfillPages
from pipelines.admin.circuits import CircuitPages
from pipelines.admin.confirming import Choice, Question
from pipelines.admin.converting import ConversionPages
from pipelines.admin.history import VersionPages
from pipelines.admin.publishing import Dialog
from pipelines.admin.ways_in import WaysInPage
from pipelines.models import Pipeline, PipelineRun, PipelineVersion
from pipelines.models.run import FINISHED
from pipelines.operations.lifecycle import HAS_HISTORY, has_history
from pipelines.operations.planning import Policy

Status = Pipeline.Status
# Which buttons make sense in which state; everything else is hidden and refused.
FITTING: dict[str, frozenset[int]] = {
    "publish_page": frozenset({Status.DRAFT, Status.ACTIVE, Status.PAUSED}),
    "activate_page": frozenset({Status.DRAFT}),
    "pause_page": frozenset({Status.ACTIVE}),
    "resume_page": frozenset({Status.PAUSED}),
    "test_run_page": frozenset({Status.DRAFT, Status.ACTIVE, Status.PAUSED}),
    "archive_page": frozenset({Status.DRAFT, Status.ACTIVE, Status.PAUSED}),
}


class PipelineButtons(CircuitPages, VersionPages, BackfillPages, ConversionPages, WaysInPage):
    """Publish, activate, pause, resume, archive, duplicate, export and delete."""

    actions_detail: Sequence[Any] = (
        "activate_page",
        "resume_page",
        "publish_page",
        "pause_page",
        "simulate_page",
        "test_run_page",
        "ways_page",
        {"title": "More", "items": ["conversion_page", "duplicate_page", "export_document", "archive_page"]},
    )
    get_object: Any

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """Only the buttons that fit the state of the pipeline."""
        found = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        pipeline = self.get_object(request, str(object_id))
        if pipeline is None:
            return []
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        return [each for each in found if fits(each.action_name.removeprefix(prefix), pipeline)]

    @action(description="Publish", icon="rocket_launch", permissions=["publish"], url_path="publish")
    def publish_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pipeline = self._fitting(request, object_id, "publish_page")
        back = page_of(pipeline)
        if request.method != "POST":
            dialog = Dialog.of(pipeline)
            return self.ask_to_publish(request, dialog, title="Publish this pipeline?", back=back)
        note, force = request.POST.get("note", "").strip(), request.POST.get("force") == "1"

        def act(policy: Policy | None) -> PipelineVersion:
            return operations.publish(pipeline=pipeline, by=request.user, note=note, policy=policy, force=force)

        return self.publish_as_answered(request, pipeline, act=act, back=back, before=pipeline.current_version_id)

    @action(
        description="Activate", icon="play_arrow", permissions=["activate"], url_path="activate",
        variant=ActionVariant.PRIMARY,
    )  # fmt: skip
    def activate_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pipeline = self._fitting(request, object_id, "activate_page")
        question = activation_of(pipeline)

        def perform(choice: str) -> str:
            operations.activate(pipeline=pipeline, by=request.user, existing=choice == EXISTING)
            entering = " Those who fit already enter in the next minutes." if choice == EXISTING else ""
            return f"“{pipeline.name}” is active.{entering}"

        return self.ask(request, target=pipeline, question=question, perform=perform, back=page_of(pipeline))

    @action(description="Pause", icon="pause", permissions=["activate"], url_path="pause")
    def pause_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pipeline = self._fitting(request, object_id, "pause_page")
        question = Question(
            "Pause this pipeline?",
            [
                "Nothing is enrolled and no step runs until you resume it.",
                f"{counted(live_runs(pipeline), 'run stays', 'runs stay')} where they are; nothing is lost.",
            ],
            "Pause",
        )

        def perform(_: str) -> str:
            operations.pause(pipeline=pipeline, by=request.user)
            return f"“{pipeline.name}” is paused."

        return self.ask(request, target=pipeline, question=question, perform=perform, back=page_of(pipeline))

    @action(
        description="Resume", icon="play_arrow", permissions=["activate"], url_path="resume",
        variant=ActionVariant.PRIMARY,
    )  # fmt: skip
    def resume_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pipeline = self._fitting(request, object_id, "resume_page")
        overdue = (
            PipelineRun.objects.filter(pipeline=pipeline, next_step_at__gte=pipeline.paused_at)
            if pipeline.paused_at
            else PipelineRun.objects.filter(pipeline=pipeline, next_step_at__isnull=False)
        )
        question = Question(
            "Resume this pipeline?",
            [f"{counted(overdue.count(), 'run has', 'runs have')} a step planned after the pause began."],
            "Resume",
            choices=(
                Choice("now", "Keep the planned times", "What came due during the pause runs at once."),
                Choice(
                    "shift", "Shift by the length of the pause", "Everything happens later by as long as it paused."
                ),
            ),
        )

        def perform(choice: str) -> str:
            operations.resume(pipeline=pipeline, shift=choice == "shift", by=request.user)
            return f"“{pipeline.name}” is active again."

        return self.ask(request, target=pipeline, question=question, perform=perform, back=page_of(pipeline))

    @action(
        description="Archive", icon="archive", permissions=["activate"], url_path="archive",
        variant=ActionVariant.DANGER,
    )  # fmt: skip
    def archive_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pipeline = self._fitting(request, object_id, "archive_page")
        live = live_runs(pipeline)
        question = Question(
            "Archive this pipeline?",
            [
                "This cannot be undone. An archived pipeline enrolls nothing and cannot be edited;"
                " duplicate it to go on.",
                f"{counted(live, 'run is', 'runs are')} still on the way.",
            ],
            "Archive",
            danger=True,
            choices=(
                Choice("finish", "Let the runs finish", "They go on to their end; nobody new comes in."),
                Choice("cancel", "Cancel the runs", "They stop where they are, now."),
            )
            if live
            else (),
        )

        def perform(choice: str) -> str:
            # Without live runs there was nothing to choose; a run that began meanwhile is refused.
            runs: Any = choice or None
            operations.archive(pipeline=pipeline, runs=runs, by=request.user)
            return f"“{pipeline.name}” is archived."

        return self.ask(request, target=pipeline, question=question, perform=perform, back=page_of(pipeline))

    @action(description="Duplicate", icon="content_copy", permissions=["add"], url_path="duplicate")
    def duplicate_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pipeline = self._fitting(request, object_id, "duplicate_page")
        question = Question(
            "Duplicate this pipeline?", ["A draft with the same steps and triggers is made."], "Duplicate"
        )
        made: list[Pipeline] = []

        def perform(_: str) -> str:
            made.append(operations.duplicate(pipeline=pipeline, by=request.user))
            return f"This is “{made[0].name}”, a draft."

        answer = self.ask(request, target=pipeline, question=question, perform=perform, back=page_of(pipeline))
        return HttpResponseRedirect(page_of(made[0])) if made else answer

    @action(description="Export", icon="download", permissions=["export"], url_path="export")
    def export_document(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pipeline = self._fitting(request, object_id, "export_document")
        answer = HttpResponse(operations.export_document(pipeline=pipeline), content_type="application/json")
        answer["Content-Disposition"] = f'attachment; filename="{pipeline.key}.json"'
        return answer

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Deleting is for pipelines that never ran; the rest is archived."""
        pipeline = self._fitting(request, object_id, "delete")
        if not self.has_delete_permission(request, pipeline):  # type: ignore[attr-defined]
            raise Http404
        if request.method != "POST" and has_history(pipeline):
            messages.error(request, HAS_HISTORY)
            return HttpResponseRedirect(page_of(pipeline))
        question = Question(
            "Delete this pipeline?",
            ["Its steps, triggers and versions go with it. This cannot be undone."],
            "Delete",
            danger=True,
        )

        def perform(_: str) -> str:
            operations.delete_pipeline(pipeline=pipeline, by=request.user)
            return f"“{pipeline.name}” was deleted."

        answer = self.ask(request, target=pipeline, question=question, perform=perform, back=page_of(pipeline))
        gone = request.method == "POST" and not Pipeline.objects.filter(pk=object_id).exists()
        return HttpResponseRedirect(reverse("admin:pipelines_pipeline_changelist")) if gone else answer

    def _fitting(self, request: HttpRequest, object_id: str, name: str) -> Pipeline:
        pipeline = self.get_object(request, object_id)
        if pipeline is None or not fits(name, pipeline):
            raise Http404("There is no such pipeline, or it is in another state.")
        found: Pipeline = pipeline
        return found


def fits(name: str, pipeline: Pipeline) -> bool:
    """Whether a button makes sense in the state the pipeline is in."""
    return pipeline.status in FITTING.get(name, frozenset(Status))


def live_runs(pipeline: Pipeline) -> int:
    """Runs that have not ended."""
    return PipelineRun.objects.filter(pipeline=pipeline, parent=None).exclude(status__in=FINISHED).count()


def page_of(pipeline: Pipeline) -> str:
    """The address of a pipeline's page."""
    return reverse("admin:pipelines_pipeline_change", args=(pipeline.pk,))
