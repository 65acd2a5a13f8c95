"""Values inside a JSON column as both databases see them, each with its type, so that texts never equal numbers."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from django.db.models import BooleanField, CharField, DecimalField, F, Field, FloatField, Func

KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class JsonValue(Func):
    """SQL about one value of a JSON column, written for each database: `{v}` is the value, `{t}` the value as text,
    `{at}` where SQLite finds it; the parameters may differ.
    """

    def __init__(
        self,
        column: str,
        key: str,
        *,
        postgres: str,
        sqlite: str,
        output_field: "Field[Any, Any]",
        params: Sequence[Any] = (),
        postgres_params: Sequence[Any] | None = None,
    ) -> None:
        if not KEY.fullmatch(key):
            raise ValueError(f"{key!r} cannot stand in a path.")
        super().__init__(F(column), output_field=output_field)
        self.key, self.postgres, self.sqlite = key, postgres, sqlite
        self.params = tuple(params)
        self.postgres_params = self.params if postgres_params is None else tuple(postgres_params)

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **more: Any) -> tuple[str, tuple[Any, ...]]:
        column, _params = compiler.compile(self.source_expressions[0])
        if connection.vendor == "postgresql":
            value, text = f"({column} -> '{self.key}')", f"({column} ->> '{self.key}')"
            return self.postgres.replace("{v}", value).replace("{t}", text), self.postgres_params
        return self.sqlite.replace("{at}", f"{column}, '$.\"{self.key}\"'"), self.params

    @property
    def identity(self) -> Any:
        """Two of these are the same only when what they ask is."""
        return (self.__class__, self.source_expressions[0], self.key, self.postgres, self.params)


def text_of(column: str, key: str) -> JsonValue:
    """The value where it is a text, else NULL."""
    return JsonValue(
        column, key, output_field=CharField(),
        postgres="CASE WHEN jsonb_typeof({v}) = 'string' THEN {t} END",
        sqlite="CASE WHEN json_type({at}) = 'text' THEN json_extract({at}) END",
    )  # fmt: skip


def number_of(column: str, key: str, *, exact: bool) -> JsonValue:
    """The value where it is a number, else NULL; `exact` on databases that hold decimals."""
    return JsonValue(
        column, key, output_field=DecimalField(max_digits=40, decimal_places=20) if exact else FloatField(),
        postgres="CASE WHEN jsonb_typeof({v}) = 'number' THEN {t}::numeric END",
        sqlite="CASE WHEN json_type({at}) IN ('integer', 'real') THEN json_extract({at}) END",
    )  # fmt: skip


def is_nothing(column: str, key: str) -> JsonValue:
    """Whether it is missing or null."""
    return JsonValue(
        column, key, output_field=BooleanField(),
        postgres="coalesce(jsonb_typeof({v}), 'null') = 'null'",
        sqlite="coalesce(json_type({at}), 'null') = 'null'",
    )  # fmt: skip


def is_word(column: str, key: str, value: bool) -> JsonValue:
    """Whether it is true, or false."""
    word = "true" if value else "false"
    return JsonValue(
        column, key, output_field=BooleanField(),
        postgres=f"coalesce({{v}} = '{word}'::jsonb, false)", sqlite=f"coalesce(json_type({{at}}), '') = '{word}'",
    )  # fmt: skip


def is_blank(column: str, key: str) -> JsonValue:
    """Whether nothing is there: missing, null, an empty text, list or object."""
    return JsonValue(
        column, key, output_field=BooleanField(),
        postgres="coalesce({v} IN ('null', '\"\"', '[]', '{}'), true)",
        sqlite="CASE coalesce(json_type({at}), 'null') WHEN 'null' THEN 1 WHEN 'text' THEN json_extract({at}) = '' "
               "WHEN 'array' THEN json_extract({at}) = '[]' WHEN 'object' THEN json_extract({at}) = '{}' ELSE 0 END",
    )  # fmt: skip


def has_item(column: str, key: str, value: Any) -> JsonValue:
    """Whether it is a list with an equal item."""
    params: list[Any] = []
    if isinstance(value, bool):
        test = f"e.type = '{'true' if value else 'false'}'"
    elif isinstance(value, str):
        test, params = "e.type = 'text' AND e.value = %s", [value]
    else:
        test, params = "e.type IN ('integer', 'real') AND e.value = %s", [float(value)]
    item = json.dumps([value if isinstance(value, str | bool | int) else float(value)])
    inside = "EXISTS (SELECT 1 FROM json_each({at}) e WHERE "
    return JsonValue(
        column, key, output_field=BooleanField(), params=params, postgres_params=[item],
        postgres="coalesce(jsonb_typeof({v}) = 'array' AND {v} @> %s::jsonb, false)",
        sqlite="(coalesce(json_type({at}), '') = 'array' AND " + inside + test + "))",
    )  # fmt: skip


def has_key(column: str, key: str, name: str) -> JsonValue:
    """Whether it is an object with a key."""
    return JsonValue(
        column, key, output_field=BooleanField(), params=[name],
        postgres="coalesce(jsonb_typeof({v}) = 'object' AND jsonb_exists({v}, %s), false)",
        sqlite="(coalesce(json_type({at}), '') = 'object' "
               "AND EXISTS (SELECT 1 FROM json_each({at}) e WHERE e.key = %s))",
    )  # fmt: skip
