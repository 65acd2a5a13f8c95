"""Whose turn it is around the deadline of a block: what was due before it goes first, what was not does not go.

So what becomes of a block depends neither on which runs share a batch nor on how late the engine looks.
Answers are no part of this: what came back is looked at when it came.
"""

from pipelines.actions.registry import kinds
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.states import RunStatus

# Asked of every run, and members of an enumeration are slow to reach.
_PENDING, _WAITING = RunStatus.PENDING.value, RunStatus.WAITING.value


def out_of_turn(batch: Batch) -> set[int]:
    """Runs of a batch that stay as they are until others have moved, by id; no statement where no block's time is over.

    These are runs inside of blocks whose time was over when they were due, which the block will call off, and
    blocks whose time is over although something inside them was due before, which goes first.
    """
    inside = [cursor for cursor in batch.cursors if cursor.id in batch.deadlines] if batch.deadlines else ()
    late = {cursor.id for cursor in inside if _is_too_late(batch, cursor)}
    waiting = [cursor for cursor in batch.cursors if cursor.status == _WAITING and cursor.id not in late]
    ending = {
        cursor.id: cursor.next_step_at
        for cursor in waiting
        if cursor.next_step_at is not None and is_block(batch, cursor) and _by_its_time(batch, cursor)
    }
    return late | batch.store.due_before(ending) if ending else late


def is_block(batch: Batch, cursor: Cursor) -> bool:
    """Whether a run stands at a step that opens lists of its own."""
    step = batch.programs[cursor.version_id].program.by_id.get(cursor.step_id or 0)
    kind = kinds().get(step.kind) if step is not None else None
    return kind is not None and kind.opens_scopes


def _by_its_time(batch: Batch, cursor: Cursor) -> bool:
    """Whether a run is here because it was due, and not because something came back."""
    if cursor.next_step_at is None or cursor.next_step_at > batch.now or cursor.id in batch.errors:
        return False
    answer = batch.answers.get(cursor.id)
    # That nothing came is no answer: the time of a wait is over.
    if answer is not None and answer.signal.status != "timeout":
        return False
    return cursor.status in (_PENDING, _WAITING)


def _is_too_late(batch: Batch, cursor: Cursor) -> bool:
    due = cursor.next_step_at
    return due is not None and due >= batch.deadlines[cursor.id] and _by_its_time(batch, cursor)
