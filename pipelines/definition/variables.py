"""The types of variables: which values fit them, in words that people read."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from .comparing import as_moment

_WORDS: Final[Mapping[str, str]] = {
    "string": "a text",
    "number": "a number",
    "boolean": "true or false",
    "datetime": "a time such as 2027-03-01T09:00:00Z",
    "date": "a date such as 2027-03-01",
    "object": "an object",
    "list": "a list",
}


def misfit(kind: str, value: Any) -> str:
    """What a value of this type must be, when it is something else; empty when it fits. Nothing fits every type."""
    if value is None or kind not in _WORDS or _fits(kind, value):
        return ""
    return f"must be {_WORDS[kind]}"


def _fits(kind: str, value: Any) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, Mapping)
        case "list":
            return isinstance(value, list | tuple)
        case "date" if isinstance(value, str):
            return _is_date(value)
        case _:
            return isinstance(value, dt.date) or (isinstance(value, str) and _is_moment(value))


def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_moment(text: str) -> bool:
    try:
        as_moment(text)
    except ValueError:
        return False
    return True
