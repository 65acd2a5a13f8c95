"""Which records of a team meet a condition, in order of their ids, a part at a time.

The database narrows what it can, and the condition itself decides, so both always agree.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from pipelines.definition.conditions import Condition, Verdict
from pipelines.definition.narrowing import narrowing
from pipelines.definition.program import Standing
from pipelines.engine.segments.fields import lookup_for
from pipelines.engine.store.compiling import compiled
from pipelines.engine.store.searching import as_q, column_of
from pipelines.engine.ways import condition_of
from pipelines.subjects import SubjectType


@dataclass(frozen=True, slots=True)
class Wanted:
    """Records of one kind of a team that meet a condition; `alias` is another word for the record."""

    team_id: int
    kind: SubjectType
    where: Any
    now: datetime
    alias: str = ""
    also: Q | None = None
    # Names of fields may stand alone, as where records are looked for.
    bare: bool = False
    # Whoever meets one of these does not fit.
    exits: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """Records that fit, by id; `after` is where the next part begins, None when this was the last."""

    records: Mapping[int, Mapping[str, Any]]
    looked_at: int
    after: int | None


def fitting(wanted: Wanted, *, after: int = 0, size: int = 2_000) -> Part:
    """The next part: one statement, which reads `size` records at most."""
    condition = condition_of(wanted.where)
    rows = wanted.kind.rows(wanted.team_id).filter(pk__gt=after).order_by("pk")
    narrowed = _narrowed(wanted)
    for each in (narrowed, wanted.also):
        if each is not None:
            rows = rows.filter(each)
    shaped = [wanted.kind.shaped(row) for row in rows[:size]]
    found = {record["id"]: record for record in shaped if meets(wanted, condition, record)}
    return Part(found, len(shaped), shaped[-1]["id"] if len(shaped) == size else None)


def asked_of(wanted: Wanted) -> "QuerySet[Any, Any] | None":
    """All who fit as one question to the database, None when each record must be evaluated."""
    rows = wanted.kind.rows(wanted.team_id)
    if wanted.also is not None:
        rows = rows.filter(wanted.also)
    parts = [each for each in [wanted.where] if each not in (None, [])]
    parts += [{"not": rule.written} for rule in wanted.exits]
    if not parts:
        return rows
    asked = compiled(parts, lookup=lookup_for(wanted.kind), roots=frozenset(_named(wanted, {})), now=wanted.now)
    if asked is None:
        return None
    if isinstance(asked, bool):
        return rows if asked else rows.none()
    return rows.filter(asked)


def meets(wanted: Wanted, condition: Condition | None, record: Mapping[str, Any]) -> bool:
    """Whether one record fits; a condition that cannot be worked out is not met."""
    if condition is not None:
        verdict = judged(wanted, condition, record)
        if verdict.error or not verdict.met:
            return False
    return not wanted.exits or not any(rule.held_by(_seen(wanted, record)) for rule in wanted.exits)


def judged(wanted: Wanted, condition: Condition, record: Mapping[str, Any]) -> Verdict:
    """What a condition says of one record, with its clauses."""
    return condition.evaluate(_seen(wanted, record))


def _seen(wanted: Wanted, record: Mapping[str, Any]) -> dict[str, Any]:
    return {**(record if wanted.bare else {}), **_named(wanted, record), "now": wanted.now}


def _named(wanted: Wanted, record: Mapping[str, Any]) -> dict[str, Any]:
    names = {"subject", "record", wanted.kind.name, wanted.alias} - {""}
    return dict.fromkeys(names, record)


def _narrowed(wanted: Wanted) -> Q | None:
    if wanted.where in (None, []):
        return None
    roots = set(_named(wanted, {}))
    columns = {*wanted.kind.plain, *wanted.kind.relations} if wanted.bare else set()
    is_field: Callable[[str], bool] = lambda name: name in roots or name in columns  # noqa: E731 - one line, one use
    narrow = narrowing(wanted.where, context={"now": wanted.now}, is_field=is_field)

    def lookup(path: tuple[str, ...]) -> Any:
        return column_of(wanted.kind, path[1:] if path[0] in roots and len(path) > 1 else path)

    return as_q(narrow, lookup) if narrow is not None else None
