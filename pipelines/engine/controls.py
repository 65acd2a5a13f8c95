"""What an operator may do to runs: pause, resume, cancel; retrying and replaying have files of their own."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Greatest

from crm.models import Message
from pipelines.engine.clock import engine_now
from pipelines.engine.ending import ACTIVE, LIVE, end_trees, locked
from pipelines.engine.kick import kick
from pipelines.engine.kinds import KINDS
from pipelines.engine.retrying import retry_runs
from pipelines.engine.store import store
from pipelines.models import Effect, Pipeline, PipelineRun
from pipelines.states import RunPhase, RunStatus

__all__ = ["cancel_pipeline_runs", "cancel_runs", "pause_runs", "resume_runs", "retry_runs", "send_again"]


def pause_runs(*, run_ids: Sequence[int], by: Any = None) -> int:
    """Stop runs where they are; the time they had left is kept."""
    with transaction.atomic():
        ids = list(locked(run_ids, ACTIVE).values_list("pk", flat=True))
        return PipelineRun.objects.filter(pk__in=ids).update(
            status=RunStatus.PAUSED.value, held_until=F("next_step_at"), next_step_at=None
        )


def resume_runs(*, run_ids: Sequence[int], by: Any = None) -> int:
    """Let paused runs go on: at the time they had, or now when it has passed."""
    now = engine_now()
    with transaction.atomic():
        ids = list(locked(run_ids, [RunStatus.PAUSED.value]).values_list("pk", flat=True))
        flying = set(
            Effect.objects.filter(run_id__in=ids, seq=F("run__seq"), status__in=[0, 1, 2]).values_list(
                "run_id", flat=True
            )
        )
        runs = PipelineRun.objects.filter(pk__in=ids)
        due = Greatest(Coalesce(F("held_until"), now), now)
        runs.filter(pk__in=flying).update(status=RunStatus.RUNNING.value, next_step_at=due, held_until=None)
        others = runs.exclude(pk__in=flying)
        # Without a deadline a waiting run is due at no time.
        waiting = others.filter(phase=RunPhase.WAIT.value)
        waiting.filter(held_until=None).update(status=RunStatus.WAITING.value)
        waiting.exclude(held_until=None).update(status=RunStatus.WAITING.value, next_step_at=due, held_until=None)
        # An answer has come meanwhile: a block keeps the time by which it has to be over.
        others.filter(phase=RunPhase.RESUME.value).update(status=RunStatus.PENDING.value, next_step_at=now)
        others.exclude(phase__in=[RunPhase.WAIT.value, RunPhase.RESUME.value]).update(
            status=RunStatus.PENDING.value, next_step_at=due, held_until=None
        )
        transaction.on_commit(kick)
    return len(ids)


def cancel_runs(*, run_ids: Sequence[int], by: Any = None, reason: str = "cancelled") -> int:
    """End runs, all below them and what they wait for; answers that still come in change nothing."""
    now = engine_now()
    with transaction.atomic():
        ids = end_trees(run_ids, now=now, reason=reason)
        # Whoever waits for a run that was ended by itself is told.
        store().count_down(ids, now=now)
        transaction.on_commit(kick)
    return len(ids)


def cancel_pipeline_runs(*, pipeline: Pipeline, by: Any = None, reason: str = "pipeline archived") -> int:
    """End every live run of a pipeline, some thousands at a time."""
    total = 0
    while True:
        live = PipelineRun.objects.filter(pipeline=pipeline, status__in=LIVE).values_list("pk", flat=True)[:2000]
        ids = list(live)
        if not ids:
            return total
        total += cancel_runs(run_ids=ids, by=by, reason=reason)


def send_again(*, message: Message) -> bool:
    """Queue a message again, as a person decided who does not know whether it arrived."""
    now = engine_now()
    if message.run_id is None:
        return False
    with transaction.atomic():
        mine = Message.objects.filter(pk=message.pk, state=Message.State.UNCERTAIN)
        if not mine.update(state=Message.State.QUEUED, decided_at=None):
            return False
        before = Effect.objects.filter(run_id=message.run_id, seq=message.run_seq or 0).count()
        Effect.objects.create(
            run_id=message.run_id,
            seq=message.run_seq or 0,
            n=before,
            kind=KINDS[message.channel],
            at_most_once=True,
            available_at=now,
            created_at=now,
            payload={"message": message.pk},
        )
        transaction.on_commit(kick)
    return True
