"""What type the result of a value certainly has, before anything is known but how it is written."""

import ast
from collections.abc import Mapping
from typing import Any, Final

from .grammar import ExpressionError, parse
from .values import is_dynamic, plain_path
from .variables import WORDS, misfit

# What a result may be beside its own type: dates are kept as text, and text may hold a date.
_ALSO: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset({"date", "datetime"}),
    "date": frozenset({"string", "datetime"}),
    "datetime": frozenset({"string", "date"}),
}
_FUNCTIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("len", "abs", "round", "number"), "number"),
    **dict.fromkeys(("lower", "upper", "strip"), "string"),
    **dict.fromkeys(("is_empty", "startswith", "endswith", "recurs_on", "matches", "any", "all"), "boolean"),
    **dict.fromkeys(("now", "date"), "datetime"),
}


def certain_misfit(kind: str, value: Any, types: Mapping[str, str]) -> str:
    """Why a value as it is written can never fit a type; empty when it may. `types` are those of the variables.

    Nothing fits every type, so that what may turn out to be missing is no misfit.
    """
    if kind not in WORDS:
        return ""
    if not is_dynamic(value):
        return misfit(kind, value)
    found = _of_text(value, types)
    if not found or found == kind or kind in _ALSO.get(found, ()):
        return ""
    return f"must be {WORDS[kind]}, and this is {WORDS[found]}"


def _of_text(value: str, types: Mapping[str, str]) -> str:
    if value.startswith("="):
        try:
            return _certain(parse(value[1:]), types)
        except ExpressionError:
            return ""
    path = plain_path(value)
    return "string" if path is None else _of_path(path, types)


def _of_path(path: tuple[str, ...], types: Mapping[str, str]) -> str:
    """The type of a variable that is read as a whole; of anything else nothing is certain."""
    name = path[1] if path[0] == "vars" and len(path) == 2 else path[0] if len(path) == 1 else ""
    found = types.get(name, "")
    return found if found in WORDS else ""


def _certain(node: ast.expr, types: Mapping[str, str]) -> str:
    match node:
        case ast.Constant():
            return _of_constant(node.value)
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return "boolean"
        case ast.UnaryOp():
            return "number" if _certain(node.operand, types) == "number" else ""
        case ast.List() | ast.Tuple():
            return "list"
        case ast.BinOp():
            return _alike([node.left, node.right], types, among=("number", "string"))
        case ast.BoolOp():
            return _alike(node.values, types)
        case ast.IfExp():
            return _alike([node.body, node.orelse], types)
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return _FUNCTIONS.get(name, "")
        case ast.Name(id="true" | "false"):
            return "boolean"
        case ast.Name(id="now"):
            return "datetime"
        case ast.Name():
            return _of_path((node.id,), types)
        case ast.Attribute(value=ast.Name(id=root)):
            return _of_path((root, node.attr), types)
        case _:
            return ""


def _of_constant(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case _:
            return ""


def _alike(nodes: list[ast.expr], types: Mapping[str, str], *, among: tuple[str, ...] = ()) -> str:
    """The type that all parts have; of parts that differ nothing is certain."""
    found = {_certain(node, types) for node in nodes}
    one = found.pop() if len(found) == 1 else ""
    return one if not among or one in among else ""
