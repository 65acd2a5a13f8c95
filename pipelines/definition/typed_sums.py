"""What type sums, differences and calls of an expression have, and which of them can only fail."""

from collections.abc import Callable, Mapping
from typing import Final

from .typed import Known, Type, Typed, alike, firm, never_moment, never_text

# What comes out, and why it can only fail.
Result = tuple[Known, str]
_UNKNOWN: Final[Result] = (None, "")
_OTHERWISE: Final[Mapping[Type, str]] = {"moment": "to which only a duration such as days(3) can be added"}
_MAY_BE_MOMENT: Final = frozenset({"moment", "date", "text"})


def summed(left: Known, right: Known) -> Result:
    """What `+` makes of two values."""
    for one, other in ((left, right), (right, left)):
        if one is not None and one.type == "duration":
            return _moved(one, other)
    return _calculated(left, right, texts=True)


def subtracted(left: Known, right: Known) -> Result:
    """What `-` makes of two values."""
    if right is not None and right.type == "duration":
        return _moved(right, left)
    if left and right and {left.type, right.type} <= _MAY_BE_MOMENT:
        reason = never_moment(left) or never_moment(right)
        return (None, reason) if reason else (Typed("duration", firm=firm(left, right)), "")
    return _calculated(left, right, texts=False, moments=True)


def multiplied(left: Known, right: Known) -> Result:
    """What `*`, `//` and `%` make of two values."""
    return _calculated(left, right, texts=False)


def divided(left: Known, right: Known) -> Result:
    """What `/` makes of two values: durations can be counted in durations."""
    if left and right and left.type == right.type == "duration":
        return Typed("number"), ""
    durations = any(each and each.type == "duration" for each in (left, right)) and not (left and right)
    return _UNKNOWN if durations else _calculated(left, right, texts=False)


def negated(value: Known) -> Result:
    """What `-` before a value makes of it."""
    return _of(value, {"number", "duration"}, "has no opposite", same=True)


def _moved(duration: Typed, other: Known) -> Result:
    if other is None:
        return _UNKNOWN
    if other.type == "duration":
        return alike([duration, other]), ""
    reason = never_moment(other)
    return (None, reason) if reason else (Typed("moment", firm=firm(other)), "")


def _calculated(left: Known, right: Known, *, texts: bool, moments: bool = False) -> Result:
    """Numbers, and with `texts` texts; what is unknown may be anything that fits the other."""
    usable = {"number"} | ({"text", "date"} if texts else set()) | ({"moment", "date", "text"} if moments else set())
    for each in (left, right):
        if each is not None and each.type not in usable:
            return None, f"{each}, {_OTHERWISE.get(each.type, 'which cannot be calculated with')}"
    if left is None or right is None:
        return _UNKNOWN
    if left.type == right.type == "number":
        return Typed("number", firm=firm(left, right)), ""
    if {left.type, right.type} == {"text"}:
        return Typed("text", firm=firm(left, right)), ""
    if "number" in (left.type, right.type):
        return None, f"{left} and {right}, which cannot be calculated with each other"
    return _UNKNOWN


def called(name: str, given: list[Known]) -> Result:
    """What a function makes of its arguments."""
    rule = _CALLS.get(name)
    return rule(given) if rule and given else _UNKNOWN


def _of(value: Known, fitting: set[Type], otherwise: str, *, result: Type | None = None, same: bool = False) -> Result:
    made: Known = Typed(result) if result else (Typed(value.type, firm=value.firm) if value and same else None)
    return (None, f"{value}, which {otherwise}") if value and value.type not in fitting else (made, "")


def _one(fitting: set[Type], otherwise: str, result: Type | None = None) -> Callable[[list[Known]], Result]:
    return lambda given: _of(given[0], fitting, otherwise, result=result, same=result is None)


def _over(result: Type | None) -> Callable[[list[Known]], Result]:
    """One list, or several arguments."""

    def call(given: list[Known]) -> Result:
        if len(given) == 1:
            return _of(given[0], {"list"}, "is no list", result=result)
        return (Typed(result) if result else alike(given)), ""

    return call


def _date(given: list[Known]) -> Result:
    reason = never_moment(given[0])
    return (None, reason) if reason else (Typed("moment"), "")


def _matches(given: list[Known]) -> Result:
    reason = never_text(given[1]) if len(given) > 1 else ""
    return (None, reason) if reason else (Typed("boolean"), "")


def _truth(given: list[Known]) -> Result:
    return Typed("boolean"), ""


_TEXT: Final = _one({"text", "date"}, "is not a text", "text")
_SPAN: Final = _one({"number"}, "is not a number of them", "duration")
_CALLS: Final[Mapping[str, Callable[[list[Known]], Result]]] = {
    **dict.fromkeys(("days", "hours", "minutes"), _SPAN),
    **dict.fromkeys(("lower", "upper", "strip"), _TEXT),
    **dict.fromkeys(("is_empty", "startswith", "endswith", "recurs_on"), _truth),
    **dict.fromkeys(("any", "all"), _over("boolean")),
    **dict.fromkeys(("min", "max"), _over(None)),
    "sum": _over("number"),
    "duration": _one({"number", "text", "duration"}, "is not a duration", "duration"),
    "date": _date,
    "len": _one({"text", "date", "list", "object"}, "has no length", "number"),
    "abs": _one({"number", "duration"}, "has no sign"),
    "round": _one({"number"}, "cannot be rounded", "number"),
    "number": _one({"number", "text"}, "is not a number", "number"),
    "default": lambda given: (alike(given), ""),
    "matches": _matches,
}
