"""Ends runs and everything they wait for, whoever decided it."""

from collections.abc import Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Case, CharField, F, QuerySet, UUIDField, Value, When
from django.db.models.functions import Cast, Substr
from django.db.models.lookups import In

from crm.models import Message
from pipelines.engine.cursor import KEPT_VERSION, SIDE_VERSION
from pipelines.engine.outgoing.hearing import tell_of_endings
from pipelines.engine.task_closing import close_tasks
from pipelines.models import Effect, EventWait, PipelineRun
from pipelines.states import RunPhase, RunStatus
from pipelines.subjects import among

ACTIVE = (RunStatus.PENDING.value, RunStatus.RUNNING.value, RunStatus.WAITING.value)
LIVE = (*ACTIVE, RunStatus.PAUSED.value)
MAX_LEVELS = 64
# Why a child has ended that still ran when its block was over.
CALLED_OFF = "block_over"


def with_descendants(run_ids: Sequence[int]) -> list[int]:
    """These runs and every run below them that has not ended; a statement for each level of blocks."""
    found = set(run_ids)
    level = list(found)
    for _ in range(MAX_LEVELS):
        rows = PipelineRun.objects.filter(parent_id__in=among(level), finished_at__isnull=True)
        level = [pk for pk in rows.values_list("pk", flat=True) if pk not in found]
        if not level:
            break
        found.update(level)
    return sorted(found)


def locked(run_ids: Sequence[int], statuses: Sequence[int] = LIVE) -> QuerySet[PipelineRun]:
    """The runs in these states, locked from the youngest on: children before those who wait for them."""
    runs = PipelineRun.objects.filter(pk__in=among(run_ids), status__in=statuses).order_by("-pk")
    return runs.select_for_update() if connection.vendor == "postgresql" else runs


def end_runs(
    run_ids: Sequence[int],
    *,
    now: datetime,
    reason: str,
    status: RunStatus = RunStatus.CANCELLED,
    outcome: str | None = None,
) -> None:
    """End locked runs and call off what they wait for; answers that still come in change nothing."""
    PipelineRun.objects.filter(pk__in=among(run_ids)).update(
        status=status.value,
        reason=reason[:60],
        outcome=outcome,
        finished_at=now,
        next_step_at=None,
        # Whoever is let go on later still has to wait for its step as long as it had to.
        held_until=Case(When(status=RunStatus.PENDING, phase=RunPhase.ENTER, then=F("next_step_at")), default=None),
        # And whoever had no date for its step yet is still asked for it.
        phase=Case(When(phase=RunPhase.RESCHEDULE, then=F("phase")), default=RunPhase.ENTER.value),
        open_children=0,
        last_step_id=F("step_id"),
        dedup=kept_key(),
    )
    call_off(run_ids, now=now)
    tell_of_endings(run_ids, now=now)


def end_trees(
    run_ids: Sequence[int],
    *,
    now: datetime,
    reason: str,
    status: RunStatus = RunStatus.CANCELLED,
    outcome: str | None = None,
) -> list[int]:
    """End runs as told, with everything below them; the ids of all that were live."""
    wanted = set(run_ids)
    ids = locked_trees(run_ids)
    tops, below = [pk for pk in ids if pk in wanted], [pk for pk in ids if pk not in wanted]
    if tops:
        end_runs(tops, now=now, reason=reason, status=status, outcome=outcome)
    if below:
        end_runs(below, now=now, reason=reason)
    return ids


def locked_trees(run_ids: Sequence[int]) -> list[int]:
    """The live runs of these trees, locked, and with them whatever began in one of them while its lock was waited for.

    Nobody waits for a child while holding the lock of its parent, so where there are more the locks are given back.
    """
    for _ in range(MAX_LEVELS):
        before = transaction.savepoint()
        ids = list(locked(with_descendants(run_ids)).values_list("pk", flat=True))
        begun = PipelineRun.objects.filter(parent_id__in=among(ids), finished_at=None).exclude(pk__in=among(ids))
        if not begun.exists():
            break
        transaction.savepoint_rollback(before)
    transaction.savepoint_commit(before)
    return ids


def call_off(run_ids: Sequence[int], *, now: datetime) -> None:
    """Work not yet begun is called off; what is under way cannot be called back."""
    waiting = Effect.objects.filter(run_id__in=among(run_ids), status__in=[Effect.Status.QUEUED, Effect.Status.LEASED])
    waiting.update(status=Effect.Status.CANCELLED, finished_at=now, lease_until=None)
    queued = Message.objects.filter(run_id__in=among(run_ids), state=Message.State.QUEUED)
    queued.update(state=Message.State.CANCELLED)
    waits = EventWait.objects.filter(run_id__in=among(run_ids), status=EventWait.Status.OPEN)
    waits.update(status=EventWait.Status.CANCELLED, finished_at=now)
    close_tasks(now=now, run_ids=run_ids)


def kept_key() -> Case:
    """The re-entry key stays where its policy says so, which its UUID version tells."""
    text = Cast("dedup", CharField())
    digit = Substr(text, 15 if connection.vendor == "postgresql" else 13, 1)
    return Case(
        When(In(digit, [str(KEPT_VERSION), str(SIDE_VERSION)]), then=F("dedup")),
        default=Value(None),
        output_field=UUIDField(null=True),
    )
