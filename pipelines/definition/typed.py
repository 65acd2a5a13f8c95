"""What is certain of values before there are any: their types, and what can never come of two of them.

A type is that of a value that is there: what may be missing is still of its type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from .comparing import kind_of, moment_or_none

# A date is written as a text or is one, a moment is never a text, and a duration is how long something takes.
Type = Literal["text", "number", "boolean", "moment", "date", "duration", "list", "object"]
_WORDS: Final[Mapping[Type, str]] = {
    "text": "a text",
    "number": "a number",
    "boolean": "true or false",
    "moment": "a date",
    "date": "a date",
    "duration": "a duration",
    "list": "a list",
    "object": "an object",
}
_WRITTEN: Final = frozenset({"text", "date"})
_IN_TIME: Final = frozenset({"moment", "date"})
_MAY_BE_IN_TIME: Final = _IN_TIME | {"text"}
_MOST_TOLD: Final = 8


@dataclass(frozen=True, slots=True)
class Typed:
    """A value of which the type is known: a field by its name, or what is written itself."""

    type: Type
    name: str = ""
    # What alone a text may be; empty when it may be any.
    options: tuple[str, ...] = ()
    # What is written itself: a text, or the items of a list.
    text: str | None = None
    items: tuple["Typed | None", ...] = ()
    # Whether no value of another type can be stored there.
    firm: bool = True

    def __str__(self) -> str:
        if self.text is not None:
            return f"'{self.text[:40]}' is {'a text' if moment_or_none(self.text) is None else 'a date as text'}"
        return f"{self.name or 'this'} is {_WORDS[self.type]}"


Known = Typed | None
Types = Callable[[tuple[str, ...]], Known]


@dataclass(frozen=True, slots=True)
class Finding:
    """A part that can never be what its author meant: it fails, or it always has the same result."""

    message: str
    line: int | None = None
    column: int | None = None
    fails: bool = False

    def __str__(self) -> str:
        place = f" (line {self.line}, column {self.column})" if self.line and self.column else ""
        return f"{self.message}{place}"


def written(value: object) -> Known:
    """The type of a value that is written as it stands."""
    if isinstance(value, str):
        return Typed("text", text=value)
    if isinstance(value, list | tuple):
        return Typed("list", items=tuple(written(item) for item in value))
    found: dict[str, Type] = {"true or false": "boolean", "a number": "number", "an object": "object"}
    kind = found.get(kind_of(value))
    return Typed(kind, name=str(value).lower() if kind != "object" else "") if kind else None


def alike(parts: list[Known]) -> Known:
    """The type that all parts have; of parts that differ nothing is certain."""
    types = {part.type if part else None for part in parts}
    first = parts[0]
    return Typed(first.type, firm=all(part.firm for part in parts if part)) if first and len(types) == 1 else None


def named(known: Known, name: str) -> Known:
    """The same under the name by which people know it."""
    return replace(known, name=name) if known and not known.text and not known.name else known


def never_same(left: Known, right: Known) -> str:
    """Why two values can never be equal; empty when they may be."""
    if left is None or right is None:
        return ""
    types = {left.type, right.type}
    if types <= _MAY_BE_IN_TIME and types & _IN_TIME:
        return _no_date(left, right)
    if len(types) > 1:
        return f"{left} and {right}"
    return _no_option(left, right) or _no_option(right, left)


def never_ordered(left: Known, right: Known) -> str:
    """Why neither of two values can ever come before the other; empty when one may."""
    if left is None or right is None:
        return ""
    types = {left.type, right.type}
    if types <= _WRITTEN:
        return ""
    if types <= _MAY_BE_IN_TIME:
        return _no_date(left, right)
    if len(types) > 1:
        return f"{left} and {right}"
    return f"{left}, which has no order" if types & {"boolean", "list", "object"} else ""


def by_letters(left: Known, right: Known) -> str:
    """Why a date that is written as text is not ordered as one; empty when it is, or nothing is a date."""
    if left is None or right is None or {left.type, right.type} != {"text", "date"}:
        return ""
    return _no_date(left, right)


def never_holds(container: Known, item: Known) -> str:
    """Why a value can never be contained in another; empty when it may be."""
    if container is None:
        return ""
    if container.type == "list":
        reasons = [never_same(item, each) for each in container.items]
        return reasons[0] if reasons and all(reasons) else ""
    if container.type not in _WRITTEN | {"object"}:
        return f"{container}, which contains nothing"
    return never_text(item)


def never_text(value: Known) -> str:
    """Why a value is no text; empty when it may be one."""
    return f"{value}, not a text" if value and value.type not in _WRITTEN else ""


def never_boolean(value: Known) -> str:
    """Why a value is neither true nor false."""
    return f"{value}, which is neither true nor false" if value and value.type != "boolean" else ""


def never_moment(value: Known) -> str:
    """Why a value is no point in time; empty when it may be one."""
    if value is None or value.type in _IN_TIME:
        return ""
    texts = value.options if value.text is None else (value.text,)
    if value.type != "text" or (texts and all(moment_or_none(text) is None for text in texts)):
        return f"{value}, not a date"
    return ""


def _no_date(left: Typed, right: Typed) -> str:
    return next((f"{left} and {right}" for each in (left, right) if never_moment(each)), "")


def _no_option(field: Typed, value: Typed) -> str:
    if not field.options or value.text is None or value.text in ("", *field.options):
        return ""
    known = ", ".join(field.options[:_MOST_TOLD]) + (", …" if len(field.options) > _MOST_TOLD else "")
    return f"'{value.text[:40]}' is none of the values of {field.name or 'this'}, which are {known}"


def firm(*values: Known) -> bool:
    """Whether all that is known of values is sure to be so."""
    return all(value.firm for value in values if value)
