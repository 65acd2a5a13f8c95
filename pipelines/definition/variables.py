"""The types of variables: which values fit them, what they keep of a value, and what is certain before there is one."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from .comparing import as_moment, kind_of
from .grammar import suggestion

WORDS: Final[Mapping[str, str]] = {
    "string": "a text",
    "number": "a number",
    "boolean": "true or false",
    "datetime": "a time such as 2027-03-01T09:00:00Z",
    "date": "a date such as 2027-03-01",
    "object": "an object",
    "list": "a list",
}


class MisfitError(Exception):
    """A value is not of the type of its variable; `name` says which, `message` what was expected and what came."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message


def undeclared(names: Iterable[str], declared: Collection[str], *, owner: str = "this pipeline") -> dict[str, str]:
    """A sentence for each name under which a value is given though `owner` declares no such variable."""
    there = f"declares {', '.join(sorted(declared)) or 'none'}"
    found = {}
    for name in sorted(set(names) - set(declared)):
        hint = suggestion(name, declared)
        found[name] = f"'{name}' is no variable of {owner}{f'{hint} It' if hint else '; it'} {there}"
    return found


def held(types: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as variables of these types keep them; names without a type take anything. Raises MisfitError."""
    return {name: fitted(name, types.get(name, ""), value) for name, value in values.items()}


def fitted(name: str, kind: str, value: Any) -> Any:
    """One value as a variable of this type keeps it; raises MisfitError."""
    kept = _as_kept(kind, value)
    must = misfit(kind, kept)
    if must:
        raise MisfitError(name, f"{must}, got {kind_of(value)}")
    return kept


def counted(value: Decimal) -> int | float:
    """A decimal as JSON keeps numbers, so that it compares and adds up after it was remembered."""
    return int(value) if value == value.to_integral_value() else float(value)


def _as_kept(kind: str, value: Any) -> Any:
    """Numbers, texts and dates out of what calculates alike but is stored otherwise."""
    match kind, value:
        case "number", Decimal():
            return counted(value)
        case "number", dt.timedelta():
            return value.total_seconds()
        case "string", dt.date():
            return value.isoformat()
        case "string", Decimal():
            return str(value)
        case "date", dt.datetime():
            return value.date()
        case _:
            return value


def misfit(kind: str, value: Any) -> str:
    """What a value of this type must be, when it is something else; empty when it fits. Nothing fits every type."""
    if value is None or kind not in WORDS or _fits(kind, value):
        return ""
    return f"must be {WORDS[kind]}"


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
