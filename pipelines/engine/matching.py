"""Which open waits an event is for, and whether it is what a wait asked for."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db.models import Q

from pipelines.definition.conditions import Condition, compile_condition
from pipelines.engine.writing.obligations import match_key
from pipelines.models import Event, EventWait
from pipelines.subjects import among


def waits_for(events: Sequence[Event]) -> list[tuple[EventWait, Event]]:
    """Open waits that these events may be for, in the order of the events: two statements."""
    types = {event.type for event in events}
    teams = {event.team_id for event in events}
    names = EventWait.objects.filter(
        status=EventWait.Status.OPEN, event__in=types, match_key__isnull=False, team_id__in=teams
    )
    keys = _keys(events, set(names.values_list("match_names", flat=True).distinct()))
    subjects = {event.subject_id for event in events if event.subject_id is not None}
    found = EventWait.objects.filter(
        Q(subject_id__in=among(subjects)) | Q(match_key__in=keys) | Q(subject_id=None, match_key=None),
        status=EventWait.Status.OPEN,
        event__in=types,
        team_id__in=teams,
    )
    by_place: dict[tuple[Any, ...], list[EventWait]] = {}
    for wait in found:
        by_place.setdefault(_place(wait), []).append(wait)
    return [(wait, event) for event in events for place in _places(event, keys) for wait in by_place.get(place, ())]


def _keys(events: Sequence[Event], names: set[str]) -> dict[Any, None]:
    return {
        match_key({name: event.payload.get(name) for name in joined.split(",")}): None
        for joined in names
        for event in events
    }


def _place(wait: EventWait) -> tuple[Any, ...]:
    return (wait.team_id, wait.event, wait.subject_type_id, wait.subject_id, wait.match_key is not None)


def _places(event: Event, keys: Mapping[Any, None]) -> list[tuple[Any, ...]]:
    """The places at which a wait for this event may stand: its subject, its contents, or neither."""
    found: list[tuple[Any, ...]] = [
        (event.team_id, event.type, event.subject_type_id, event.subject_id, False),
        (event.team_id, event.type, None, None, False),
    ]
    if keys:
        found.append((event.team_id, event.type, None, None, True))
    return list(dict.fromkeys(found))


def fits(wait: EventWait, event: Event, context: Mapping[str, Any]) -> bool:
    """Whether an event is what a wait asked for; a condition that cannot be worked out is not met."""
    if event.occurred_at < wait.since:
        return False
    if wait.match is not None and any(event.payload.get(name) != value for name, value in wait.match.items()):
        return False
    return wait.where is None or met(wait.where, with_event(context, event))


def met(where: Any, context: Mapping[str, Any]) -> bool:
    """Whether a condition, as written, holds."""
    verdict = _compiled(json.dumps(where)).evaluate(context)
    return verdict.met and not verdict.error


def with_event(context: Mapping[str, Any], event: Event) -> dict[str, Any]:
    """The names of a run, and `event` with what it carries."""
    about = {**event.payload, "type": event.type, "occurred_at": event.occurred_at}
    found = {**context, "event": about}
    if "changes" in event.payload:
        found["trigger"] = {**(context.get("trigger") or {}), "changes": event.payload["changes"]}
    return found


@lru_cache(maxsize=2_000)
def _compiled(text: str) -> Condition:
    return compile_condition(json.loads(text))
