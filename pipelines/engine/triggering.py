"""Events put records into pipelines: one decision for each event and each way that hears it, a batch at once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Case, F, Value, When

from pipelines.definition.values import ParameterError
from pipelines.engine.enroll import enroll_candidates
from pipelines.engine.entry import Candidate, Decision, Occasion, Refusal, record_decisions
from pipelines.engine.keys import RESTART
from pipelines.engine.ways import Way, ways_for, ways_of
from pipelines.models import Event, Quiet, Trigger
from pipelines.subjects import OWN, subject_type

log = logging.getLogger(__name__)

LIMIT = 1_000
OWN_CHANGE = "The pipeline made this change itself, so it does not begin again."


@dataclass(frozen=True, slots=True)
class Heard:
    """One event at one way that hears it."""

    way: Way
    event: Event

    def refused(self, decision: Decision, sentence: str) -> Refusal:
        event = self.event
        why = [{"error": sentence}]
        return Refusal(self.way.entry, event.subject_id, decision, why, event.subject_type_id, event.pk)


def enter_by_events(events: Sequence[Event], *, now: datetime) -> int:
    """Take in whom these events bring, in the caller's transaction; the number of new runs."""
    ways = ways_for(events)
    if not ways:
        return 0
    heard = [Heard(way, event) for event in events for way in ways.get(event.team_id, ()) if way.hears(event)]
    later = [each for each in heard if each.way.debounce]
    if later:
        _wait_for_quiet(later, now)
    return _enter([each for each in heard if not each.way.debounce], now)


def enter_after_quiet(*, now: datetime) -> int:
    """Take in those about whom nothing new came for long enough, up to a thousand; the number of new runs."""
    with transaction.atomic():
        rows = Quiet.objects.filter(due_at__lte=now).order_by("due_at")
        if connection.vendor == "postgresql":
            rows = rows.select_for_update(skip_locked=True)
        due = list(rows[:LIMIT])
        ways = ways_of({row.trigger_id for row in due}) if due else {}
        heard = [
            Heard(ways[row.trigger_id], _event_of(row, ways[row.trigger_id])) for row in due if row.trigger_id in ways
        ]
        entered = _enter(heard, now)
        Quiet.objects.filter(pk__in=[row.pk for row in due]).delete()
    return entered


def _enter(heard: Sequence[Heard], now: datetime) -> int:
    if not heard:
        return 0
    candidates, refusals = _candidates(heard, now)
    try:
        with transaction.atomic():
            entered = enroll_candidates(candidates, now=now, refusals=refusals)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # one way that breaks must not keep the others, nor the events, waiting
        log.exception("a batch of events could not enter at once; each way tries alone")
        return _one_by_one(candidates, refusals, now)
    _count(entered.by_trigger, now)
    return len(entered.enrolled)


def _one_by_one(candidates: Sequence[Candidate], refusals: Sequence[Refusal], now: datetime) -> int:
    """The ways one after the other: the one that breaks is noted and left out."""
    record_decisions(refusals, now)
    by_way: dict[int, list[Candidate]] = {}
    for each in candidates:
        by_way.setdefault(each.entry.trigger_id or 0, []).append(each)
    entered = 0
    for mine in by_way.values():
        try:
            with transaction.atomic():
                entered += len(enroll_candidates(mine, now=now).enrolled)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # see above
            log.exception("trigger %s could not take anybody in", mine[0].entry.trigger_id)
            sentence = [{"error": f"{type(error).__name__}: nobody could be taken in."}]
            record_decisions([each.refused(Decision.ERROR, sentence) for each in mine], now)
    return entered


def _candidates(heard: Sequence[Heard], now: datetime) -> tuple[list[Candidate], list[Refusal]]:
    """Who stands at the doors, and who was turned away before: one statement for each type of record."""
    sources = _load([(e.event.subject_type_id, e.event.subject_id) for e in heard if e.way.subject is not None])
    found: list[tuple[Heard, int | None]] = []
    refusals: list[Refusal] = []
    for each in heard:
        outcome = _subject(each, sources, now)
        if isinstance(outcome, Refusal):
            refusals.append(outcome)
        else:
            found.append((each, outcome))
    doubtful = {id(each) for each, _ in found if each.way.is_doubtful}
    subjects = _load([(each.way.subject_type_id, pk) for each, pk in found if id(each) in doubtful])
    found = [
        (each, pk) for each, pk in found if not _is_of_another_type(each, subjects.get((each.way.subject_type_id, pk)))
    ]
    candidates = [
        Candidate(
            each.way.entry,
            each.way.subject_type_id,
            pk,
            subjects.get((each.way.subject_type_id, pk)),
            _occasion(each.event, now, trusted=id(each) not in doubtful),
        )
        for each, pk in found
    ]
    return _last_of_those_who_begin_anew(candidates), refusals


def _is_of_another_type(heard: Heard, subject: Mapping[str, Any] | None) -> bool:
    """Records of all own types share one table: what happens to an order is nothing to a pipeline about products."""
    wanted = heard.way.entry.facts.subject_record
    return bool(wanted) and heard.way.subject is None and subject is not None and subject["model"] != f"{OWN}{wanted}"


def _subject(heard: Heard, sources: Mapping[Any, Mapping[str, Any]], now: datetime) -> int | Refusal | None:
    """The id of the record that enters; None for pipelines that are about none."""
    way, event = heard.way, heard.event
    if event.origin_id == way.entry.facts.id and way.kind != Trigger.Kind.EVENT:
        return heard.refused(Decision.SUPPRESSED, OWN_CHANGE)
    if way.subject_type_id is None:
        return None
    if way.subject is None:
        if event.subject_type_id == way.subject_type_id and event.subject_id is not None:
            return event.subject_id
        return heard.refused(Decision.ERROR, "The event is about no record of the kind that this pipeline takes.")
    record = sources.get((event.subject_type_id, event.subject_id)) or event.payload.get("record")
    try:
        value = way.subject.evaluate({"trigger": {**event.payload, "record": record}, "now": now})
    except ParameterError as error:
        return heard.refused(Decision.ERROR, str(error))
    found = value.get("id") if isinstance(value, Mapping) else value
    text = str(found).strip() if isinstance(found, str | int) and not isinstance(found, bool) else ""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    return heard.refused(Decision.ERROR, "The subject of the trigger gives no id of a record.")


def _load(wanted: Sequence[tuple[int | None, int | None]]) -> dict[tuple[int | None, int | None], dict[str, Any]]:
    by_type: dict[int, set[int]] = {}
    for type_id, pk in wanted:
        if type_id is not None and pk is not None:
            by_type.setdefault(type_id, set()).add(pk)
    return {
        (type_id, pk): row for type_id, ids in by_type.items() for pk, row in subject_type(type_id).load(ids).items()
    }


def _occasion(event: Event, now: datetime, *, trusted: bool) -> Occasion:
    return Occasion(
        now, payload=event.payload, key=str(event.pk), trusted=trusted, event_id=event.pk, depth=event.depth
    )


def _last_of_those_who_begin_anew(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of several events that would each restart the same run, the last one counts."""
    kept: dict[Any, Candidate] = {}
    for index, each in enumerate(candidates):
        restarts = each.entry.reentry == RESTART
        kept[(each.entry.trigger_id, each.subject_id) if restarts else index] = each
    return list(kept.values())


def _count(used: Mapping[int | None, int], now: datetime) -> None:
    """How often each trigger was used; the rows are locked in one order, so two batches never wait for each other."""
    rows = Trigger.objects.filter(pk__in=[pk for pk in used if pk]).order_by("pk").select_for_update(no_key=True)
    known = list(rows.values_list("pk", flat=True)) if used else []
    if known:
        amounts = Case(*(When(pk=pk, then=Value(used[pk])) for pk in known), default=Value(0))
        Trigger.objects.filter(pk__in=known).update(fired_total=F("fired_total") + amounts, last_fired_at=now)


def _wait_for_quiet(heard: Sequence[Heard], now: datetime) -> None:
    """Put events aside until nothing new comes about the same record; what changed is kept together."""
    merged: dict[tuple[int, int], Quiet] = {}
    ids = {each.way.entry.trigger_id or 0 for each in heard}
    subjects = {each.event.subject_id or 0 for each in heard}
    for row in Quiet.objects.filter(trigger_id__in=ids, subject_id__in=subjects):
        merged[row.trigger_id, row.subject_id] = row
    fresh: dict[tuple[int, int], Quiet] = {}
    for each in heard:
        event, key = each.event, (each.way.entry.trigger_id or 0, each.event.subject_id or 0)
        before = fresh.get(key) or merged.get(key)
        fresh[key] = Quiet(
            trigger_id=key[0],
            subject_type_id=event.subject_type_id,
            subject_id=key[1],
            event_id=event.pk,
            payload=_together(before.payload if before else {}, event.payload),
            depth=event.depth,
            due_at=now + timedelta(seconds=each.way.debounce),
        )
    Quiet.objects.bulk_create(
        list(fresh.values()),
        batch_size=1000,
        update_conflicts=True,
        unique_fields=["trigger", "subject_id"],
        update_fields=["subject_type", "event_id", "payload", "depth", "due_at"],
    )


def _together(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The later payload, with what changed since the first."""
    if "changes" not in before or "changes" not in after:
        return dict(after)
    first = {name: pair[0] for name, pair in before["changes"].items()}
    last = {name: pair[1] for name, pair in {**before["changes"], **after["changes"]}.items()}
    first = {**{name: pair[0] for name, pair in after["changes"].items()}, **first}
    changes = {name: [first[name], last[name]] for name in last}
    return {**after, "changes": changes, "fields": sorted(changes)}


def _event_of(row: Quiet, way: Way) -> Event:
    """What was put aside, as the event that it has become."""
    return Event(
        pk=row.event_id,
        team_id=way.entry.facts.team.id,
        type="",
        subject_type_id=row.subject_type_id,
        subject_id=row.subject_id or None,
        payload=row.payload,
        depth=row.depth,
    )
