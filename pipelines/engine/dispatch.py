"""Hands events to whoever listens: waits, exit rules, goals and triggers, in one transaction for a batch of events."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from contacts.models import Contact, Segment
from crm.faults import point, register
from crm.models import Team
from pipelines.engine.advance import Progress
from pipelines.engine.answers import signal_of_wait
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Answer, Cursor
from pipelines.engine.leaving import apply_rules
from pipelines.engine.listening import listeners_of
from pipelines.engine.matching import fits, met, waits_for
from pipelines.engine.outgoing.hearing import tell_of_events
from pipelines.engine.segments.refreshing import note_events
from pipelines.engine.silence import note_interactions, watched
from pipelines.engine.store import store
from pipelines.engine.triggering import enter_by_events
from pipelines.engine.unheard import commit_unheard
from pipelines.engine.waking import resume
from pipelines.engine.writing.obligations import UPDATED, is_condition
from pipelines.models import Event, EventWait
from pipelines.states import RunStatus
from pipelines.subjects import among

LIMIT = 1_000
FINISHED = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)

register("in_dispatch", "events were handed to those who listen, nothing is committed", in_transaction=True)


def dispatch(*, now: datetime) -> tuple[int, Progress]:
    """Hand out up to a thousand events; how many there were, and what it moved."""
    with transaction.atomic():
        events = _claim()
        if not events:
            return 0, Progress()
        candidates = waits_for(events)
        listening = listeners_of(events)
        # Runs are locked first and what they wait for after them, as everywhere.
        ids = {wait.run_id for wait, _ in candidates} | listening.run_ids
        batch = _known(ids, now)
        ended = apply_rules(listening, batch, now=now)
        progress = _wake(batch, _fresh(candidates, batch), ended, now)
        progress.entered = enter_by_events(events, now=now)
        _note_for_later(events)
        tell_of_events(events)
        Event.objects.filter(pk__in=among([event.pk for event in events])).update(dispatched=True)
        point("in_dispatch", then=commit_unheard)
    return len(events), progress


def _note_for_later(events: Sequence[Event]) -> None:
    """What happened to contacts may move them between segments, and ends their silence: one statement if not."""
    kind = ContentType.objects.get_for_model(Contact).pk
    about = {
        (event.team_id, event.subject_id, event.type)
        for event in events
        if event.subject_type_id == kind and event.subject_id is not None
    }
    if not about:
        return
    ruled = Segment.objects.filter(team_id=OuterRef("pk"), kind=Segment.Kind.DYNAMIC)
    waited = watched().filter(pipeline__team_id=OuterRef("pk"))
    teams = Team.objects.filter(pk__in={team for team, _, _ in about})
    heard = list(teams.values_list("pk", Exists(ruled), Exists(waited)))
    segmented = {team for team, is_ruled, _ in heard if is_ruled}
    if segmented:
        note_events(team_ids=segmented, subjects=about)
    silent = {team for team, _, is_waited in heard if is_waited}
    if silent:
        note_interactions([event for event in events if event.team_id in silent])


def check_waits(*, now: datetime) -> Progress:
    """Look once at every new wait after its commit: for events that were there before it, and at its condition.

    A change of a record is only announced when somebody listens, so a condition is looked at again when all
    have ended who may have changed the record without hearing of the wait.
    """
    horizon = store().horizon()
    with transaction.atomic():
        waits = _unchecked(horizon)
        if not waits:
            return Progress()
        batch = _known({wait.run_id for wait in waits}, now)
        held = {cursor.id for cursor in batch.cursors}
        mine = list(EventWait.objects.filter(pk__in=[wait.pk for wait in waits if wait.run_id in held]))
        stored = _stored(mine)
        pairs = [(wait, event) for wait in mine for event in stored if _is_for(wait, event)]
        again = [wait for wait in mine if _looks_again(wait, horizon)]
        progress = _wake(batch, pairs, set(), now, conditions=[wait for wait in mine if is_condition(wait)])
        later = {wait.pk for wait in again}
        EventWait.objects.filter(pk__in=[wait.pk for wait in waits if wait.pk not in later]).update(checked=True)
        if again and horizon is not None:
            EventWait.objects.filter(pk__in=later).update(horizon=horizon[1])
        point("in_dispatch", then=commit_unheard)
    return progress


def _claim() -> list[Event]:
    rows = Event.objects.filter(dispatched=False).order_by("pk")
    if connection.vendor == "postgresql":
        rows = rows.select_for_update(skip_locked=True)
    return list(rows[:LIMIT])


def _known(run_ids: Iterable[int], now: datetime) -> Batch:
    """These runs, locked, with everything a condition may read."""
    ids = sorted(run_ids)
    batch = Batch(store=store(), now=now, cursors=store().claim_runs(run_ids=ids) if ids else [])
    if batch.cursors:
        batch.load(everything=True)
    return batch


def _fresh(candidates: Sequence[tuple[EventWait, Event]], batch: Batch) -> list[tuple[EventWait, Event]]:
    """The candidates as they stand now that their runs are locked."""
    if not candidates:
        return []
    rows = EventWait.objects.filter(pk__in={wait.pk for wait, _ in candidates}, status=EventWait.Status.OPEN).in_bulk()
    return [(rows[wait.pk], event) for wait, event in candidates if wait.pk in rows]


def _wake(
    batch: Batch,
    pairs: Sequence[tuple[EventWait, Event]],
    ended: set[int],
    now: datetime,
    *,
    conditions: Sequence[EventWait] = (),
) -> Progress:
    """Note what was hit, and resume those whose wait is over; the first hit of a visit wins."""
    cursors = {cursor.id: cursor for cursor in batch.cursors if cursor.id not in ended}
    contexts = {run_id: batch.context_of(cursor) for run_id, cursor in cursors.items()}
    changed: dict[int, EventWait] = {}
    hits: dict[int, EventWait] = {}
    for wait, event in pairs:
        if wait.run_id in hits:
            continue
        cursor = cursors.get(wait.run_id)
        if _waits(wait, cursor) and _in_time(cursor, event) and fits(wait, event, contexts[wait.run_id]):
            if _count(wait, event, now):
                hits.setdefault(wait.run_id, wait)
            changed[wait.pk] = wait
    for wait in conditions:
        if wait.run_id in hits:
            continue
        if _waits(wait, cursors.get(wait.run_id)) and met(wait.where, contexts[wait.run_id]):
            wait.status, wait.finished_at = EventWait.Status.HIT, now
            hits.setdefault(wait.run_id, wait)
            changed[wait.pk] = wait
    _write(list(changed.values()))
    answers = {run_id: Answer(signal_of_wait(wait), wait.created_at) for run_id, wait in hits.items()}
    return resume([cursors[run_id] for run_id in hits], answers=answers, now=now)


def _waits(wait: EventWait, cursor: Cursor | None) -> bool:
    return (
        cursor is not None
        and cursor.seq == wait.seq
        and wait.status == EventWait.Status.OPEN
        and cursor.status in (RunStatus.WAITING, RunStatus.PAUSED)
    )


def _in_time(cursor: Cursor | None, event: Event) -> bool:
    """Whether it came before the deadline, however late it is looked at."""
    deadline = cursor.next_step_at if cursor is not None and cursor.status == RunStatus.WAITING else None
    return deadline is None or event.occurred_at < deadline


def _count(wait: EventWait, event: Event, now: datetime) -> bool:
    """Count an event once; True when it was the last that was missing."""
    seen = list((wait.payload or {}).get("events", ()))
    if event.pk in seen:
        return False
    wait.hits += 1
    if wait.hits < wait.needed:
        wait.payload = {"events": [*seen, event.pk]}
        return False
    wait.status, wait.finished_at, wait.event_id = EventWait.Status.HIT, now, event.pk
    wait.payload = dict(event.payload)
    return True


def _write(waits: Sequence[EventWait]) -> None:
    if waits:
        fields = ("status", "hits", "event_id", "payload", "finished_at")
        rows = [(wait.pk, tuple(getattr(wait, name) for name in fields)) for wait in waits]
        store().update_rows(EventWait, fields, rows)


def _unchecked(horizon: tuple[int, int] | None) -> list[EventWait]:
    rows = EventWait.objects.filter(status=EventWait.Status.OPEN, checked=False)
    if horizon is not None:
        rows = rows.exclude(horizon__gt=horizon[0])
    return list(rows.order_by("pk")[:LIMIT])


def _looks_again(wait: EventWait, horizon: tuple[int, int] | None) -> bool:
    return horizon is not None and wait.event == UPDATED and wait.horizon is None and not wait.checked


def _stored(waits: Sequence[EventWait]) -> list[Event]:
    """Events that were stored since the earliest of these waits."""
    if not waits:
        return []
    rows = Event.objects.filter(
        type__in={wait.event for wait in waits},
        team_id__in={wait.team_id for wait in waits},
        occurred_at__gte=min(wait.since for wait in waits),
    )
    if all(wait.subject_id is not None for wait in waits):
        rows = rows.filter(subject_id__in={wait.subject_id for wait in waits})
    return list(rows.order_by("occurred_at", "pk"))


def _is_for(wait: EventWait, event: Event) -> bool:
    about: tuple[Any, ...] = (wait.subject_type_id, wait.subject_id)
    return (
        wait.team_id == event.team_id
        and wait.event == event.type
        and (about == (None, None) or about == (event.subject_type_id, event.subject_id))
    )
