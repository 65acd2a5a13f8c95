"""The short way in: where nothing about a record decides, one statement asks which ways are open and takes it in."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from django.db import DatabaseError, connection, transaction

from crm.faults import point
from pipelines.engine.cause import MAX_DEPTH, next_depth
from pipelines.engine.enroll import EnrollResult
from pipelines.engine.entry import Entry
from pipelines.engine.keys import subject_keys
from pipelines.engine.kick import kick
from pipelines.engine.occupied import held_by
from pipelines.engine.store import store
from pipelines.engine.store.entering import Entered, Newcomers
from pipelines.models import EnrollmentDecision

log = logging.getLogger(__name__)

CACHE_SIZE = 10_000

# By type and team: the versions that start at once, and the step they start with; None where that is not all there is.
# It need not be true: the statement believes none of it without looking.
_starts: OrderedDict[tuple[int, int], dict[int, int] | None] = OrderedDict()


def remember_ways(*, subject_type_id: int, team_id: int, entries: Sequence[Entry]) -> None:
    """Learn from the long way whether the short one will do next time."""
    plain = not any(
        entry.reads_subject or entry.required or entry.max_per_hour or "max_executions" in entry.program.settings
        for entry in entries
    )
    starts = {entry.facts.current_version_id or 0: entry.program.first.id for entry in entries}
    _starts[subject_type_id, team_id] = starts if plain else None
    while len(_starts) > CACHE_SIZE:
        _starts.popitem(last=False)


def enter_shortly(*, subject_type_id: int, team_id: int, ids: Sequence[int], now: datetime) -> EnrollResult | None:
    """Take new records in, or None with nothing done: the long way has to be taken."""
    starts, depth = _starts.get((subject_type_id, team_id)), next_depth()
    if starts is None or depth > MAX_DEPTH or not ids:
        return None
    subjects = [(pk, *subject_keys(subject_type_id, pk)) for pk in ids]
    with transaction.atomic(savepoint=False):
        entered = _enter(Newcomers(subject_type_id, team_id, starts, subjects, now, depth))
        if entered is None:
            return None
        point("after_enroll")
        if entered.runs:
            transaction.on_commit(kick)
        if len(entered.runs) < len(ids) * len(entered.ways):
            _record_duplicates(entered, subject_type_id, ids, now)
    return EnrollResult(enrolled=[run_id for run_id, _, _ in entered.runs])


def _enter(newcomers: Newcomers) -> Entered | None:
    try:
        return store().enter(newcomers)
    except DatabaseError:
        if connection.needs_rollback:
            raise
        log.warning("the short way in is closed, the long one is taken", exc_info=True)
        return None


def _record_duplicates(entered: Entered, subject_type_id: int, ids: Sequence[int], now: datetime) -> None:
    """Keep that somebody was in already, and by which run."""
    inside = {(pipeline_id, subject_id) for _, pipeline_id, subject_id in entered.runs}
    outside = [(way, pk) for way in entered.ways for pk in ids if (way[0], pk) not in inside]
    keys = {pk: subject_keys(subject_type_id, pk) for _, pk in outside}
    holding = held_by((way[0], key) for way, pk in outside for key in keys[pk])
    told = {
        (way[0], pk): [holder.why(None)]
        for way, pk in outside
        for key in keys[pk]
        if (holder := holding.get((way[0], key))) is not None
    }
    EnrollmentDecision.objects.bulk_create(
        [
            EnrollmentDecision(
                pipeline_id=pipeline_id, trigger_id=trigger_id, trigger_revision=revision,
                subject_type_id=subject_type_id, subject_id=pk,
                decision=EnrollmentDecision.Decision.DUPLICATE, why=told.get((pipeline_id, pk)), at=now,
            )
            for (pipeline_id, trigger_id, revision), pk in outside
        ],
        batch_size=1000,
    )  # fmt: skip


def forget_ways() -> None:
    """Empty the cache; only tests that rebuild the database need it."""
    _starts.clear()
