"""Whose turn it is around the deadline of a block: what was due before it goes first, what was not does not go.

So what becomes of a block depends neither on which runs share a batch nor on how late the engine looks.
Answers are no part of this: what came back is looked at when it came.
"""

from collections.abc import Iterator
from datetime import datetime

from pipelines.actions.registry import kinds
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.states import RunStatus


def out_of_turn(batch: Batch) -> set[int]:
    """Runs of a batch that stay as they are until others have moved, by id; no statement where no block's time is over.

    These are runs inside of blocks whose time was over when they were due, which the block will call off, and
    blocks whose time is over although something inside them was due before, which goes first.
    """
    due = [cursor for cursor in batch.cursors if _by_its_time(batch, cursor)]
    late = {cursor.id for cursor in due if _is_too_late(batch, cursor)}
    ending = {cursor.id: until for cursor, until in _ending(batch, due) if cursor.id not in late}
    return late | batch.store.due_before(ending) if ending else late


def _by_its_time(batch: Batch, cursor: Cursor) -> bool:
    """Whether a run is here because it was due, and not because something came back."""
    if cursor.next_step_at is None or cursor.next_step_at > batch.now or cursor.id in batch.errors:
        return False
    answer = batch.answers.get(cursor.id)
    # That nothing came is no answer: the time of a wait is over.
    if answer is not None and answer.signal.status != "timeout":
        return False
    return cursor.status in (RunStatus.PENDING, RunStatus.WAITING)


def _is_too_late(batch: Batch, cursor: Cursor) -> bool:
    over = batch.deadlines.get(cursor.id)
    return over is not None and cursor.next_step_at is not None and cursor.next_step_at >= over


def _ending(batch: Batch, due: list[Cursor]) -> Iterator[tuple[Cursor, datetime]]:
    """Blocks that are looked at because their time is over."""
    for cursor in due:
        if cursor.status != RunStatus.WAITING or cursor.next_step_at is None:
            continue
        step = batch.programs[cursor.version_id].program.by_id.get(cursor.step_id or 0)
        kind = kinds().get(step.kind) if step is not None else None
        if kind is not None and kind.opens_scopes:
            yield cursor, cursor.next_step_at
