"""The functions and methods that expressions may call, and how many arguments each takes."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .arithmetic import absolute, largest, number_of, parsed_number, rounded, smallest, total
from .comparing import as_moment, ends_with, is_empty, kind_of, recurs_on, starts_with
from .durations import parse_duration
from .patterns import search


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language with the number of arguments it accepts."""

    call: Callable[..., Any]
    fewest: int
    most: int


def _span(unit: str) -> Callable[[object], object]:
    def span(amount: object) -> object:
        if amount is None:
            return None
        return dt.timedelta(**{unit: float(number_of(amount))})

    return span


def _duration(value: object) -> object:
    if value is None or isinstance(value, dt.timedelta):
        return value
    if not isinstance(value, str):
        number_of(value)
        return dt.timedelta(seconds=parse_duration(float(value)))  # type: ignore[arg-type]
    return dt.timedelta(seconds=parse_duration(value))


def _date(value: object) -> object:
    return None if value is None else as_moment(value)


def _length(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise TypeError(f"expected text or a list, got {kind_of(value)}")


def _items(value: object) -> list[object]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return list(value)
    raise TypeError(f"expected a list, got {kind_of(value)}")


def _over(reduce: Callable[[list[object]], object]) -> Callable[..., object]:
    """Accept either one list or several arguments."""

    def call(*values: object) -> object:
        return reduce(_items(values[0]) if len(values) == 1 else list(values))

    return call


def _text(change: Callable[[str], str]) -> Callable[[object], object]:
    def call(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str):
            raise TypeError(f"expected text, got {kind_of(value)}")
        return change(value)

    return call


def _matches(text: object, pattern: object) -> bool:
    if not isinstance(pattern, str):
        raise TypeError(f"expected a pattern, got {kind_of(pattern)}")
    return isinstance(text, str) and search(pattern, text)


def _default(value: object, other: object) -> object:
    return other if is_empty(value) else value


FUNCTIONS: Mapping[str, Function] = {
    "days": Function(_span("days"), 1, 1),
    "hours": Function(_span("hours"), 1, 1),
    "minutes": Function(_span("minutes"), 1, 1),
    "duration": Function(_duration, 1, 1),
    "date": Function(_date, 1, 1),
    "len": Function(_length, 1, 1),
    "sum": Function(_over(total), 1, 50),
    "min": Function(_over(smallest), 1, 50),
    "max": Function(_over(largest), 1, 50),
    "abs": Function(absolute, 1, 1),
    "round": Function(rounded, 1, 2),
    "number": Function(parsed_number, 1, 1),
    "default": Function(_default, 2, 2),
    "is_empty": Function(is_empty, 1, 1),
    "lower": Function(_text(str.lower), 1, 1),
    "upper": Function(_text(str.upper), 1, 1),
    "strip": Function(_text(str.strip), 1, 1),
    "startswith": Function(starts_with, 2, 2),
    "endswith": Function(ends_with, 2, 2),
    "recurs_on": Function(recurs_on, 2, 2),
    "matches": Function(_matches, 2, 2),
    "any": Function(_over(any), 1, 50),
    "all": Function(_over(all), 1, 50),
}
METHODS = frozenset({"lower", "upper", "strip", "startswith", "endswith"})
