"""The log of a batch: one row for each visit that ended, with its reasons."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pipelines.definition.program import Step
from pipelines.engine.cursor import Cursor, Visit
from pipelines.engine.plain import plain

if TYPE_CHECKING:
    from pipelines.engine.batch import Batch

TOO_LATE: Final = "Its time had passed."


def log_visit(
    batch: "Batch",
    step: Step,
    cursor: Cursor,
    *,
    event: int,
    outcome: str | None,
    why: Sequence[Mapping[str, Any]] = (),
    output: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Note that a visit ended; one that waited began when it did."""
    visit = visit_of(cursor, batch.now, event, outcome, error=error, step_id=step.id)
    answer = batch.answers.get(cursor.id)
    if answer is not None:
        visit.started_at = answer.since
    elif cursor.id in batch.began:
        visit.started_at = batch.began.pop(cursor.id)
    visit.why = [plain(leaf) for leaf in why] or None
    visit.output = output
    batch.visits.append(visit)


def visit_of(
    cursor: Cursor,
    now: datetime,
    event: int,
    outcome: str | None,
    *,
    error: str | None = None,
    step_id: int | None = None,
    seq: int | None = None,
) -> Visit:
    """The row of a visit that took no time, at the step of the run unless another is given."""
    return Visit(
        run_id=cursor.id,
        root_id=cursor.root_id,
        step_id=(cursor.step_id or 0) if step_id is None else step_id,
        seq=cursor.seq,
        attempt=cursor.attempt,
        event=int(event),
        outcome=outcome,
        started_at=now,
        finished_at=now,
        error=error[:400] if error else None,
    )
