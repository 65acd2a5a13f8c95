"""Sums that cannot run away: numbers, dates and durations of bounded size."""

import datetime as dt
import math
import operator
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from .comparing import as_moment, greater, is_number, kind_of, less

LONGEST_TEXT = 20_000
_WIDEST_BITS = 128
_WIDEST_EXPONENT = 60
_MOST_DIGITS = 10


def number_of(value: object) -> Any:
    """The value itself if it is a number of sensible size."""
    if not is_number(value):
        raise TypeError(f"expected a number, got {kind_of(value)}")
    if isinstance(value, int) and value.bit_length() > _WIDEST_BITS:
        raise ValueError("the number is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("the number is not finite")
    if isinstance(value, Decimal) and not _is_sensible(value):
        raise ValueError("the number is too large or not a number")
    return value


def add(left: object, right: object) -> object:
    """Add numbers, join texts, or move a date by a duration."""
    if isinstance(left, str) and isinstance(right, str):
        if len(left) + len(right) > LONGEST_TEXT:
            raise ValueError(f"the text is longer than {LONGEST_TEXT} characters")
        return left + right
    if isinstance(left, dt.timedelta):
        return left + right if isinstance(right, dt.timedelta) else as_moment(right) + left
    if isinstance(right, dt.timedelta):
        return as_moment(left) + right
    return _calculate(operator.add, left, right)


def subtract(left: object, right: object) -> object:
    """Subtract numbers, durations, or a duration or date from a date."""
    if isinstance(right, dt.timedelta):
        return left - right if isinstance(left, dt.timedelta) else as_moment(left) - right
    if isinstance(left, dt.date | str) and isinstance(right, dt.date | str):
        return as_moment(left) - as_moment(right)
    return _calculate(operator.sub, left, right)


def multiply(left: object, right: object) -> object:
    """Multiply numbers."""
    return _calculate(operator.mul, left, right)


def divide(left: object, right: object) -> object:
    """Divide numbers, or count how often one duration fits into another."""
    if isinstance(left, dt.timedelta) and isinstance(right, dt.timedelta):
        return left / right
    return _calculate(operator.truediv, left, right)


def floor_divide(left: object, right: object) -> object:
    """Divide numbers and drop the fraction."""
    return _calculate(operator.floordiv, left, right)


def remainder(left: object, right: object) -> object:
    """What is left after a floor division."""
    return _calculate(operator.mod, left, right)


def negative(value: object) -> object:
    """Turn the sign of a number or a duration."""
    return -value if isinstance(value, dt.timedelta) else _calculate(operator.sub, 0, value)


def absolute(value: object) -> object:
    """A number or duration without its sign."""
    return abs(value) if isinstance(value, dt.timedelta) else abs(number_of(value))


def rounded(value: object, digits: object = 0) -> object:
    """Round to a whole number, or to as many digits as asked."""
    if not isinstance(digits, int) or not 0 <= digits <= _MOST_DIGITS:
        raise ValueError(f"round to 0 up to {_MOST_DIGITS} digits")
    number = number_of(value)
    return round(number, digits) if digits else round(number)


def parsed_number(value: object) -> object:
    """Read a number from text; a number stays what it is and missing stays missing."""
    if value is None:
        return None
    if not isinstance(value, str):
        return number_of(value)
    text = value[:50].strip()
    if "_" in text or not text.isascii():
        raise ValueError("expected a number, got other text")
    try:
        return number_of(int(text))
    except ValueError:
        pass
    try:
        return number_of(float(text))
    except ValueError:
        raise ValueError("expected a number, got other text") from None


def total(values: Iterable[object]) -> object:
    """The sum of numbers."""
    result: object = 0
    for value in values:
        result = add(result, value)
    return result


def smallest(values: Iterable[object]) -> object:
    """The least of comparable values, without the missing ones."""
    return _extreme(values, less)


def largest(values: Iterable[object]) -> object:
    """The greatest of comparable values, without the missing ones."""
    return _extreme(values, greater)


def _extreme(values: Iterable[object], beats: Callable[[object, object], bool]) -> object:
    best: object = None
    for value in values:
        if value is not None and (best is None or beats(value, best)):
            best = value
    return best


def _calculate(step: Callable[[Any, Any], Any], left: object, right: object) -> object:
    first, second = number_of(left), number_of(right)
    if isinstance(first, Decimal) and isinstance(second, float):
        second = Decimal(repr(second))
    elif isinstance(first, float) and isinstance(second, Decimal):
        first = Decimal(repr(first))
    try:
        return number_of(step(first, second))
    except ZeroDivisionError:
        raise ValueError("cannot divide by zero") from None
    except ArithmeticError:
        if not second:
            raise ValueError("cannot divide by zero") from None
        raise ValueError("the number is too large") from None


def _is_sensible(value: Decimal) -> bool:
    return value.is_finite() and abs(value.adjusted()) <= _WIDEST_EXPONENT
