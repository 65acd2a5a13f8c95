"""The ways into pipelines that events open: read at every batch, so that an edit takes effect at once everywhere."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from django.db.models import Q

from pipelines.definition.conditions import Condition, compile_condition
from pipelines.definition.values import Value, compile_value
from pipelines.engine.entry import Entry
from pipelines.engine.keys import ONCE, RELEASED_ON_LEAVING, WHILE_ACTIVE
from pipelines.engine.programs import facts_of, programs
from pipelines.engine.rules import UPDATED
from pipelines.models import Event, Pipeline, Trigger

DELETED: Final = "deleted"
ENTERED_SEGMENT: Final = "segment_entered"
LEFT_SEGMENT: Final = "segment_left"
INACTIVE: Final = "contact_inactive"
_RECORD_KINDS: Final = {UPDATED: Trigger.Kind.UPDATED.value, DELETED: Trigger.Kind.DELETED.value}
_OWN: Final = (
    "pk", "revision", "where", "reentry", "assign", "kind", "model_id", "event", "segment", "only_fields", "debounce",
    "subject_expression", "pipeline__subject_type_id", "max_per_hour",
    "silence",
)  # fmt: skip
_FACTS: Final = (
    "pipeline_id", "pipeline__key", "pipeline__name", "pipeline__status", "pipeline__current_version_id",
    "pipeline__subject_record", "pipeline__team_id", "pipeline__team__name", "pipeline__team__timezone",
    "pipeline__team__sender_name", "pipeline__team__sender_email", "pipeline__team__reply_to",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Way:
    """A trigger that listens to events."""

    entry: Entry
    kind: int
    model_id: int | None
    event: str
    segment: str
    fields: frozenset[str]
    debounce: int
    silence: int | None
    # How to find whom an event is about, and the type of record that the pipeline is about.
    subject: Value | None
    subject_type_id: int | None

    @property
    def is_doubtful(self) -> bool:
        """Whether the record must be looked at before it enters."""
        return self.subject is not None or bool(self.entry.facts.subject_record) or self.reads_subject

    @property
    def reads_subject(self) -> bool:
        """Whether the record itself decides if and when it enters."""
        entry = self.entry
        if entry.program.standing:
            return True
        names = set(entry.where.names) if entry.where is not None else set()
        keyed = isinstance(entry.reentry, Mapping) and "key" in entry.reentry
        return bool(names - _OF_THE_EVENT) or keyed or bool(entry.assign) or not entry.program.first.delay.is_zero

    def hears(self, event: Event) -> bool:
        """Whether an event of the team is one that this way waits for."""
        match self.kind:
            case Trigger.Kind.EVENT:
                fits = self.event != INACTIVE or self.silence == event.payload.get("silence")
                return self.event == event.type and fits
            case Trigger.Kind.SEGMENT:
                return event.type == ENTERED_SEGMENT and event.payload.get("segment") == self.segment
            case _:
                return _RECORD_KINDS.get(event.type) == self.kind and self._is_about(event)

    def _is_about(self, event: Event) -> bool:
        if self.model_id is not None and self.model_id != event.subject_type_id:
            return False
        changes = event.payload.get("changes")
        if self.kind == Trigger.Kind.UPDATED and not changes:
            return False
        return not self.fields or not self.fields.isdisjoint(changes or ())


_OF_THE_EVENT: Final = frozenset({"trigger", "now", "team", "pipeline", "vars"})


def ways_for(events: Sequence[Event]) -> dict[int, list[Way]]:
    """Open ways that may hear some of these events, by team: two statements for any number of events."""
    types = {event.type for event in events}
    wanted = Q(kind=Trigger.Kind.EVENT, event__in=types)
    for name, kind in _RECORD_KINDS.items():
        if name in types:
            models = {event.subject_type_id for event in events if event.type == name}
            wanted |= Q(kind=kind, model_id__in=models)
    if ENTERED_SEGMENT in types:
        keys = {str(event.payload.get("segment")) for event in events if event.type == ENTERED_SEGMENT}
        wanted |= Q(kind=Trigger.Kind.SEGMENT, segment__in=keys)
    return _by_team(Trigger.objects.filter(wanted, pipeline__team_id__in={event.team_id for event in events}))


def ways_of(trigger_ids: Collection[int]) -> dict[int, Way]:
    """These ways, those that are open, by trigger."""
    found = _by_team(Trigger.objects.filter(pk__in=trigger_ids))
    return {way.entry.trigger_id or 0: way for ways in found.values() for way in ways}


def _by_team(triggers: Any) -> dict[int, list[Way]]:
    rows = list(
        triggers.filter(enabled=True, pipeline__status=Pipeline.Status.ACTIVE, pipeline__current_version__isnull=False)
        .order_by("pk")
        .values_list(*_OWN, *_FACTS)
    )
    loaded = programs({row[len(_OWN) + 4] for row in rows})
    found: dict[int, list[Way]] = {}
    for row in rows:
        way = _way(row, loaded)
        found.setdefault(way.entry.facts.team.id, []).append(way)
    return found


def _way(row: Sequence[Any], loaded: Mapping[int, Any]) -> Way:
    own = dict(zip(_OWN, row, strict=False))
    facts = facts_of(row[len(_OWN) :])
    entry = Entry(
        facts=facts,
        program=loaded[facts.current_version_id or 0].program,
        trigger_id=own["pk"],
        trigger_revision=own["revision"],
        where=condition_of(own["where"]),
        reentry=policy_of(own["kind"], own["segment"], own["reentry"]),
        assign=own["assign"],
        max_per_hour=own["max_per_hour"],
    )
    return Way(
        entry=entry,
        kind=own["kind"],
        model_id=own["model_id"],
        event=own["event"],
        segment=own["segment"],
        fields=frozenset(own["only_fields"] or ()),
        debounce=own["debounce"] or 0,
        silence=own["silence"],
        subject=compile_value(own["subject_expression"]) if own["subject_expression"] else None,
        subject_type_id=own["pipeline__subject_type_id"],
    )


def policy_of(kind: int, segment: str, policy: Any) -> Any:
    """A segment takes each record once unless it says otherwise.

    Who enters the segment again has left it before, so a key that is freed by leaving is free by then.
    """
    if kind != Trigger.Kind.SEGMENT or not segment:
        return policy
    return WHILE_ACTIVE if policy == RELEASED_ON_LEAVING else policy or ONCE


def condition_of(where: Any) -> Condition | None:
    """A condition as a trigger keeps it, compiled once."""
    return _compiled(json.dumps(where)) if where not in (None, []) else None


@lru_cache(maxsize=2_000)
def _compiled(text: str) -> Condition:
    return compile_condition(json.loads(text))
