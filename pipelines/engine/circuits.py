"""Circuit breakers of steps: opened when a step fails for many different records, tried again, closed when it works.

While a circuit is open runs wait before its step and effects of the step wait in the queue; no attempt is counted.
Locks are taken in the order circuit, runs, effects.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet, Sum

from crm.models import Message
from pipelines.alarms import alarm_of, tell_at_once
from pipelines.engine.kick import kick
from pipelines.engine.programs import BROKEN
from pipelines.engine.troubles import NOT_PASSED, Trouble, Troubles
from pipelines.models import Effect, Pipeline, PipelineRun, PipelineStep, StepCircuit, StepFailure, StepStat
from pipelines.states import RunStatus

log = logging.getLogger(__name__)

# How many are let through at a time, and how many seconds pass before: they double up to half an hour.
TRIAL: Final = 3
FIRST_PAUSE, LONGEST_PAUSE = 60, 1_800
# A trial without an answer is not waited for longer.
PATIENCE: Final = timedelta(minutes=10)
# For how long people may let runs fail before the step is watched again.
LET_FOR: Final = timedelta(days=1)
# When effects of an open circuit are available: at no time. What a trial refused goes behind the others.
NEVER: Final = datetime(9000, 1, 1, tzinfo=UTC)
KEPT: Final = "its step fails for too many, and is tried again with a few first"
GROUPS: Final = 200
State, Queue = StepCircuit.State, Effect.Status

_off: ContextVar[bool] = ContextVar("circuits_off", default=False)


@contextmanager
def unwatched() -> Iterator[None]:
    """Nothing that fails in this thread opens a circuit."""
    token = _off.set(True)
    try:
        yield
    finally:
        _off.reset(token)


def judge(troubles: Troubles, *, now: datetime) -> None:
    """Open and close circuits by what happened in a transaction that is committed; takes the troubles away.

    Without troubles there is no statement, and never more than for each step that is in trouble.
    """
    found = dict(troubles)
    troubles.clear()
    if not found or not settings.PIPELINES_CIRCUIT_RECORDS or _off.get():
        return
    known = dict(StepCircuit.objects.filter(pk__in=found).values_list("pk", "state"))
    for step_id, state in known.items():
        if state == State.TRIAL:
            _answer(step_id, found[step_id], now)
    fresh = {step_id: each for step_id, each in found.items() if each.who and step_id not in known}
    if fresh:
        for step_id, (failed, reached) in _too_many(fresh, now).items():
            _open(step_id, failed=failed, reached=reached, code=fresh[step_id].code, now=now)


def _too_many(fresh: Mapping[int, Trouble], now: datetime) -> dict[int, tuple[int, int]]:
    """Steps that fail for too many, with how many failed of how many; three statements."""
    passed = _passed(fresh)
    StepFailure.objects.bulk_create(
        [
            StepFailure(step_id=step_id, who=who, at=now, passed=passed[step_id] - trouble.passed)
            for step_id, trouble in sorted(fresh.items())
            for who in sorted(trouble.who)
        ],
        update_conflicts=True, unique_fields=["step", "who"], update_fields=["at", "passed"], batch_size=1_000,
    )  # fmt: skip
    since = now - timedelta(seconds=settings.PIPELINES_CIRCUIT_SECONDS)
    recent = StepFailure.objects.filter(step_id__in=fresh, at__gt=since, at__lte=now)
    rows = recent.values("step_id", "at", "passed").annotate(n=Count("pk")).order_by("-at", "-passed")
    found: dict[int, tuple[int, int]] = {}
    counted = dict.fromkeys(fresh, 0)
    # From the newest back: as soon as enough of those who came since then failed, whatever was before.
    for step_id, before, n in rows.values_list("step_id", "passed", "n")[:GROUPS]:
        counted[step_id] += n
        failed, reached = counted[step_id], counted[step_id] + max(0, passed[step_id] - before)
        if failed >= settings.PIPELINES_CIRCUIT_RECORDS and failed >= settings.PIPELINES_CIRCUIT_SHARE * reached:
            found.setdefault(step_id, (failed, reached))
    return found


def _passed(steps: Collection[int]) -> dict[int, int]:
    """How many visits of each step ever went well."""
    cells = StepStat.objects.filter(step_id__in=steps).exclude(outcome__in=NOT_PASSED).order_by()
    return dict.fromkeys(steps, 0) | dict(cells.values_list("step_id").annotate(total=Sum("n")))


def _open(step_id: int, *, failed: int, reached: int, code: str, now: datetime) -> None:
    with transaction.atomic():
        circuit = StepCircuit(
            step_id=step_id, opened_at=now, retry_at=now + timedelta(seconds=FIRST_PAUSE), pause=FIRST_PAUSE,
            failed=failed, reached=reached, code=code,
        )  # fmt: skip
        if StepCircuit.objects.select_for_update().filter(pk=step_id).exists():
            return
        try:
            with transaction.atomic():
                circuit.save(force_insert=True)
        except IntegrityError:
            # Another worker was quicker.
            return
        waiting = _effects(step_id).filter(status__in=(Queue.QUEUED, Queue.LEASED))
        # What somebody holds is settled by them, and comes back. The number of the attempt stays: a lease is gone.
        Effect.objects.filter(pk__in=waiting.select_for_update(skip_locked=True).values("pk")).update(
            status=Queue.QUEUED, available_at=NEVER, lease_until=None, worker=None
        )
        if _sends(step_id):
            _waiting_letters(step_id).update(held_by=KEPT, held_until=None)
        tell_at_once(alarm_of(circuit), now=now)
    log.warning("the circuit of step %s is open: %s of %s failed", step_id, failed, reached)


def _answer(step_id: int, trouble: Trouble, now: datetime) -> None:
    """Count the answers of a trial: most of them decide."""
    with transaction.atomic():
        circuit = StepCircuit.objects.select_for_update().filter(pk=step_id, state=State.TRIAL).first()
        if circuit is None:
            return
        circuit.passed += trouble.passed
        circuit.refused += trouble.refused + len(trouble.who)
        if circuit.refused * 2 >= circuit.tried:
            circuit.state, circuit.pause = State.OPEN, min(circuit.pause * 2, LONGEST_PAUSE)
            circuit.retry_at = now + timedelta(seconds=circuit.pause)
        elif circuit.passed * 2 > circuit.tried:
            _release(circuit, now)
            circuit.delete()
            return
        circuit.save()


def due_circuits(now: datetime) -> QuerySet[StepCircuit]:
    """Circuits whose pause is over; pipelines that people paused let nobody in."""
    return StepCircuit.objects.filter(retry_at__lte=now).exclude(step__pipeline__status=Pipeline.Status.PAUSED)


def begin_trial(step_id: int, *, now: datetime) -> int:
    """Let a few through whose effects wait; how many runs may enter the step beside them."""
    with transaction.atomic():
        circuit = due_circuits(now).select_for_update(of=("self",), skip_locked=True).filter(pk=step_id).first()
        if circuit is None:
            return 0
        if circuit.state == State.LET:
            circuit.delete()
            return 0
        ids = list(_kept(step_id).order_by("available_at", "pk").values_list("pk", flat=True)[:TRIAL])
        Effect.objects.filter(pk__in=ids).update(available_at=now)
        waiting = PipelineRun.objects.real().filter(step_id=step_id, status=RunStatus.PENDING, next_step_at__lte=now)
        room = len(waiting.values_list("pk")[: TRIAL - len(ids)])
        circuit.tried, circuit.passed, circuit.refused = len(ids) + room, 0, 0
        # Where nobody waits, the next who comes is let in soon.
        circuit.state = State.TRIAL if circuit.tried else State.OPEN
        circuit.retry_at = now + (PATIENCE if circuit.tried else timedelta(seconds=circuit.pause))
        circuit.save()
    return room


def try_again(*, steps: Collection[int], now: datetime) -> int:
    """Begin the next trial at once; how many circuits there were."""
    open_ = StepCircuit.objects.filter(pk__in=steps, state__in=BROKEN)
    count = open_.update(state=State.OPEN, retry_at=now, pause=FIRST_PAUSE)
    transaction.on_commit(kick)
    return count


def let_fail(*, steps: Collection[int], now: datetime) -> int:
    """Let everybody who waits go on and fail if they must; the step is not watched for a day."""
    with transaction.atomic():
        circuits = list(StepCircuit.objects.select_for_update().filter(pk__in=steps, state__in=BROKEN).order_by("pk"))
        for circuit in circuits:
            _release(circuit, now)
            circuit.state, circuit.retry_at = State.LET, now + LET_FOR
            circuit.save()
        transaction.on_commit(kick)
    return len(circuits)


def after_publishing(*, pipeline: Pipeline, now: datetime) -> None:
    """What was mended is tried at once; steps that are gone keep nobody."""
    rows = StepCircuit.objects.select_for_update().filter(step__pipeline=pipeline).select_related("step")
    mended: list[int] = []
    for circuit in rows.order_by("pk"):
        if circuit.state == State.LET or circuit.step.archived_at is not None:
            _release(circuit, now)
            circuit.delete()
        else:
            mended.append(circuit.pk)
    if mended:
        try_again(steps=mended, now=now)


def lock_broken(run_ids: Collection[int]) -> frozenset[int]:
    """Those of the steps of these runs whose circuit is open, which stays so until the transaction ends."""
    steps = PipelineRun.objects.filter(pk__in=run_ids).values("step_id")
    rows = StepCircuit.objects.select_for_update().filter(pk__in=steps, state__in=BROKEN).order_by("pk")
    return frozenset(rows.values_list("pk", flat=True))


def kept_behind(effect: Effect) -> datetime:
    """When an effect is available that a trial has refused: at no time, and after the others."""
    return NEVER + timedelta(seconds=effect.attempt)


def forget_failures(*, now: datetime) -> None:
    """Failures that no circuit can be opened by any more."""
    StepFailure.objects.filter(at__lte=now - timedelta(seconds=settings.PIPELINES_CIRCUIT_SECONDS)).delete()


def _release(circuit: StepCircuit, now: datetime) -> None:
    """Let go on what waits; runs before the step are found by the next pass."""
    _kept(circuit.pk).update(available_at=now)
    if _sends(circuit.pk):
        # What another rule holds keeps its reason.
        _waiting_letters(circuit.pk).filter(held_by=KEPT).update(held_by="")
    StepFailure.objects.filter(step_id=circuit.pk).delete()


def _standing(step_id: int) -> QuerySet[PipelineRun]:
    return PipelineRun.objects.filter(step_id=step_id, next_step_at__isnull=False)


def _effects(step_id: int) -> QuerySet[Effect]:
    return Effect.objects.filter(run_id__in=_standing(step_id).values("pk")).exclude(kind=Effect.Kind.TEST)


def _kept(step_id: int) -> QuerySet[Effect]:
    """Effects of an open circuit, told by a time that never comes, also those of paused runs."""
    kept = Effect.objects.filter(kind__in=Effect.Kind.values, status=Queue.QUEUED, available_at__gte=NEVER)
    return kept.filter(run_id__in=PipelineRun.objects.filter(step_id=step_id, finished_at=None).values("pk"))


def _sends(step_id: int) -> bool:
    return PipelineStep.objects.filter(pk=step_id, action_type__startswith="send_").exists()


def _waiting_letters(step_id: int) -> QuerySet[Message]:
    return Message.objects.filter(run_id__in=_standing(step_id).values("pk"), state=Message.State.QUEUED)
