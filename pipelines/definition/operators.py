"""The operators of structured conditions, with the meaning that expressions give them."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from . import comparing
from .durations import parse_duration
from .patterns import search

Takes = Literal["nothing", "a value", "a list", "two values", "a pattern", "a duration", "a date"]


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operator takes as its value, and its test of (actual, expected, now)."""

    takes: Takes
    test: Callable[[Any, Any, dt.datetime | None], bool]


def _plain(test: Callable[[Any, Any], bool]) -> Operator:
    return Operator("a value", lambda actual, expected, now: test(actual, expected))


def _unary(test: Callable[[Any], bool]) -> Operator:
    return Operator("nothing", lambda actual, expected, now: test(actual))


def _in_list(actual: object, expected: object) -> bool:
    return isinstance(expected, list | tuple) and comparing.contains(expected, actual)


def _between(actual: object, expected: object, now: dt.datetime | None) -> bool:
    if not isinstance(expected, list | tuple) or len(expected) != 2:
        return False
    low, high = expected
    return comparing.less_or_equal(low, actual) and comparing.less_or_equal(actual, high)


def _matches(actual: object, expected: object, now: dt.datetime | None) -> bool:
    if not isinstance(expected, str):
        raise TypeError(f"expected a pattern, got {comparing.kind_of(expected)}")
    return isinstance(actual, str) and search(expected, actual)


def _before(actual: object, expected: object) -> bool:
    first, second = comparing.moment_or_none(actual), comparing.moment_or_none(expected)
    return first is not None and second is not None and first < second


def _within_last(actual: object, expected: object, now: dt.datetime | None) -> bool:
    moment = comparing.moment_or_none(actual)
    if moment is None:
        return False
    if now is None:
        raise ValueError("'now' is not known here")
    if not isinstance(expected, dt.timedelta):
        if isinstance(expected, bool) or not isinstance(expected, int | float | str):
            raise TypeError(f"expected a duration, got {comparing.kind_of(expected)}")
        expected = dt.timedelta(seconds=parse_duration(expected))
    return now - expected <= moment <= now


OPERATORS: Mapping[str, Operator] = {
    "equals": _plain(comparing.same),
    "not_equals": _plain(comparing.different),
    "contains": _plain(comparing.contains),
    "not_contains": _plain(lambda actual, item: not comparing.contains(actual, item)),
    "greater_than": _plain(comparing.greater),
    "less_than": _plain(comparing.less),
    "is_empty": _unary(comparing.is_empty),
    "is_not_empty": _unary(lambda actual: not comparing.is_empty(actual)),
    "in_list": Operator("a list", lambda actual, items, now: _in_list(actual, items)),
    "not_in_list": Operator("a list", lambda actual, items, now: not _in_list(actual, items)),
    "greater_or_equal": _plain(comparing.greater_or_equal),
    "less_or_equal": _plain(comparing.less_or_equal),
    "starts_with": _plain(comparing.starts_with),
    "ends_with": _plain(comparing.ends_with),
    "matches": Operator("a pattern", _matches),
    "between": Operator("two values", _between),
    "before": Operator("a date", lambda actual, date, now: _before(actual, date)),
    "after": Operator("a date", lambda actual, date, now: _before(date, actual)),
    "recurs_on": Operator("a date", lambda actual, day, now: comparing.recurs_on(actual, day)),
    "within_last": Operator("a duration", _within_last),
    "not_within_last": Operator("a duration", lambda actual, span, now: not _within_last(actual, span, now)),
    "is_true": _unary(lambda actual: actual is True),
    "is_false": _unary(lambda actual: actual is False),
}
CHANGE_OPERATORS = frozenset({"changed", "changed_to"})
