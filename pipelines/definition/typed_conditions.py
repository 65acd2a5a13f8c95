"""The clauses of a condition, and the parameters of a step, that can never be what their author meant."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .layout import Path
from .typed import (
    Finding,
    Known,
    Typed,
    Types,
    by_letters,
    named,
    never_boolean,
    never_holds,
    never_moment,
    never_ordered,
    never_same,
    never_text,
    written,
)
from .typed_expressions import LETTERS, typed_expression
from .typed_templates import typed_template
from .values import is_dynamic, plain_path

Found = Iterator[tuple[Path, Finding]]
_DEEPEST: Final = 40
_Rule = Callable[[Known, Known], str]
_ORDERED: Final = frozenset({"greater_than", "less_than", "greater_or_equal", "less_or_equal"})
# Why a clause is never met.
_NEVER: Final[Mapping[str, _Rule]] = {
    "equals": never_same,
    # What changed is told as texts too, so of a change only its options are known.
    "changed_to": lambda field, value: never_same(field, value) if field and field.options else "",
    "contains": never_holds,
    **dict.fromkeys(_ORDERED, never_ordered),
    **dict.fromkeys(("starts_with", "ends_with"), lambda field, value: never_text(field) or never_text(value)),
    "matches": lambda field, value: never_text(field),
    "in_list": lambda field, value: never_holds(value, field),
    "between": lambda field, value: _never_between(field, value),
    **dict.fromkeys(("before", "after", "recurs_on"), lambda field, value: never_moment(field) or never_moment(value)),
    "within_last": lambda field, value: never_moment(field),
    **dict.fromkeys(("is_true", "is_false"), lambda field, value: never_boolean(field)),
}
# Why a clause is always met.
_ALWAYS: Final[Mapping[str, _Rule]] = {
    "not_equals": never_same,
    "not_contains": never_holds,
    "not_in_list": _NEVER["in_list"],
    "not_within_last": _NEVER["within_last"],
}


def condition_findings(condition: object, types: Types, at: Path = ()) -> Found:
    """What in a condition fails or always has the same result, each with its place."""
    if isinstance(condition, str):
        yield from ((at, each) for each in typed_expression(condition, types)[1])
    elif isinstance(condition, list | tuple):
        for index, part in enumerate(condition):
            yield from condition_findings(part, types, (*at, index))
    elif isinstance(condition, Mapping):
        for word in ("all", "any", "not"):
            if word in condition:
                yield from condition_findings(condition[word], types, (*at, word))
        if isinstance(condition.get("field"), str):
            yield from _clause(condition, types, at)


def _clause(condition: Mapping[str, Any], types: Types, at: Path) -> Found:
    operator, given = str(condition.get("operator")), condition.get("value")
    known, found = typed_expression(condition["field"], types)
    yield from (((*at, "field"), each) for each in found)
    yield from value_findings(given, types, (*at, "value"))
    field, value = named(known, condition["field"].strip()), type_of_value(given, types)
    place = (*at, "value") if "value" in condition else (*at, "operator")
    if reason := _NEVER.get(operator, _nothing)(field, value):
        yield place, Finding(f"{reason}: this is never true")
    elif reason := _ALWAYS.get(operator, _nothing)(field, value):
        yield place, Finding(f"{reason}: this is always true")
    elif operator in _ORDERED and (reason := by_letters(field, value)):
        yield place, Finding(f"{reason}: {LETTERS}")
    elif operator in ("in_list", "not_in_list") and value is not None:
        for index, item in enumerate(value.items):
            if reason := never_same(field, item):
                yield (*place, index), Finding(f"{reason}: this one is never found")


def value_findings(value: object, types: Types, at: Path = (), *, skipping: frozenset[str] = frozenset()) -> Found:
    """What in a tree of parameters fails or always has the same result; entries named in `skipping` are left out."""
    if len(at) > _DEEPEST:
        return
    if isinstance(value, str) and value.startswith("="):
        # A blank for the sign before it, so that places count from the beginning of what was written.
        yield from ((at, each) for each in typed_expression(f" {value[1:]}", types)[1])
    elif isinstance(value, str) and is_dynamic(value):
        yield from ((at, each) for each in typed_template(value, types))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in skipping:
                yield from value_findings(item, types, (*at, str(key)), skipping=skipping)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from value_findings(item, types, (*at, index), skipping=skipping)


def type_of_value(value: object, types: Types) -> Known:
    """The type of a parameter as it is written."""
    if isinstance(value, list | tuple):
        return Typed("list", items=tuple(type_of_value(item, types) for item in value))
    if not isinstance(value, str) or not is_dynamic(value):
        return written(value)
    if value.startswith("="):
        return named(typed_expression(value[1:], types)[0], value[1:].strip())
    path = plain_path(value)
    return Typed("text", name="this") if path is None else named(types(path), ".".join(path))


def _never_between(field: Known, value: Known) -> str:
    reasons = [never_ordered(field, item) for item in value.items] if value else []
    return next((reason for reason in reasons if reason), "")


def _nothing(field: Known, value: Known) -> str:
    return ""
