"""The inbox: what happened to a record, or to nobody in particular, stored in the transaction of whoever says it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import SystemRandom
from typing import Any

from django.db import transaction

from pipelines.engine.cause import is_test, next_depth, origin
from pipelines.engine.clock import engine_now
from pipelines.engine.kick import kick
from pipelines.engine.plain import plain
from pipelines.models import Event, EventKey

_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened."""

    team_id: int
    type: str
    subject_type_id: int | None = None
    subject_id: int | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    actor_id: int | None = None
    # When it happened, if that was before it is told.
    occurred_at: datetime | None = None
    # How many runs in a row led to it, and the pipeline that caused it; else whoever is at work is asked.
    depth: int | None = None
    origin_id: int | None = None


def publish(
    *,
    team_id: int,
    type: str,
    subject_type_id: int | None = None,
    subject_id: int | None = None,
    payload: Mapping[str, Any] | None = None,
    key: str | None = None,
    actor_id: int | None = None,
    now: datetime | None = None,
) -> bool:
    """Store an event; False when one with this key was stored before."""
    fact = Fact(team_id, type, subject_type_id, subject_id, payload or {}, key, actor_id)
    return bool(publish_all([fact], now=now))


def publish_all(facts: Sequence[Fact], *, now: datetime | None = None) -> int:
    """Store events in the caller's transaction, each key once; how many are new."""
    return sum(publish_each(facts, now=now))


def publish_each(facts: Sequence[Fact], *, now: datetime | None = None) -> list[bool]:
    """Store events in the caller's transaction, each key once; for each whether it is new.

    What a test run causes is told to nobody: it is as if it were stored.
    """
    if is_test():
        return [True] * len(facts)
    at = now or engine_now()
    with transaction.atomic():
        keyed = [fact for fact in facts if fact.key]
        mine, mark = _new_keys(keyed, at) if keyed else (set[tuple[int, str, str]](), 0)
        new: list[bool] = []
        for fact in facts:
            name = (fact.team_id, fact.type, fact.key or "")
            new.append(not fact.key or name in mine)
            mine.discard(name)
        kept = [fact for fact, is_new in zip(facts, new, strict=True) if is_new]
        rows = Event.objects.bulk_create([_row(fact, at) for fact in kept], batch_size=1000)
        if mark:
            _name_events(rows, mark)
        if rows:
            transaction.on_commit(kick)
    return new


def _row(fact: Fact, at: datetime) -> Event:
    return Event(
        team_id=fact.team_id,
        type=fact.type,
        subject_type_id=fact.subject_type_id,
        subject_id=fact.subject_id,
        actor_id=fact.actor_id,
        payload=plain(fact.payload),
        key=fact.key,
        occurred_at=fact.occurred_at or at,
        depth=next_depth() if fact.depth is None else fact.depth,
        origin_id=origin() if fact.origin_id is None else fact.origin_id,
    )


def _new_keys(facts: Sequence[Fact], at: datetime) -> tuple[set[tuple[int, str, str]], int]:
    """The keys that nobody used before, and the mark by which this call knows its own rows."""
    mark = -_random.randrange(1, 2**62)
    rows = [EventKey(team_id=fact.team_id, type=fact.type, key=fact.key or "", event_id=mark, at=at) for fact in facts]
    EventKey.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
    return set(
        EventKey.objects.filter(event_id=mark, key__in=[fact.key for fact in facts]).values_list(
            "team_id", "type", "key"
        )
    ), mark


def _name_events(rows: Sequence[Event], mark: int) -> None:
    ids = {(row.team_id, row.type, row.key): row.pk for row in rows if row.key}
    keys = list(EventKey.objects.filter(event_id=mark, key__in=[row.key for row in rows if row.key]))
    for key in keys:
        key.event_id = ids[key.team_id, key.type, key.key]
    EventKey.objects.bulk_update(keys, ["event_id"], batch_size=500)
