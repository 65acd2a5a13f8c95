"""Segments and who is in them: one statement for each kind of change, whatever the number of runs."""

from contacts.models import Segment, SegmentMembership
from pipelines.engine.batch import Batch
from pipelines.engine.cause import caused_by
from pipelines.engine.writing.records import ForeignRecord, check_records
from pipelines.subjects import subject_named

Place = tuple[int, int, int]


def write_members(batch: Batch) -> None:
    """Make segments, then put records in and take them out; the last word about a record counts."""
    if batch.segments:
        batch.store.make_segments(
            [
                Segment(team_id=team_id, key=made.key, name=made.name, created_at=batch.now)
                for team_id, made in batch.segments
            ]
        )
    if not batch.members:
        return
    teams = {cursor.id: batch.facts[cursor.pipeline_id].team.id for cursor, _ in batch.members}
    known = batch.store.segments({(teams[cursor.id], change.segment) for cursor, change in batch.members})
    check_records(batch, {((change.model, change.pk), teams[cursor.id]) for cursor, change in batch.members})
    wanted: dict[Place, tuple[bool, int]] = {}
    for cursor, change in batch.members:
        segment = known.get((teams[cursor.id], change.segment))
        if segment is None:
            raise ForeignRecord(f"This team has no list {change.segment!r}: create it first, unless a rule keeps it.")
        kind = subject_named(change.model)
        if kind is None:
            raise ForeignRecord(f"{change.model} cannot be in segments.")
        wanted[segment, kind.content_type_id, change.pk] = (change.add, cursor.id)
    added = [
        SegmentMembership(segment_id=segment, subject_type_id=kind, subject_id=pk, added_at=batch.now, run_id=run)
        for (segment, kind, pk), (add, run) in wanted.items()
        if add
    ]
    removed = [place for place, (add, _) in wanted.items() if not add]
    pipelines = {cursor.pipeline_id for cursor, _ in batch.members}
    depth = max(cursor.depth for cursor, _ in batch.members)
    with caused_by(depth, min(pipelines) if len(pipelines) == 1 else None):
        batch.store.change_members(added, removed)
