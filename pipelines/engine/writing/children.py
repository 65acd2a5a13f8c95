"""Child runs: written for all parents at once, and counted at them when they end."""

from crm.faults import point, register
from pipelines.actions.base import Child
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Memory
from pipelines.engine.plain import plain
from pipelines.engine.redriving import begin_again

register("in_spawn", "child runs are inserted, their parents do not count them yet", in_transaction=True)
register("in_join", "children have ended and their parents counted them, nothing is committed", in_transaction=True)


def write_children(batch: Batch) -> None:
    """All children of all parents in one insert, their names in another; the parents count them when they move."""
    if batch.again:
        begin_again(batch.again, now=batch.now, by_itself=True)
    if not batch.spawned:
        return
    ids = batch.store.insert_children([row for _, row in batch.spawned])
    memories = [
        (ids[row.parent_id, row.slot], memory) for child, row in batch.spawned if (memory := _memory(child)) is not None
    ]
    if memories:
        batch.store.save_memories(memories)
    point("in_spawn")


def count_down(batch: Batch) -> None:
    """Children that ended are counted at their parents, after the children themselves are written."""
    ended = [cursor.id for cursor in batch.cursors if cursor.parent_id is not None and cursor.finished_at is not None]
    if ended:
        batch.store.count_down(ended, now=batch.now)
        point("in_join")


def _memory(child: Child) -> Memory | None:
    """What a child begins with; a called pipeline has variables of its own, and is given their values."""
    if not child.locals and not child.vars and not child.outputs:
        return None
    return Memory(
        vars=plain(child.vars),
        trigger=plain(child.vars) if child.pipeline else {},
        outputs=plain(child.outputs),
        locals=plain(child.locals),
    )
