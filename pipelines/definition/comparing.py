"""What equality, order, membership and emptiness mean, the same in conditions and expressions."""

import calendar
import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal

_LONGEST_DATE_TEXT = 40


def is_number(value: object) -> bool:
    """Whether the value counts as a number; true and false do not."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def is_empty(value: object) -> bool:
    """Whether nothing is there: missing, empty text, an empty list or an empty object."""
    if value is None:
        return True
    return isinstance(value, str | list | tuple | Mapping) and len(value) == 0


def as_moment(value: object) -> dt.datetime:
    """Read a date, a datetime or ISO 8601 text as an aware datetime; without a zone it is UTC."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value[:_LONGEST_DATE_TEXT].strip())
        except ValueError:
            raise ValueError("expected a date, got other text") from None
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    raise TypeError(f"expected a date, got {kind_of(value)}")


def moment_or_none(value: object) -> dt.datetime | None:
    """Read a moment, or nothing when the value is not one."""
    try:
        return as_moment(value)
    except (TypeError, ValueError):
        return None


def kind_of(value: object) -> str:
    """Name the type of a value in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if is_number(value):
        return "a number"
    names: tuple[tuple[type, str], ...] = (
        (str, "text"),
        (dt.date, "a date"),
        (dt.timedelta, "a duration"),
        (list, "a list"),
        (tuple, "a list"),
        (Mapping, "an object"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "another value")


def same(left: object, right: object) -> bool:
    """Equality that never converts types, except ISO text against a date."""
    if left is None or right is None:
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if is_number(left) and is_number(right):
        return bool(_exact(left) == _exact(right))
    if isinstance(left, dt.date) or isinstance(right, dt.date):
        first, second = moment_or_none(left), moment_or_none(right)
        return first is not None and first == second
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def different(left: object, right: object) -> bool:
    """The opposite of equality, so missing differs from everything but missing."""
    return not same(left, right)


def contains(container: object, item: object) -> bool:
    """Whether text holds a text, a list an equal item, or an object a key."""
    if isinstance(container, str):
        return isinstance(item, str) and item in container
    if isinstance(container, list | tuple):
        return any(same(item, each) for each in container)
    return isinstance(container, Mapping) and isinstance(item, str) and item in container


def less(left: object, right: object) -> bool:
    """Strict order; false for missing values and for values of different types."""
    return _ordered(left, right, lambda sign: sign < 0)


def less_or_equal(left: object, right: object) -> bool:
    """Order or equality; false for missing values and for values of different types."""
    return _ordered(left, right, lambda sign: sign <= 0)


def greater(left: object, right: object) -> bool:
    """Strict order the other way round."""
    return less(right, left)


def greater_or_equal(left: object, right: object) -> bool:
    """Order or equality the other way round."""
    return less_or_equal(right, left)


def starts_with(text: object, start: object) -> bool:
    """Whether a text begins with another; false for anything that is not text."""
    return isinstance(text, str) and isinstance(start, str) and text.startswith(start)


def ends_with(text: object, end: object) -> bool:
    """Whether a text ends with another; false for anything that is not text."""
    return isinstance(text, str) and isinstance(end, str) and text.endswith(end)


def days_recurring(day: object) -> frozenset[tuple[int, int]]:
    """Month and day of the dates that come round on a day; in a year without 29 February, its dates do on the 28th."""
    moment = moment_or_none(day)
    if moment is None:
        return frozenset()
    found = (moment.month, moment.day)
    leaps = found == (2, 28) and not calendar.isleap(moment.year)
    return frozenset({found, (2, 29)} if leaps else {found})


def recurs_on(date: object, day: object) -> bool:
    """Whether a date comes round on a day, as birthdays do; a date that is a text is taken as it is written."""
    days = days_recurring(day)
    if isinstance(date, str):
        return date[4:10] in map(written_day, days)
    if isinstance(date, dt.datetime):
        date = as_moment(date).astimezone(dt.UTC)
    return isinstance(date, dt.date) and (date.month, date.day) in days


def written_day(day: tuple[int, int]) -> str:
    """The end of a date of this month and day, from its fifth letter on, such as "-02-28"."""
    return f"-{day[0]:02}-{day[1]:02}"


def _ordered(left: object, right: object, verdict: Callable[[int], bool]) -> bool:
    sign = _sign(left, right)
    return sign is not None and verdict(sign)


def _sign(left: object, right: object) -> int | None:
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    if is_number(left) and is_number(right):
        first, second = _exact(left), _exact(right)
        if _is_nan(first) or _is_nan(second):
            return None
        return (first > second) - (first < second)
    if isinstance(left, dt.date) or isinstance(right, dt.date):
        before, after = moment_or_none(left), moment_or_none(right)
        if before is None or after is None:
            return None
        return (before > after) - (before < after)
    if isinstance(left, dt.timedelta) and isinstance(right, dt.timedelta):
        return (left > right) - (left < right)
    return None


def _exact(value: object) -> Decimal | int:
    """Numbers by the value a person reads: 0.1 is a tenth whether stored as float or decimal."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int | Decimal):
        return value
    raise TypeError(f"expected a number, got {kind_of(value)}")


def _is_nan(value: Decimal | int) -> bool:
    return isinstance(value, Decimal) and value.is_nan()
