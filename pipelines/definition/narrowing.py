"""What of a condition a database can decide: a wider condition, which leaves out no record that meets the whole.

The records found are then held against the condition itself, so both always agree.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from .values import ParameterError, compile_value

Test = Literal["equals", "less", "less_or_equal", "greater", "greater_or_equal", "among"]
_MOST_VALUES = 200
_LARGEST = 2**53

_STRUCTURED: Mapping[str, Test] = {
    "equals": "equals",
    "greater_than": "greater",
    "less_than": "less",
    "greater_or_equal": "greater_or_equal",
    "less_or_equal": "less_or_equal",
    "in_list": "among",
}
_COMPARED: Mapping[type[ast.cmpop], Test] = {
    ast.Eq: "equals",
    ast.Gt: "greater",
    ast.Lt: "less",
    ast.GtE: "greater_or_equal",
    ast.LtE: "less_or_equal",
}
_TURNED: Mapping[Test, Test] = {
    "equals": "equals",
    "less": "greater",
    "less_or_equal": "greater_or_equal",
    "greater": "less",
    "greater_or_equal": "less_or_equal",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A field held against a text, a number, true or false, or several of these."""

    field: tuple[str, ...]
    test: Test
    value: Any


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold."""

    parts: tuple["Narrowing", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds; of no parts none does."""

    parts: tuple["Narrowing", ...]


Narrowing: TypeAlias = Clause | Every | Some


def narrowing(condition: Any, *, context: Mapping[str, Any], is_field: Callable[[str], bool]) -> Narrowing | None:
    """The part of a condition that a database can decide, None when there is none.

    `is_field` tells names of the record from names of the context, whose values are filled in.
    """
    if isinstance(condition, bool):
        return Every(()) if condition else Some(())
    if isinstance(condition, str):
        return _expression(condition, context, is_field)
    if isinstance(condition, Sequence):
        return _every([narrowing(part, context=context, is_field=is_field) for part in condition])
    if not isinstance(condition, Mapping):
        return None
    if "all" in condition:
        return narrowing(condition["all"], context=context, is_field=is_field)
    if "any" in condition:
        return _some([narrowing(part, context=context, is_field=is_field) for part in condition["any"]])
    return _clause(condition, context, is_field)


def _every(parts: Sequence[Narrowing | None]) -> Narrowing | None:
    """Parts that cannot be decided are left out: what remains is wider."""
    known = tuple(part for part in parts if part is not None)
    return Every(known) if known else None


def _some(parts: Sequence[Narrowing | None]) -> Narrowing | None:
    """One part that cannot be decided may hold for any record, so then nothing is known of the whole."""
    known = tuple(part for part in parts if part is not None)
    return Some(known) if len(known) == len(parts) else None


def _clause(
    condition: Mapping[str, Any], context: Mapping[str, Any], is_field: Callable[[str], bool]
) -> Narrowing | None:
    path = tuple(part.strip() for part in str(condition.get("field", "")).split("."))
    operator = str(condition.get("operator"))
    if not all(part.isidentifier() for part in path) or not is_field(path[0]):
        return None
    if operator in ("is_true", "is_false"):
        return Clause(path, "equals", operator == "is_true")
    test = _STRUCTURED.get(operator)
    if test is None:
        return None
    try:
        value = compile_value(condition.get("value")).evaluate(context)
    except ParameterError:
        return None
    return _held(path, test, value)


def _held(path: tuple[str, ...], test: Test, value: Any) -> Clause | None:
    if test == "among":
        plain = isinstance(value, list | tuple) and len(value) <= _MOST_VALUES and all(map(_is_plain, value))
        return Clause(path, test, tuple(value)) if plain else None
    ordered = test != "equals"
    # Texts and dates are ordered otherwise by databases, so order is left to the condition itself.
    return Clause(path, test, value) if _is_plain(value) and (not ordered or _is_number(value)) else None


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, bool) or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


def _expression(source: str, context: Mapping[str, Any], is_field: Callable[[str], bool]) -> Narrowing | None:
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _node(tree, context, is_field)


def _node(node: ast.expr, context: Mapping[str, Any], is_field: Callable[[str], bool]) -> Narrowing | None:
    if isinstance(node, ast.BoolOp):
        parts = [_node(value, context, is_field) for value in node.values]
        return _every(parts) if isinstance(node.op, ast.And) else _some(parts)
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    test = _COMPARED.get(type(node.ops[0]))
    left, right = _path(node.left), _path(node.comparators[0])
    if test is None:
        return None
    if left and is_field(left[0]):
        return _compared(left, test, node.comparators[0], context, is_field)
    if right and is_field(right[0]):
        return _compared(right, _TURNED[test], node.left, context, is_field)
    return None


def _compared(
    field: tuple[str, ...], test: Test, other: ast.expr, context: Mapping[str, Any], is_field: Callable[[str], bool]
) -> Narrowing | None:
    if isinstance(other, ast.Constant):
        return _held(field, test, other.value)
    path = _path(other)
    if path is None or is_field(path[0]):
        return None
    value: Any = context
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return _held(field, test, value)


def _path(node: ast.expr) -> tuple[str, ...] | None:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        inner = _path(node.value)
        return (*inner, node.attr) if inner else None
    return None
