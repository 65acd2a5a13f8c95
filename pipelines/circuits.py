"""Circuits of a pipeline's steps as people and programs read them."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from pipelines.models import Pipeline, PipelineRun, StepCircuit
from pipelines.states import RunStatus


@dataclass(frozen=True, slots=True)
class Circuit:
    """A step that fails for too many, or that people let fail; `waiting` runs are kept by it.

    `state` is open, trial or off; at `next_at` a few are let through, or the step is watched again.
    """

    step: str
    name: str
    state: str
    opened_at: datetime
    next_at: datetime
    failed: int
    reached: int
    error: str
    waiting: int


def circuits_of(*, pipeline: Pipeline, now: datetime) -> list[Circuit]:
    """Circuits that are not closed, the oldest first; at most two statements."""
    rows = list(StepCircuit.objects.filter(step__pipeline=pipeline).select_related("step").order_by("opened_at", "pk"))
    if not rows:
        return []
    kept = Q(status=RunStatus.PENDING, next_step_at__lte=now) | Q(status=RunStatus.RUNNING)
    standing = PipelineRun.objects.real().filter(kept, step_id__in=[row.pk for row in rows], next_step_at__isnull=False)
    waiting = dict(standing.order_by().values_list("step_id").annotate(n=Count("pk")))
    return [
        Circuit(
            step=row.step.key,
            name=row.step.name or row.step.key,
            state=row.get_state_display(),
            opened_at=row.opened_at,
            next_at=row.retry_at,
            failed=row.failed,
            reached=row.reached,
            error=row.code,
            waiting=0 if row.state == StepCircuit.State.LET else waiting.get(row.pk, 0),
        )
        for row in rows
    ]


def is_kept(run: PipelineRun, *, now: datetime) -> bool:
    """Whether the open circuit of its step keeps a run that is due, or what the run has asked for."""
    if run.next_step_at is None or (run.status == RunStatus.PENDING and run.next_step_at > now):
        return False
    return StepCircuit.objects.filter(pk=run.step_id).exclude(state=StepCircuit.State.LET).exists()
