"""Conditions as one question to the database, with the verdict that the evaluator would give on every row.

What cannot be asked with that certainty is not asked at all: then the caller reads the rows and evaluates.
"""

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

from django.db import connection
from django.db.models import BooleanField, Case, F, Q, Value, When
from django.db.models.functions import Collate, Length, Right, StrIndex, Substr
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, IsNull, LessThan, LessThanOrEqual

from pipelines.definition.comparing import as_moment
from pipelines.definition.durations import DurationError, parse_duration
from pipelines.definition.values import ParameterError, compile_value
from pipelines.engine.store import json_values as values

# True and False are conditions that hold for every row and for none.
Asked: TypeAlias = Q | bool
MOST_VALUES: Final = 200
LARGEST: Final = 2**53
_ORDERS: Final[Mapping[str, Any]] = {
    "greater_than": GreaterThan,
    "less_than": LessThan,
    "greater_or_equal": GreaterThanOrEqual,
    "less_or_equal": LessThanOrEqual,
}
_OPPOSITES: Final = {
    "not_equals": "equals",
    "not_contains": "contains",
    "not_in_list": "in_list",
    "is_not_empty": "is_empty",
    "not_within_last": "within_last",
}


class NotAskable(Exception):
    """The database cannot give the evaluator's verdict."""


class Field:
    """What a field is to the database; each test answers the evaluator's verdict on it."""

    def equals(self, value: Any) -> Asked:
        raise NotAskable

    def order(self, compare: Any, value: Any) -> Asked:
        raise NotAskable

    def contains(self, value: Any) -> Asked:
        return False

    def edge(self, value: Any, *, at_end: bool) -> Asked:
        return False

    def is_empty(self) -> Asked:
        raise NotAskable

    def is_word(self, value: bool) -> Asked:
        return False

    def moment(self, compare: Any, value: datetime) -> Asked:
        raise NotAskable


# The field behind a path such as ("lifecycle_stage",) or ("custom", "plan"); raises NotAskable for unknown ones.
Lookup: TypeAlias = Callable[[tuple[str, ...]], Field]


def compiled(where: Any, *, lookup: Lookup, roots: Collection[str], now: datetime) -> Asked | None:
    """The whole condition as a Q, or None when the rows must be evaluated one by one."""
    try:
        return _build(where, lookup, roots, now)
    except (NotAskable, ParameterError, DurationError, OverflowError, ValueError, TypeError):
        return None


def negated(asked: Asked) -> Asked:
    """What is not so: never unknown, as SQL's own NOT would be where nothing is stored."""
    if isinstance(asked, bool):
        return not asked
    return Q(Case(When(asked, then=Value(False)), default=Value(True), output_field=BooleanField()))


def _build(where: Any, lookup: Lookup, roots: Collection[str], now: datetime) -> Asked:
    if isinstance(where, bool):
        return where
    if isinstance(where, list | tuple):
        return _every([_build(part, lookup, roots, now) for part in where])
    if not isinstance(where, Mapping):
        raise NotAskable
    if "all" in where:
        return _every([_build(part, lookup, roots, now) for part in where["all"]])
    if "any" in where:
        return _some([_build(part, lookup, roots, now) for part in where["any"]])
    if "not" in where:
        return negated(_build(where["not"], lookup, roots, now))
    return _clause(where, lookup, roots, now)


def _every(parts: Sequence[Asked]) -> Asked:
    if any(part is False for part in parts):
        return False
    found = Q()
    for part in parts:
        found = found & part if isinstance(part, Q) else found
    return found or True


def _some(parts: Sequence[Asked]) -> Asked:
    if any(part is True for part in parts):
        return True
    found = Q()
    for part in parts:
        found = found | part if isinstance(part, Q) else found
    return found or False


def _clause(where: Mapping[str, Any], lookup: Lookup, roots: Collection[str], now: datetime) -> Asked:
    operator = str(where.get("operator"))
    if operator in _OPPOSITES:
        return negated(_clause({**where, "operator": _OPPOSITES[operator]}, lookup, roots, now))
    field = lookup(path_of(str(where.get("field", "")), roots))
    given = compile_value(where.get("value"))
    if given.names - {"now"}:
        raise NotAskable
    value = given.evaluate({"now": now})
    match operator:
        case "equals":
            return field.equals(value)
        case "in_list":
            return _among(field, value)
        case "contains":
            return field.contains(value)
        case "starts_with" | "ends_with":
            return field.edge(value, at_end=operator == "ends_with")
        case "is_empty":
            return field.is_empty()
        case "is_true" | "is_false":
            return field.is_word(operator == "is_true")
        case "between":
            low, high = value
            return _every([field.order(GreaterThanOrEqual, low), field.order(LessThanOrEqual, high)])
        case "before" | "after":
            return field.moment(LessThan if operator == "before" else GreaterThan, _moment(value))
        case "within_last":
            since = now - timedelta(seconds=parse_duration(value))
            return _every([field.moment(GreaterThanOrEqual, since), field.moment(LessThanOrEqual, now)])
        case _ if operator in _ORDERS:
            return field.order(_ORDERS[operator], value)
    raise NotAskable


def _among(field: Field, items: Any) -> Asked:
    if not isinstance(items, list | tuple) or len(items) > MOST_VALUES:
        raise NotAskable
    return _some([field.equals(item) for item in items])


def path_of(source: str, roots: Collection[str]) -> tuple[str, ...]:
    """`contact.custom.plan` as ("custom", "plan"); raises NotAskable for anything that is not a plain path."""
    try:
        node: ast.expr = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NotAskable from None
    parts: list[str] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if not isinstance(node.slice.value, str):
                raise NotAskable
            parts.append(node.slice.value)
            node = node.value
        else:
            raise NotAskable
    if node.id not in roots:
        raise NotAskable
    return tuple(reversed(parts))


def _moment(value: Any) -> datetime:
    return as_moment(value).astimezone(UTC)


def _text(value: str) -> str:
    if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise NotAskable
    return value


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


class Text(Field):
    """A text; `absent` says when there is none at all, as where a contact has no company."""

    def __init__(self, expression: Any, *, absent: Asked = False) -> None:
        self.expression, self.absent = expression, absent
        self.letters = Collate(expression, "C" if connection.vendor == "postgresql" else "BINARY")

    def equals(self, value: Any) -> Asked:
        if value is None:
            return self.absent
        if isinstance(value, datetime):
            raise NotAskable
        return Q(Exact(self.expression, _text(value))) if isinstance(value, str) else False

    def order(self, compare: Any, value: Any) -> Asked:
        if isinstance(value, datetime):
            raise NotAskable
        # By code points, as the evaluator has it, whatever language the database is set to.
        return Q(compare(self.letters, _text(value))) if isinstance(value, str) else False

    def contains(self, value: Any) -> Asked:
        if not isinstance(value, str):
            return False
        if not value:
            return self._present()
        return Q(GreaterThan(StrIndex(self.expression, Value(_text(value))), 0))

    def edge(self, value: Any, *, at_end: bool) -> Asked:
        if not isinstance(value, str):
            return False
        if not value:
            return self._present()
        size = len(_text(value))
        part = Right(self.expression, size) if at_end else Substr(self.expression, 1, size)
        return Q(Exact(part, value))

    def is_empty(self) -> Asked:
        return _some([self.absent, Q(Exact(self.expression, ""))])

    def moment(self, compare: Any, value: datetime) -> Asked:
        # A text may be a date to the evaluator, which no database reads as it does.
        raise NotAskable

    def _present(self) -> Asked:
        return Q(GreaterThanOrEqual(Length(self.expression), 0))


class Moment(Field):
    """A point in time; may be missing."""

    def __init__(self, expression: Any) -> None:
        self.expression = expression

    def equals(self, value: Any) -> Asked:
        return self.is_empty() if value is None else self._held(Exact, value)

    def order(self, compare: Any, value: Any) -> Asked:
        return self._held(compare, value)

    def is_empty(self) -> Asked:
        return Q(IsNull(self.expression, True))

    def moment(self, compare: Any, value: datetime) -> Asked:
        return Q(compare(self.expression, Value(value)))

    def _held(self, compare: Any, value: Any) -> Asked:
        try:
            moment = _moment(value)
        except (ValueError, TypeError):
            return False
        return self.moment(compare, moment)


class Number(Field):
    """A whole number; may be missing."""

    def __init__(self, expression: Any, *, absent: Asked = False) -> None:
        self.expression, self.absent = expression, absent

    def equals(self, value: Any) -> Asked:
        return self.absent if value is None else self._held(Exact, value)

    def order(self, compare: Any, value: Any) -> Asked:
        return self._held(compare, value)

    def is_empty(self) -> Asked:
        return self.absent

    def moment(self, compare: Any, value: datetime) -> Asked:
        return False

    def _held(self, compare: Any, value: Any) -> Asked:
        if not is_number(value):
            return False
        if not -LARGEST < value < LARGEST or value != int(value):
            raise NotAskable
        return Q(compare(self.expression, int(value)))


class Related(Field):
    """A whole record: it is there or not."""

    def __init__(self, column: str) -> None:
        self.column = column

    def is_empty(self) -> Asked:
        return Q(IsNull(F(self.column), True))

    def contains(self, value: Any) -> Asked:
        raise NotAskable


class Custom(Field):
    """A value of any type inside a JSON column."""

    def __init__(self, column: str, key: str) -> None:
        if not values.KEY.fullmatch(key):
            raise NotAskable
        self.at = (column, key)
        self.text = Text(values.text_of(*self.at))

    def equals(self, value: Any) -> Asked:
        if value is None:
            return Q(values.is_nothing(*self.at))
        if isinstance(value, bool):
            return Q(values.is_word(*self.at, value))
        if is_number(value):
            return self._number(Exact, value)
        return self._textual(value, lambda text: text.equals(value))

    def order(self, compare: Any, value: Any) -> Asked:
        if is_number(value):
            return self._number(compare, value)
        if value is None or isinstance(value, bool):
            return False
        return self._textual(value, lambda text: text.order(compare, value))

    def contains(self, value: Any) -> Asked:
        if isinstance(value, str):
            text = _text(value)
            inside = [Q(values.has_item(*self.at, text)), Q(values.has_key(*self.at, text))]
            return _some([self.text.contains(text), *inside])
        if isinstance(value, bool) or (is_number(value) and -LARGEST < value < LARGEST):
            return Q(values.has_item(*self.at, value))
        raise NotAskable

    def edge(self, value: Any, *, at_end: bool) -> Asked:
        return self.text.edge(value, at_end=at_end)

    def is_empty(self) -> Asked:
        return Q(values.is_blank(*self.at))

    def is_word(self, value: bool) -> Asked:
        return Q(values.is_word(*self.at, value))

    def _number(self, compare: Any, value: Any) -> Asked:
        if not -LARGEST < value < LARGEST or round(value, 12) != value:
            raise NotAskable
        exact = connection.vendor == "postgresql"
        held = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        return Q(compare(values.number_of(*self.at, exact=exact), held if exact else float(held)))

    def _textual(self, value: Any, ask: Callable[[Text], Asked]) -> Asked:
        # Lists, objects and dates are compared part by part, which is left to the evaluator.
        if not isinstance(value, str):
            raise NotAskable
        return ask(self.text)
