"""Records of a team that steps look for, and segments by their keys: one statement each."""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from functools import reduce
from typing import Any, Final

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import F, Q, QuerySet
from django.db.models.fields.json import KeyTransform

from contacts.models import Record, Segment
from pipelines.actions.base import Found, RecordShape, Search
from pipelines.definition.narrowing import Clause, Every, Narrowing, Some
from pipelines.subjects import RELATED_FIELDS, SubjectType, subject_types

# A condition that the database cannot decide is held against so many records, and no more.
MOST_LOOKED_AT: Final = 5_000
FIRST_LOOKED_AT: Final = 500
_LOOKUPS: Final[Mapping[str, str]] = {
    "equals": "exact",
    "less": "lt",
    "less_or_equal": "lte",
    "greater": "gt",
    "greater_or_equal": "gte",
    "among": "in",
}
# Words that a path into JSON cannot end with, because they are lookups themselves.
_WORDS: Final = frozenset({*models.JSONField().get_lookups(), *KeyTransform("key", "values").get_lookups(), "pk"})
_COLUMNS: Final = ("pk", "created_at", "updated_at", "values")

Lookup = Callable[[tuple[str, ...]], tuple[str, type[Any] | None] | None]


def find(search: Search) -> Found:
    """The records of the team that meet the condition, at most as many as asked for."""
    kind = subject_types().get(search.model)
    shaped: Callable[[Any], dict[str, Any]]
    if kind is not None:
        rows, shaped = kind.rows(search.team_id), kind.shaped
        lookup: Lookup = lambda path: column_of(kind, path)  # noqa: E731 - two shapes of one thing, side by side
    elif search.shape is not None:
        shape = search.shape
        rows = Record.objects.filter(team_id=search.team_id, type_id=shape.id).values_list(*_COLUMNS)
        shaped, lookup = _record_of(shape), _value
    else:
        return Found(error=f"There is no type of record {search.model!r} in this team.")
    narrowed = as_q(search.narrowed, lookup) if search.narrowed is not None else None
    if narrowed is not None:
        rows = rows.filter(narrowed)
    return _met(search, rows.order_by(*_order(search.order, lookup)), shaped)


def _met(search: Search, rows: QuerySet[Any, Any], shaped: Callable[[Any], dict[str, Any]]) -> Found:
    if search.where is None:
        return Found(tuple(shaped(row) for row in rows[: search.limit]))
    found: list[dict[str, Any]] = []
    # Most of what is looked for is among the first; the rest is read only when it is not.
    for part in (slice(0, FIRST_LOOKED_AT), slice(FIRST_LOOKED_AT, MOST_LOOKED_AT)):
        page = list(rows[part])
        for row in page:
            record = shaped(row)
            verdict = search.where.evaluate({**search.context, **record, "record": record})
            if verdict.error:
                return Found(error=f"The condition of the search cannot be read: {verdict.error}")
            if verdict.met:
                found.append(record)
                if len(found) == search.limit:
                    return Found(tuple(found))
        if len(page) < part.stop - part.start:
            return Found(tuple(found))
    return Found(
        error=f"The search gave up after {MOST_LOOKED_AT:,} records: narrow it with a field that equals a text or is "
        "compared with a number."
    )


def segments_by_key(keys: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """Ids of lists by (team, key); segments with rules are not among them, for nobody is put into those."""
    wanted = Segment.objects.filter(
        team_id__in={team for team, _ in keys}, key__in={key for _, key in keys}, kind=Segment.Kind.STATIC
    )
    found = {(team, key): pk for team, key, pk in wanted.values_list("team_id", "key", "pk")}
    return {pair: found[pair] for pair in keys if pair in found}


def _record_of(shape: RecordShape) -> Callable[[Any], dict[str, Any]]:
    def shaped(row: Any) -> dict[str, Any]:
        pk, created_at, updated_at, values = row
        known = {"id": pk, "model": f"records.{shape.key}", "created_at": created_at, "updated_at": updated_at}
        return {**dict.fromkeys(str(each["key"]) for each in shape.fields), **values, **known}

    return shaped


def as_q(narrowed: Narrowing, lookup: Lookup) -> Q | None:
    """What a database is asked; None where nothing is narrowed; a field nobody knows narrows nothing."""
    match narrowed:
        case Clause():
            return _clause(narrowed, lookup)
        case Every(parts):
            known = [q for q in (as_q(part, lookup) for part in parts) if q is not None]
            return reduce(lambda left, right: left & right, known) if known else None
        case Some(parts):
            found = [as_q(part, lookup) for part in parts]
            if any(q is None for q in found):
                return None
            return reduce(lambda left, right: left | right, [q for q in found if q is not None], Q(pk__in=[]))


def _clause(clause: Clause, lookup: Lookup) -> Q | None:
    place = lookup(clause.field)
    if place is None:
        return None
    path, wanted = place
    many = clause.test == "among"
    values = [_fitting(value, wanted) for value in (clause.value if many else [clause.value])]
    # What is of another type equals nothing and is in no order with it.
    fitting = [value for value in values if value is not None]
    if not fitting:
        return Q(pk__in=[])
    return Q(**{f"{path}__{_LOOKUPS[clause.test]}": fitting if many else fitting[0]})


def _fitting(value: Any, wanted: type[Any] | None) -> Any:
    """The value as the column compares it, None when it is of another type."""
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if wanted is None:
        return float(value) if isinstance(value, Decimal) else value
    if wanted is Decimal:
        return (Decimal(repr(value)) if isinstance(value, float) else value) if is_number else None
    return value if type(value) is wanted else None


def _value(path: tuple[str, ...]) -> tuple[str, type[Any] | None] | None:
    """A value of a record of an own type."""
    path = path[1:] if path[0] == "record" else path
    if path == ("id",):
        return "pk", Decimal
    name = path[0] if len(path) == 1 else ""
    return (f"values__{name}", None) if name and "__" not in name and name not in _WORDS else None


def column_of(kind: SubjectType, path: tuple[str, ...]) -> tuple[str, type[Any] | None] | None:
    """A column of a record, or one of its custom values; None for what is compared in other ways."""
    path = path[1:] if path[0] == "record" else path
    if len(path) == 2 and path[0] == "custom":
        return (f"custom__{path[1]}", None) if "__" not in path[1] and path[1] not in _WORDS else None
    if len(path) == 2 and path[0] in RELATED_FIELDS and path[1] == "id" and path[0] in kind.relations:
        return f"{path[0]}_id", Decimal
    if len(path) != 1:
        return None
    (name,) = path
    if name in kind.plain and name != "custom":
        return _typed(kind.model, name)
    if name in kind.derived or name in kind.relations or "__" in name or name in _WORDS:
        return None
    return f"custom__{name}", None


def _typed(model: type[models.Model], name: str) -> tuple[str, type[Any]] | None:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    if isinstance(field, models.BooleanField):
        return name, bool
    if isinstance(field, models.CharField | models.TextField):
        return name, str
    if isinstance(field, models.IntegerField | models.DecimalField | models.FloatField):
        return name, Decimal
    return None


def _order(order: str, lookup: Lookup) -> list[Any]:
    """By a field, and by age among equals; newest first when nothing is said."""
    if not order:
        return ["-pk"]
    name, descending = order.removeprefix("-"), order.startswith("-")
    place = lookup((name,))
    path = place[0] if place is not None else name if name in ("created_at", "updated_at") else None
    if path is None:
        return ["-pk"]
    by = F(path).desc(nulls_last=True) if descending else F(path).asc(nulls_last=True)
    return [by, "-pk" if descending else "pk"]
