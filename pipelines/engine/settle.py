"""Writes the results of effects down: fenced by the lease, then the runs go on in the same transaction."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, assert_never

from django.db import transaction

from crm.channels.base import Delivered, DeliveryResult, Refused, Unknown
from crm.faults import point, register
from crm.models import Message, MessageEvent
from crm.suppression import in_words
from pipelines.definition.retries import Retrier, retry_after
from pipelines.engine.advance import Progress, process
from pipelines.engine.answers import signal_of
from pipelines.engine.circuits import judge, kept_behind, lock_broken
from pipelines.engine.cursor import Answer, Cursor, Visit
from pipelines.engine.gone import heed
from pipelines.engine.journal import visit_of
from pipelines.engine.kinds import LETTERS, MESSAGES
from pipelines.engine.leases import is_over
from pipelines.engine.programs import programs
from pipelines.engine.sent import Sent, tell_of_sent
from pipelines.engine.step import WATCHDOG
from pipelines.engine.store import store
from pipelines.engine.troubles import Trouble, Troubles, can_break
from pipelines.engine.unheard import commit_unheard
from pipelines.models import Effect, PipelineRun, StepExecution
from pipelines.states import RunPhase, RunStatus

Status = Effect.Status
MAX_CRASHES = 5
NOT_ARRIVED = (MessageEvent.Kind.FAILED, MessageEvent.Kind.UNDELIVERED)
# Where a step says nothing: errors that time may mend are tried five more times within about two hours.
DEFAULT_RETRY = (
    Retrier(
        max=5, delay=60, backoff=3, max_delay=6 * 3600, jitter=0.2,
        on=("smtp_4xx", "connection", "timeout", "http_5xx", "http_429"),
    ),
)  # fmt: skip

register("before_settle", "the outside answered, nothing of it is written yet")
register("in_settle", "the answers of effects are written, nothing is committed", in_transaction=True)
register("after_settle", "the answers of effects are committed")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A message that may not leave: its recipient was suppressed after it was planned, or a rule of sending says so."""

    reason: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The lease ended without an answer."""


Result = DeliveryResult | Skipped | Crashed


@dataclass(slots=True)
class Verdict:
    """What becomes of an effect row."""

    status: Status
    available_at: datetime
    error: str | None = None
    result: Mapping[str, Any] | None = None
    retried: bool = False
    # Whether it waits for the circuit of its step.
    spared: bool = False
    # Whether its run was ended meanwhile, so that it is not tried again.
    called_off: bool = False


def settle(results: Sequence[tuple[Effect, Result]], *, now: datetime) -> Progress:
    """Record results and move the runs that waited for them; results of a lost lease change nothing."""
    if not results:
        return Progress()
    point("before_settle")
    with transaction.atomic():
        # Circuits, runs, effects: every path locks in this order.
        refused = [effect.run_id for effect, result in results if isinstance(result, Refused | Unknown)]
        broken = lock_broken(refused) if refused else frozenset()
        cursors = {cursor.id: cursor for cursor in store().claim_runs(run_ids=sorted({e.run_id for e, _ in results}))}
        mine = _held(results)
        held = [(effect, result) for effect, result in results if effect.pk in mine]
        verdicts = [(effect, _verdict(effect, result, cursors.get(effect.run_id), now)) for effect, result in held]
        if broken:
            verdicts = [
                (effect, _spared(effect, verdict, cursors.get(effect.run_id), broken)) for effect, verdict in verdicts
            ]
        verdicts = [(effect, _called_off(effect, verdict, cursors.get(effect.run_id))) for effect, verdict in verdicts]
        _write_effects(verdicts, now)
        tell_of_sent(_write_messages(verdicts, now), cursors, now=now)
        heed([effect for effect, result in held if isinstance(result, Refused) and result.gone], now=now)
        progress = _move_runs(verdicts, cursors, now)
        point("in_settle", then=commit_unheard)
    point("after_settle")
    judge(progress.troubles, now=now)
    return progress


def _spared(effect: Effect, verdict: Verdict, cursor: Cursor | None, broken: frozenset[int]) -> Verdict:
    """While the circuit of its step is open nobody fails there, and no attempt is counted."""
    here = cursor is not None and not cursor.test and cursor.step_id in broken and cursor.seq == effect.seq
    if not here or verdict.status not in (Status.QUEUED, Status.FAILED):
        return verdict
    return Verdict(Status.QUEUED, kept_behind(effect), error=verdict.error, result=verdict.result, spared=True)


def _called_off(effect: Effect, verdict: Verdict, cursor: Cursor | None) -> Verdict:
    """What could not be called back when its run was ended, and did not leave after all, does not leave later."""
    if verdict.status != Status.QUEUED or cursor is None or not is_over(effect, cursor):
        return verdict
    return Verdict(Status.CANCELLED, verdict.available_at, error=verdict.error, result=verdict.result, called_off=True)


def _held(results: Sequence[tuple[Effect, Result]]) -> set[int]:
    """Effects whose lease is still the one that produced the result."""
    attempts = {effect.pk: effect.attempt for effect, _ in results}
    return store().hold_effects(attempts, statuses=[Status.LEASED, Status.SENDING])


def _verdict(effect: Effect, result: Result, cursor: Cursor | None, now: datetime) -> Verdict:
    match result:
        case Delivered():
            return Verdict(Status.DONE, now, result={"reference": result.reference, **_detail(result.detail)})
        case Skipped():
            why = result.why or f"Not sent: the recipient {in_words(result.reason)}."
            return Verdict(
                Status.CANCELLED, now, error=why[:400], result={"code": result.reason} if result.why else None
            )
        case Refused():
            return _refused(effect, result, cursor, now)
        case Unknown():
            if effect.at_most_once:
                return Verdict(Status.UNCERTAIN, now, error=str(result.detail)[:400], result={"code": "unknown"})
            refused = Refused(code=result.code, detail=str(result.detail), permanent=False, retry_after=None)
            return _refused(effect, refused, cursor, now)
        case Crashed():
            return _crashed(effect, now)
        case _:
            assert_never(result)


def _detail(detail: Any) -> dict[str, Any]:
    return dict(detail) if isinstance(detail, Mapping) else {}


def _crashed(effect: Effect, now: datetime) -> Verdict:
    if effect.status == Status.SENDING and effect.at_most_once:
        sentence = "The worker stopped while this was being handed over; nobody knows whether it arrived."
        return Verdict(Status.UNCERTAIN, now, error=sentence, result={"code": "worker_crash"})
    if effect.attempt >= MAX_CRASHES:
        sentence = f"Set aside: {effect.attempt} workers stopped while doing this."
        return Verdict(Status.FAILED, now, error=sentence, result={"code": "worker_crash"})
    return Verdict(Status.QUEUED, now)


def _refused(effect: Effect, result: Refused, cursor: Cursor | None, now: datetime) -> Verdict:
    wait = _retry_wait(effect, result, cursor)
    if wait is None:
        return Verdict(Status.FAILED, now, error=str(result.detail)[:400], result={"code": result.code})
    error = f"{result.detail}"[:400]
    return Verdict(
        Status.QUEUED, now + timedelta(seconds=wait), error=error, result={"code": result.code}, retried=True
    )


def _retry_wait(effect: Effect, result: Refused, cursor: Cursor | None) -> float | None:
    if cursor is None or cursor.step_id is None:
        return None
    step = programs({cursor.version_id})[cursor.version_id].program.by_id.get(cursor.step_id)
    rules = step.retry if step is not None and step.retry else DEFAULT_RETRY
    if result.permanent:
        # "*" means what time may mend; a permanent refusal is tried again only when named.
        rules = tuple(rule for rule in rules if result.code in rule.on)
    rng = Random(f"{effect.run_id}:{effect.seq}:{cursor.attempt}")
    wait = retry_after(rules, error_class=result.code, attempt=cursor.attempt, rng=rng)
    if wait is None or result.retry_after is None:
        return wait
    return max(wait, result.retry_after)


def _write_effects(verdicts: Sequence[tuple[Effect, Verdict]], now: datetime) -> None:
    if not verdicts:
        return
    fields = ("status", "available_at", "lease_until", "error", "result", "finished_at")
    rows = [
        (
            effect.pk,
            (
                verdict.status.value,
                verdict.available_at,
                None,
                verdict.error,
                verdict.result,
                None if verdict.status == Status.QUEUED else now,
            ),
        )
        for effect, verdict in verdicts
    ]
    store().update_rows(Effect, fields, rows)


_STATES = {
    Status.DONE: Message.State.SENT,
    Status.FAILED: Message.State.FAILED,
    Status.UNCERTAIN: Message.State.UNCERTAIN,
    Status.CANCELLED: Message.State.SKIPPED,
    Status.QUEUED: Message.State.QUEUED,
}


def _write_messages(verdicts: Sequence[tuple[Effect, Verdict]], now: datetime) -> list[Sent]:
    """Write what became of messages; those that left."""
    rows = [
        (
            int(effect.payload["message"]),
            (
                _state(effect, verdict).value,
                now if verdict.status == Status.DONE and effect.kind in MESSAGES else None,
                verdict.error or "",
                effect.attempt,
                str((verdict.result or {}).get("code", "")),
            ),
        )
        for effect, verdict in verdicts
        if effect.kind in MESSAGES or (effect.kind == Effect.Kind.TEST and "message" in effect.payload)
    ]
    if not rows:
        return []
    fields = ("state", "sent_at", "error", "attempts", "reason")
    written = store().update_rows(Message, fields, rows, returning=("state", *Sent._fields))
    _write_references(verdicts)
    return [Sent(*row) for state, *row in written if state == Message.State.SENT]


def _state(effect: Effect, verdict: Verdict) -> Message.State:
    """A message of a test is never sent nor on its way."""
    if effect.kind == Effect.Kind.TEST and verdict.status in (Status.DONE, Status.QUEUED):
        return Message.State.CAPTURED
    if verdict.called_off:
        return Message.State.CANCELLED
    return _STATES[verdict.status]


def _write_references(verdicts: Sequence[tuple[Effect, Verdict]]) -> None:
    """What providers call their letters; a report that was quicker than this answer is not undone by it."""
    rows = {
        int(effect.payload["message"]): str((verdict.result or {}).get("reference") or "")[:200]
        for effect, verdict in verdicts
        if effect.kind in LETTERS and verdict.status == Status.DONE
    }
    if not rows:
        return
    store().update_rows(Message, ("message_id",), [(pk, (reference,)) for pk, reference in rows.items()])
    failed = Message.objects.filter(pk__in=rows, events__kind__in=NOT_ARRIVED)
    Message.objects.filter(pk__in=failed.values("pk")).update(state=Message.State.FAILED)


def _move_runs(verdicts: Sequence[tuple[Effect, Verdict]], cursors: Mapping[int, Cursor], now: datetime) -> Progress:
    answers: dict[int, Answer] = {}
    retried: list[tuple[Cursor, Verdict]] = []
    paused: list[int] = []
    for effect, verdict in verdicts:
        cursor = cursors.get(effect.run_id)
        if cursor is None or cursor.seq != effect.seq:
            continue
        if verdict.status == Status.QUEUED:
            if cursor.status == RunStatus.RUNNING:
                retried.append((cursor, verdict))
        elif cursor.status == RunStatus.RUNNING:
            signal = signal_of(verdict.status, dict(verdict.result or {}), verdict.error)
            answers[cursor.id] = Answer(signal, effect.created_at)
        elif cursor.status == RunStatus.PAUSED:
            paused.append(cursor.id)
    troubles = _await_retry(retried, now)
    if paused:
        # The answer is kept in the effect; the run reads it when an operator lets it go on.
        PipelineRun.objects.filter(pk__in=paused).update(phase=RunPhase.RESUME.value, held_until=now)
    progress = Progress(troubles=troubles)
    if answers:
        progress.add(process([cursors[run_id] for run_id in answers], now=now, answers=answers))
    return progress


def _await_retry(retried: Sequence[tuple[Cursor, Verdict]], now: datetime) -> Troubles:
    """Let runs wait for the next try; for whom a step failed at this one."""
    if not retried:
        return {}
    visits: list[Visit] = []
    troubles: Troubles = {}
    for cursor, verdict in retried:
        if verdict.spared:
            troubles.setdefault(cursor.step_id or 0, Trouble()).refused += 1
        elif verdict.retried:
            visits.append(_retry_visit(cursor, verdict, now))
            cursor.attempt += 1
            _note_trouble(troubles, cursor, str((verdict.result or {}).get("code", "")))
        cursor.depart(watchdog=(now if verdict.spared else verdict.available_at) + WATCHDOG)
    store().move_runs([cursor for cursor, _ in retried])
    if visits:
        store().insert_visits(visits, at=now, batch=uuid.uuid4())
    return troubles


def _note_trouble(troubles: Troubles, cursor: Cursor, code: str) -> None:
    if cursor.test:
        return
    program = programs({cursor.version_id})[cursor.version_id].program
    step = program.by_id.get(cursor.step_id or 0)
    if step is not None and can_break(program, step):
        troubles.setdefault(step.id, Trouble()).note(cursor, code)


def _retry_visit(cursor: Cursor, verdict: Verdict, now: datetime) -> Visit:
    told = f"{verdict.error} Tried again at {verdict.available_at:%Y-%m-%d %H:%M:%S} UTC."
    return visit_of(cursor, now, StepExecution.Event.RETRIED, None, error=told)
