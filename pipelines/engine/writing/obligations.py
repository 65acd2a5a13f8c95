"""What runs wait for: events, changes of their subject, and people."""

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.actions.base import EventRequest, WaitFor
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.engine.keys import NAMESPACE
from pipelines.engine.plain import plain
from pipelines.models import EventWait

MET = "met"
UPDATED = "updated"


def write_waits(batch: Batch) -> None:
    """Events that visits wait for: one insert; the dispatcher looks at each after the commit."""
    since = _cut_short(batch)
    rows = [row for cursor, wait in batch.waits for row in _waits(batch, cursor, wait, since)]
    if rows:
        batch.store.insert_waits(rows)
    if batch.released:
        batch.store.release_waits(batch.released, now=batch.now)


def match_key(values: Mapping[str, Any]) -> uuid.UUID:
    """One key for the same names and values, however they are ordered."""
    return uuid.uuid5(NAMESPACE, json.dumps(plain(values), sort_keys=True))


def _cut_short(batch: Batch) -> Mapping[tuple[int, int, str], datetime]:
    """Since when those waited who were called off inside a block and wait again: what came in between counts."""
    arrived = {visit.run_id for visit in batch.visits if visit.outcome is not None}
    again = [
        cursor.id
        for cursor, _ in batch.waits
        if cursor.parent_id is not None and cursor.seq > 1 and cursor.id not in arrived
    ]
    return batch.store.cut_short(again) if again else {}


def _waits(
    batch: Batch, cursor: Cursor, wait: WaitFor, since: Mapping[tuple[int, int, str], datetime]
) -> list[EventWait]:
    requests = list(wait.events)
    if wait.condition is not None:
        requests.append(EventRequest(name=MET, event=UPDATED, where=wait.condition))
    return [
        _row(batch, cursor, request, n, wait.count, since.get((cursor.id, n, request.event)) or batch.now)
        for n, request in enumerate(requests)
    ]


def _row(batch: Batch, cursor: Cursor, request: EventRequest, n: int, count: int, began: datetime) -> EventWait:
    about_subject = request.match is None
    return EventWait(
        team_id=batch.facts[cursor.pipeline_id].team.id,
        run_id=cursor.id,
        seq=cursor.seq,
        n=n,
        name=request.name,
        event=request.event,
        subject_type_id=cursor.subject_type_id if about_subject else None,
        subject_id=cursor.subject_id if about_subject else None,
        match=plain(request.match) if request.match is not None else None,
        match_names=",".join(sorted(request.match or ())),
        match_key=match_key(request.match) if request.match is not None else None,
        where=request.where,
        needed=1 if is_condition(request) else count,
        since=min(request.since or began, began),
        created_at=batch.now,
    )


def is_condition(wait: EventRequest | EventWait) -> bool:
    """Whether this is the condition of a step; events may be called `met` as well."""
    return wait.name == MET and wait.event == UPDATED and wait.where is not None
