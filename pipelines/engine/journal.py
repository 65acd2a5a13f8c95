"""The log of a batch: one row for each visit that ended, with its reasons."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pipelines.definition.program import Step
from pipelines.engine.cursor import Cursor, Visit
from pipelines.engine.plain import plain
from pipelines.personal import reasons_without_personal

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
    if why and batch.personal:
        why = reasons_without_personal(why, names=batch.personal)
    began = batch.now
    if batch.answers or batch.began:
        answer = batch.answers.get(cursor.id)
        began = batch.began.pop(cursor.id, began) if answer is None else answer.since
    batch.visits.append(
        Visit(
            cursor.id, cursor.root_id, step.id, cursor.seq, cursor.attempt, int(event), outcome, began, batch.now,
            [plain(leaf) for leaf in why] if why else None, output, error[:400] if error else None,
        )
    )  # fmt: skip


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
    """The row of a visit that took no time, at the step and the visit of the run unless others are given."""
    return Visit(
        run_id=cursor.id,
        root_id=cursor.root_id,
        step_id=(cursor.step_id or 0) if step_id is None else step_id,
        seq=cursor.seq if seq is None else seq,
        attempt=cursor.attempt,
        event=int(event),
        outcome=outcome,
        started_at=now,
        finished_at=now,
        error=error[:400] if error else None,
    )
