"""The answers of visits that waited, read back from their effects and from what they waited for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pipelines.actions.base import Signal
from pipelines.engine.cursor import Answer, Cursor
from pipelines.models import Effect, EventWait, HumanTask
from pipelines.states import RunStatus
from pipelines.subjects import among

Status = Effect.Status
IN_FLIGHT = frozenset({Status.QUEUED, Status.LEASED, Status.SENDING})
_NAMES = {Status.DONE: "done", Status.FAILED: "failed", Status.UNCERTAIN: "uncertain", Status.CANCELLED: "skipped"}


def answers_for(cursors: Sequence[Cursor]) -> dict[int, Answer]:
    """What became of what each visit waits for; a visit without an answer counts as lost.

    A run that still waits when it is due has met its deadline.
    """
    waiting = [cursor for cursor in cursors if cursor.status == RunStatus.WAITING]
    others = [cursor for cursor in cursors if cursor.status != RunStatus.WAITING]
    found = _of_effects(others) if others else {}
    unknown = [*waiting, *(cursor for cursor in others if cursor.id not in found)]
    return {**found, **_of_waits(unknown)} if unknown else found


def _of_waits(cursors: Sequence[Cursor]) -> dict[int, Answer]:
    """The event that came, or the deadline of those that still wait."""
    seqs = {cursor.id: cursor.seq for cursor in cursors}
    began: dict[int, datetime] = {}
    hits: dict[int, Answer] = {}
    rows = EventWait.objects.filter(run_id__in=among(seqs)).order_by("finished_at", "n")
    for wait in rows:
        if seqs[wait.run_id] != wait.seq:
            continue
        began[wait.run_id] = wait.created_at
        if wait.status == EventWait.Status.HIT and wait.run_id not in hits:
            hits[wait.run_id] = Answer(signal_of_wait(wait), wait.created_at)
    tasks = [row for row in HumanTask.objects.filter(run_id__in=among(seqs)) if seqs[row.run_id] == row.seq]
    began |= {row.run_id: row.created_at for row in tasks}
    late = {
        cursor.id: Answer(Signal("timeout", outcome="timeout"), began.get(cursor.id, cursor.created_at))
        for cursor in cursors
        if cursor.status == RunStatus.WAITING
    }
    # What people answered while the run could not be told, as when it was paused.
    told = [row for row in tasks if row.status == HumanTask.Status.COMPLETED]
    return {**late, **hits, **{row.run_id: Answer(signal_of_task(row), row.created_at) for row in told}}


def signal_of_task(row: HumanTask) -> Signal:
    """An answered form as the signal its step resumes with."""
    return Signal("done", row.response or {}, outcome=row.outcome)


def signal_of_wait(wait: EventWait) -> Signal:
    """The event that a visit waited for, as the signal its step resumes with."""
    return Signal("done", wait.payload or {}, outcome=wait.name)


def _of_effects(cursors: Sequence[Cursor]) -> dict[int, Answer]:
    seqs = {cursor.id: cursor.seq for cursor in cursors}
    found: dict[int, Answer] = {}
    rows = Effect.objects.filter(run_id__in=seqs).values_list(
        "run_id", "seq", "status", "result", "error", "created_at"
    )
    for run_id, seq, status, result, error, created_at in rows:
        if seqs[run_id] == seq:
            found[run_id] = Answer(signal_of(status, result, error), created_at)
    return found


def signal_of(status: int, result: dict[str, Any] | None, error: str | None) -> Signal:
    """An effect's row as the signal its step resumes with."""
    if status in IN_FLIGHT:
        return Signal("in_flight")
    data = result or {}
    return Signal(_NAMES[Status(status)], data, code=str(data.get("code", "")), error=error or "")
