"""Draft → active ⇄ paused → archived, and the end of a pipeline that never ran."""

from datetime import datetime
from typing import Final, Literal

from django.db import transaction
from django.db.models import F

from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.engine.controls import cancel_pipeline_runs
from pipelines.models import Pipeline, PipelineRun
from pipelines.models.run import FINISHED
from pipelines.operations.existing import enroll_existing
from pipelines.operations.gates import Asked, ask_ahead
from pipelines.operations.publishing import publish
from pipelines.operations.records import arm_triggers, audit, change, lock
from pipelines.operations.refusals import Refused

Status = Pipeline.Status
HAS_HISTORY: Final = "This pipeline has runs, and their history is kept: archive it instead."


def activate(
    *,
    pipeline: Pipeline,
    by: object = None,
    now: datetime | None = None,
    force: bool = False,
    asked: Asked | None = None,
    existing: bool = False,
) -> None:
    """Let subjects in; publishes first where needed and refuses without a valid version.

    With `existing` the engine also takes in the records that fit its triggers already.

    What a document promises is played before the pipeline is locked, or was `asked` by the caller.
    """
    moment = now or engine_now()
    publishes = pipeline.auto_publish or pipeline.current_version_id is None
    if publishes and not force and asked is None and pipeline.status != Status.ARCHIVED:
        asked = ask_ahead(pipeline=pipeline, document=document_of(pipeline))
    with transaction.atomic():
        if pipeline.status == Status.ARCHIVED:
            raise Refused("An archived pipeline cannot be activated: duplicate it instead.")
        if publishes:
            publish(pipeline=pipeline, by=by, now=moment, force=force, asked=asked)
        if pipeline.status != Status.ACTIVE:
            lock(pipeline)
            change(pipeline, by, status=Status.ACTIVE, paused_at=None)
            arm_triggers(pipeline, again=True)
            audit(pipeline, "activate", by)
        if existing:
            enroll_existing(pipeline=pipeline, by=by, now=moment)


def pause(*, pipeline: Pipeline, by: object = None, now: datetime | None = None) -> None:
    """Stop enrolling and moving; no run is touched, so resuming loses nothing."""
    if pipeline.status == Status.PAUSED:
        return
    _require(pipeline, Status.ACTIVE, "Only an active pipeline can be paused.")
    with transaction.atomic():
        lock(pipeline)
        change(pipeline, by, status=Status.PAUSED, paused_at=now or engine_now())
        audit(pipeline, "pause", by)


def resume(*, pipeline: Pipeline, shift: bool = False, by: object = None, now: datetime | None = None) -> None:
    """Go on: what came due meanwhile runs now, or everything moves by the time of the pause."""
    if pipeline.status == Status.ACTIVE:
        return
    _require(pipeline, Status.PAUSED, "Only a paused pipeline can be resumed.")
    moment = now or engine_now()
    with transaction.atomic():
        lock(pipeline)
        shifted = _shift(pipeline, moment) if shift else 0
        change(pipeline, by, status=Status.ACTIVE, paused_at=None)
        # Records made during the pause were not to enter, so the sweep must not fetch them.
        arm_triggers(pipeline, again=True)
        audit(pipeline, "resume", by, shifted=shifted)


def archive(
    *,
    pipeline: Pipeline,
    runs: Literal["cancel", "finish"] | None = None,
    by: object = None,
    now: datetime | None = None,
) -> None:
    """Close the pipeline for good; with live runs someone must say what becomes of them."""
    if pipeline.status == Status.ARCHIVED:
        return
    with transaction.atomic():
        lock(pipeline)
        live = PipelineRun.objects.filter(pipeline=pipeline).exclude(status__in=FINISHED)
        if runs is None and live.exists():
            raise Refused("Runs are still on their way: say runs=cancel or runs=finish.")
        cancelled = 0
        if runs == "cancel":
            cancelled = cancel_pipeline_runs(pipeline=pipeline, by=by, reason="pipeline_archived")
        if pipeline.paused_at is not None and runs == "finish":
            _shift(pipeline, now or engine_now())
        change(pipeline, by, status=Status.ARCHIVED, paused_at=None)
        audit(pipeline, "archive", by, runs=runs or "none", cancelled=cancelled)


def has_history(pipeline: Pipeline) -> bool:
    """Whether anybody ever entered, so that it can be archived only."""
    return bool(pipeline.enrolled_total) or PipelineRun.objects.filter(pipeline=pipeline).exists()


def delete_pipeline(*, pipeline: Pipeline, by: object = None) -> None:
    """Remove a pipeline that never ran; history is archived, never deleted."""
    with transaction.atomic():
        lock(pipeline)
        if has_history(pipeline):
            raise Refused(HAS_HISTORY)
        audit(pipeline, "delete", by, name=pipeline.name)
        Pipeline.objects.filter(pk=pipeline.pk).update(status=Status.ARCHIVED, current_version=None)
        pipeline.versions.all().delete()
        Pipeline.objects.filter(pk=pipeline.pk).delete()


def _require(pipeline: Pipeline, status: Pipeline.Status, sentence: str) -> None:
    if pipeline.status != status:
        raise Refused(f"{sentence} This one is {pipeline.get_status_display().lower()}.")


def _shift(pipeline: Pipeline, now: datetime) -> int:
    if pipeline.paused_at is None or now <= pipeline.paused_at:
        return 0
    due = PipelineRun.objects.filter(pipeline=pipeline, next_step_at__isnull=False)
    return due.update(next_step_at=F("next_step_at") + (now - pipeline.paused_at))
