"""Kinds of fields as a database is asked about them: each test answers the evaluator's verdict on every row."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from django.db import connection
from django.db.models import BooleanField, Case, Q, Value, When
from django.db.models.functions import Collate, ExtractDay, ExtractMonth, Length, Right, StrIndex, Substr
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, IsNull

from pipelines.definition.comparing import as_moment, written_day
from pipelines.engine.store import json_values as values

# True and False are conditions that hold for every row and for none.
Asked: TypeAlias = Q | bool
# Months and days of the year.
Days: TypeAlias = Collection[tuple[int, int]]
LARGEST: Final = 2**53


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

    def recurs(self, days: Days) -> Asked:
        return False


def negated(asked: Asked) -> Asked:
    """What is not so: never unknown, as SQL's own NOT would be where nothing is stored."""
    if isinstance(asked, bool):
        return not asked
    return Q(Case(When(asked, then=Value(False)), default=Value(True), output_field=BooleanField()))


def every(parts: Sequence[Asked]) -> Asked:
    if any(part is False for part in parts):
        return False
    found = Q()
    for part in parts:
        found = found & part if isinstance(part, Q) else found
    return found or True


def some(parts: Sequence[Asked]) -> Asked:
    if any(part is True for part in parts):
        return True
    found = Q()
    for part in parts:
        found = found | part if isinstance(part, Q) else found
    return found or False


def moment_of(value: Any) -> datetime:
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
        return some([self.absent, Q(Exact(self.expression, ""))])

    def moment(self, compare: Any, value: datetime) -> Asked:
        # A text may be a date to the evaluator, which no database reads as it does.
        raise NotAskable

    def recurs(self, days: Days) -> Asked:
        return some([Q(Exact(Substr(self.expression, 5, 6), written_day(day))) for day in days])

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

    def recurs(self, days: Days) -> Asked:
        month, day = (part(self.expression, tzinfo=UTC) for part in (ExtractMonth, ExtractDay))
        return some([Q(Exact(month, each[0])) & Q(Exact(day, each[1])) for each in days])

    def _held(self, compare: Any, value: Any) -> Asked:
        try:
            moment = moment_of(value)
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

    def __init__(self, key: Any) -> None:
        self.key = key

    def is_empty(self) -> Asked:
        return Q(IsNull(self.key, True))

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
            return some([self.text.contains(text), *inside])
        if isinstance(value, bool) or (is_number(value) and -LARGEST < value < LARGEST):
            return Q(values.has_item(*self.at, value))
        raise NotAskable

    def edge(self, value: Any, *, at_end: bool) -> Asked:
        return self.text.edge(value, at_end=at_end)

    def recurs(self, days: Days) -> Asked:
        return self.text.recurs(days)

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
