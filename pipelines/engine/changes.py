"""Changes of records are announced only when somebody listens; otherwise nothing is written."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from pipelines.definition.variables import counted
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.listening import STAGE_CHANGED, listeners_of, triggers_on_changes
from pipelines.engine.plain import plain
from pipelines.engine.rules import UPDATED
from pipelines.models import Event, EventWait, Trigger

Subject = tuple[int, int]
# What changed of one record: (before, after) by field.
Changes = Mapping[str, Sequence[Any]]
# Fields that tell how far a record has come.
STAGES: Final = ("stage", "lifecycle_stage")


def announce(
    *,
    team_id: int,
    subjects: Collection[Subject],
    fields: Sequence[str] = (),
    changes: Mapping[Subject, Changes] | None = None,
    now: datetime | None = None,
) -> int:
    """Store an `updated` event for each of these changed records that a wait, a rule or a trigger listens to.

    Triggers hear of what `changes` tells, and a change of the stage is an event of its own.
    """
    told = changes or {}
    waited_for = _waited_for(team_id, subjects)
    heard = {subject for subject in subjects if subject in waited_for}
    heard |= _ruled(team_id, [subject for subject in subjects if subject not in heard])
    types = _types_with_triggers(team_id) if any(told.values()) else set[int | None]()
    heard |= {subject for subject in subjects if told.get(subject) and (subject[0] in types or None in types)}
    facts = [
        Fact(team_id, UPDATED, type_id, pk, _payload(fields, told.get((type_id, pk)))) for type_id, pk in sorted(heard)
    ]
    facts += [Fact(team_id, STAGE_CHANGED, *subject, payload) for subject, payload in _stages(told)]
    return publish_all(facts, now=now) if facts else 0


def changes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What differs, as [before, after] by field; related records count by their ids."""
    found: dict[str, list[Any]] = {}
    for name, value in after.items():
        old = before.get(name)
        old = old.get("id") if isinstance(old, Mapping) and "id" in old else old
        if old != value:
            found[name] = [old, value]
    return found


def _payload(fields: Sequence[str], changes: Changes | None) -> dict[str, Any]:
    payload: dict[str, Any] = {"fields": sorted(set(fields) | set(changes or ()))}
    if changes:
        payload["changes"] = plain({name: [_amount(value) for value in pair] for name, pair in changes.items()})
    return payload


def _amount(value: Any) -> Any:
    """An amount is told as a number: conditions compare it with one."""
    return counted(value) if isinstance(value, Decimal) else value


def _stages(told: Mapping[Subject, Changes]) -> Iterator[tuple[Subject, dict[str, Any]]]:
    for subject, changes in sorted(told.items()):
        for name in STAGES:
            if name in changes:
                before, after = changes[name]
                yield subject, {"from": before, "to": after, "field": name}


def _types_with_triggers(team_id: int) -> set[int | None]:
    """Types of records whose changes fire triggers; None stands for every type."""
    rows = triggers_on_changes().filter(pipeline__team_id=team_id).values_list("kind", "model_id", "event")
    return {
        model_id if kind == Trigger.Kind.UPDATED else None for kind, model_id, event in rows if event != STAGE_CHANGED
    }


def _waited_for(team_id: int, subjects: Collection[Subject]) -> set[tuple[int | None, int | None]]:
    rows = EventWait.objects.filter(
        team_id=team_id, event=UPDATED, status=EventWait.Status.OPEN, subject_id__in={pk for _, pk in subjects}
    )
    return set(rows.values_list("subject_type_id", "subject_id"))


def _ruled(team_id: int, subjects: Sequence[Subject]) -> set[Subject]:
    """Those in a pipeline whose rules look at changes."""
    asked = [Event(team_id=team_id, type=UPDATED, subject_type_id=type_id, subject_id=pk) for type_id, pk in subjects]
    found = listeners_of(asked).events
    return {
        (event.subject_type_id, event.subject_id)
        for events in found.values()
        for event in events
        if event.subject_type_id is not None and event.subject_id is not None
    }
