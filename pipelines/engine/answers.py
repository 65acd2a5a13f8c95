"""The answers of visits that left the database, read back from their effects."""

from collections.abc import Sequence
from typing import Any

from pipelines.actions.base import Signal
from pipelines.engine.batch import Answer
from pipelines.engine.cursor import Cursor
from pipelines.models import Effect

Status = Effect.Status
IN_FLIGHT = frozenset({Status.QUEUED, Status.LEASED, Status.SENDING})
_NAMES = {Status.DONE: "done", Status.FAILED: "failed", Status.UNCERTAIN: "uncertain", Status.CANCELLED: "skipped"}


def answers_for(cursors: Sequence[Cursor]) -> dict[int, Answer]:
    """What became of the effect of each visit; a visit without one has no answer and counts as lost."""
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
