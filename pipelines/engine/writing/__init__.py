"""Writes a batch down: a fixed number of statements, each over all of its runs."""

import os
import uuid
from collections import Counter
from collections.abc import Sequence

from pipelines.engine.batch import Batch
from pipelines.engine.outgoing.hearing import tell_of_endings
from pipelines.engine.store.stats import StatCell
from pipelines.engine.writing.children import count_down, write_children
from pipelines.engine.writing.creates import write_creates
from pipelines.engine.writing.effects import queue_effects
from pipelines.engine.writing.enrollments import write_enrollments
from pipelines.engine.writing.members import write_members
from pipelines.engine.writing.obligations import write_waits
from pipelines.engine.writing.people import write_tasks
from pipelines.engine.writing.records import ForeignRecord, write_updates
from pipelines.models import StepExecution

__all__ = ["ForeignRecord", "flush", "write_records"]

SLOTS = 32


def flush(batch: Batch) -> None:
    """Write everything a batch decided, inside the caller's transaction."""
    write_records(batch)
    queue_effects(batch)
    write_waits(batch)
    write_tasks(batch)
    write_children(batch)
    dirty = [(run_id, memory) for run_id, memory in batch.memories.items() if memory.dirty]
    if dirty:
        batch.store.save_memories(dirty)
    batch.store.close_visits(batch.cursors, batch.visits, _cells(batch), at=batch.now, batch=uuid.uuid4())
    count_down(batch)
    tell_of_endings([cursor.id for cursor in batch.cursors if cursor.finished_at is not None], now=batch.now)


def write_records(batch: Batch) -> None:
    """Write what the batch changes of records, so that whoever reads them next finds it done."""
    write_updates(batch)
    write_creates(batch)
    write_members(batch)
    write_enrollments(batch)
    for done in (batch.updates, batch.creates, batch.segments, batch.members, batch.enrollments):
        done.clear()


def _cells(batch: Batch) -> Sequence[StatCell]:
    """What this batch adds to the statistics, one cell per step and outcome."""
    if batch.test:
        return []
    slot, day = os.getpid() % SLOTS, batch.now.date()
    cells: dict[tuple[int, str], StatCell] = {}
    # Most visits of a batch are alike: at one step, with one outcome, in no time.
    alike = Counter((v.step_id, v.outcome, v.event, v.started_at, v.finished_at) for v in batch.visits)
    for (step_id, outcome, event, started_at, finished_at), count in alike.items():
        name = outcome or StepExecution.Event(event).name.lower()
        cell = cells.get((step_id, name))
        if cell is None:
            cell = cells[step_id, name] = StatCell(step_id=step_id, day=day, slot=slot, outcome=name)
        cell.add(seconds=(finished_at - started_at).total_seconds(), times=count)
    return list(cells.values())
