"""How many runs of a pipeline begin their first step in an hour: the others get their places, one after the other."""

from collections.abc import Sequence
from typing import Final

from pipelines.definition.pacing import Places
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.engine.journal import visit_of
from pipelines.engine.rejoining import is_between
from pipelines.models import EngineState, StepExecution

PACED: Final = "Waits for its place: {most:,} runs of this pipeline begin in an hour at most (max_per_hour)."


def pace_starts(batch: Batch) -> None:
    """Put off those for whom there is no place yet, each to its own; pipelines without `max_per_hour` cost nothing.

    A run asks once: its first visit is then told by a note, and the second is the step itself.
    """
    if batch.test:
        return
    paced = {pk for pk, loaded in batch.programs.items() if loaded.program.settings.get("max_per_hour")}
    if not paced:
        return
    beginning: dict[int, list[Cursor]] = {}
    for cursor in batch.cursors:
        if cursor.version_id in paced and _begins(batch, cursor):
            beginning.setdefault(cursor.pipeline_id, []).append(cursor)
    if not beginning:
        return
    names = {_name(pipeline_id): pipeline_id for pipeline_id in beginning}
    EngineState.objects.bulk_create([EngineState(name=name) for name in sorted(names)], ignore_conflicts=True)
    # In one order, so that two batches never wait for each other.
    rows = list(EngineState.objects.filter(name__in=names).order_by("name").select_for_update())
    for row in rows:
        _give(batch, beginning[names[row.name]], row)
    EngineState.objects.bulk_update(rows, ["at"])


def _begins(batch: Batch, cursor: Cursor) -> bool:
    first = cursor.seq == 1 and cursor.last_step_id is None and cursor.parent_id is None and not cursor.is_aside
    # Who tries its first step again has had its place.
    return (
        first
        and cursor.attempt == 0
        and is_between(cursor)
        and cursor.next_step_at is not None
        and cursor.next_step_at <= batch.now
    )


def _give(batch: Batch, cursors: Sequence[Cursor], row: EngineState) -> None:
    """The oldest first; `at` of the row is when the next place is."""
    most = int(batch.programs[cursors[0].version_id].program.settings["max_per_hour"])
    places = Places.of(row.at, most=most, now=batch.now)
    for cursor in cursors:
        until = places.take(batch.now)
        if until is not None:
            batch.visits.append(
                visit_of(cursor, batch.now, StepExecution.Event.NOTE, None, error=PACED.format(most=most))
            )
            cursor.seq += 1
            cursor.postpone(until=until)
    row.at = places.tail


def _name(pipeline_id: int) -> str:
    return f"starts:{pipeline_id}"
