"""Conditions as one question to the database, with the verdict that the evaluator would give on every row.

What cannot be asked with that certainty is not asked at all: then the caller reads the rows and evaluates.
"""

import ast
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from pipelines.definition.comparing import days_recurring
from pipelines.definition.durations import DurationError, parse_duration
from pipelines.definition.values import ParameterError, compile_value
from pipelines.engine.store.askable import Asked, Field, NotAskable, every, moment_of, negated, some

MOST_VALUES: Final = 200
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


# The field behind a path such as ("lifecycle_stage",) or ("custom", "plan"); raises NotAskable for unknown ones.
Lookup: TypeAlias = Callable[[tuple[str, ...]], Field]


def compiled(where: Any, *, lookup: Lookup, roots: Collection[str], now: datetime) -> Asked | None:
    """The whole condition as a Q, or None when the rows must be evaluated one by one."""
    try:
        return _build(where, lookup, roots, now)
    except (NotAskable, ParameterError, DurationError, OverflowError, ValueError, TypeError):
        return None


def _build(where: Any, lookup: Lookup, roots: Collection[str], now: datetime) -> Asked:
    if isinstance(where, bool):
        return where
    if isinstance(where, list | tuple):
        return every([_build(part, lookup, roots, now) for part in where])
    if not isinstance(where, Mapping):
        raise NotAskable
    if "all" in where:
        return every([_build(part, lookup, roots, now) for part in where["all"]])
    if "any" in where:
        return some([_build(part, lookup, roots, now) for part in where["any"]])
    if "not" in where:
        return negated(_build(where["not"], lookup, roots, now))
    return _clause(where, lookup, roots, now)


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
            return every([field.order(GreaterThanOrEqual, low), field.order(LessThanOrEqual, high)])
        case "before" | "after":
            return field.moment(LessThan if operator == "before" else GreaterThan, moment_of(value))
        case "recurs_on":
            return field.recurs(days_recurring(value))
        case "within_last":
            since = now - timedelta(seconds=parse_duration(value))
            return every([field.moment(GreaterThanOrEqual, since), field.moment(LessThanOrEqual, now)])
        case _ if operator in _ORDERS:
            return field.order(_ORDERS[operator], value)
    raise NotAskable


def _among(field: Field, items: Any) -> Asked:
    if not isinstance(items, list | tuple) or len(items) > MOST_VALUES:
        raise NotAskable
    return some([field.equals(item) for item in items])


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
