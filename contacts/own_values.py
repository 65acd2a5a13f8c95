"""Values inside a JSON column as the database compares them: numbers with numbers, dates with dates, whatever else is
stored under the same key.
"""

from typing import Any, Final

from django.db import connection
from django.db.models import BooleanField, CharField, DecimalField, Field, FloatField, Func, Q, QuerySet
from django.db.models.expressions import F
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from contacts.custom import KEY
from contacts.record_fields import TYPES

RANGES: Final = {"gt": GreaterThan, "gte": GreaterThanOrEqual, "lt": LessThan, "lte": LessThanOrEqual}
NUMBERS: Final = frozenset({"number", "integer"})
DATES: Final = frozenset({"date", "datetime"})
_NUMBER: Final = {
    "postgresql": "CASE WHEN jsonb_typeof({value}) = 'number' THEN ({text})::numeric END",
    "sqlite": "CASE WHEN json_type({at}) IN ('integer', 'real') THEN json_extract({at}) END",
}
# The date of a time as it is written; ordered as bytes, which is how dates follow each other.
_DATE: Final = {
    "postgresql": "CASE WHEN ({text}) ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN left({text}, 10) COLLATE \"C\" END",
    "sqlite": "CASE WHEN json_type({at}) = 'text' AND json_extract({at}) "
    "GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' THEN substr(json_extract({at}), 1, 10) END",
}


_TEXT: Final = {
    "postgresql": "CASE WHEN jsonb_typeof({value}) = 'string' THEN {text} END",
    "sqlite": "CASE WHEN json_type({at}) = 'text' THEN json_extract({at}) END",
}
_TRUTH: Final = {
    "postgresql": "CASE WHEN jsonb_typeof({value}) = 'boolean' THEN ({text})::boolean END",
    "sqlite": "CASE json_type({at}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END",
}


class _Own(Func):
    """One value of a JSON column where it is of the wanted type, else NULL."""

    def __init__(self, column: str, key: str, sql: dict[str, str], output_field: "Field[Any, Any]") -> None:
        if not KEY.fullmatch(key):
            raise ValueError(f"{key!r} cannot stand in a path.")
        super().__init__(F(column), output_field=output_field)
        self.key, self.sql = key, sql

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **more: Any) -> tuple[str, tuple[Any, ...]]:
        column, _params = compiler.compile(self.source_expressions[0])
        places = {
            "{value}": f"({column} -> '{self.key}')",
            "{text}": f"({column} ->> '{self.key}')",
            "{at}": f"{column}, '$.\"{self.key}\"'",
        }
        sql = self.sql[connection.vendor]
        for name, place in places.items():
            sql = sql.replace(name, place)
        return sql, ()

    @property
    def identity(self) -> Any:
        """Two of these are the same only when what they ask is."""
        return (self.__class__, self.source_expressions[0], self.key, self.sql["sqlite"])


def number(column: str, key: str) -> Func:
    """The value where it is a number."""
    exact = connection.vendor == "postgresql"
    return _Own(column, key, _NUMBER, DecimalField(max_digits=40, decimal_places=20) if exact else FloatField())


def day(column: str, key: str) -> Func:
    """The value where it is a date or a time: its date."""
    return _Own(column, key, _DATE, CharField())


def within(rows: QuerySet[Any], *, column: str, key: str, type: str, compare: str, value: str) -> QuerySet[Any]:
    """Rows whose own number or date compares so with a value as text; raises ValueError with a sentence."""
    if type in NUMBERS:
        return rows.filter(Q(RANGES[compare](number(column, key), TYPES["number"](value))))
    if type in DATES:
        return rows.filter(Q(RANGES[compare](day(column, key), TYPES["date"](value))))
    raise ValueError("Only numbers and dates have ranges.")


def equal(rows: QuerySet[Any], *, column: str, key: str, value: str | bool) -> QuerySet[Any]:
    """Rows whose own value is this text, or this truth; neither is the other."""
    if isinstance(value, bool):
        return rows.filter(Exact(_Own(column, key, _TRUTH, BooleanField()), value))
    return rows.filter(Exact(_Own(column, key, _TEXT, CharField()), value))


def containing(rows: QuerySet[Any], *, column: str, key: str, text: str) -> QuerySet[Any]:
    """Rows whose own text contains a text, whatever the case."""
    # Not `custom__key`, for a key may be called as a lookup is.
    texts: QuerySet[Any] = rows.alias(**{f"own_{key}": KeyTextTransform(key, column)})
    return texts.filter(**{f"own_{key}__icontains": text})
