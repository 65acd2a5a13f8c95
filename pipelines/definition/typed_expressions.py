"""The parts of an expression that can never be what its author meant, by the types of what it reads."""

import ast
from collections.abc import Callable, Mapping
from typing import Final

from .grammar import ExpressionError, callee_name, lead, parse, path_of, place_of
from .typed import (
    Finding,
    Known,
    Typed,
    Types,
    alike,
    by_letters,
    firm,
    named,
    never_holds,
    never_moment,
    never_ordered,
    never_same,
    never_text,
    written,
)
from .typed_sums import Result, called, divided, multiplied, negated, subtracted, summed

LETTERS: Final = "they are compared letter by letter, not as dates"
_LONGEST_NAME: Final = 60
_SUMS: Final[Mapping[type[ast.operator], Callable[[Known, Known], Result]]] = {
    ast.Add: summed,
    ast.Sub: subtracted,
    ast.Mult: multiplied,
    ast.FloorDiv: multiplied,
    ast.Mod: multiplied,
    ast.Div: divided,
}
_ORDERS: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def typed_expression(source: str, types: Types) -> tuple[Known, list[Finding]]:
    """The type of an expression's result, and what in it fails or always has the same result."""
    try:
        tree = parse(source)
    except ExpressionError:
        return None, []
    reader = _Reader(source, types)
    return reader.type_of(tree), reader.found


class _Reader:
    """Goes through one expression from the inside out and notes what it finds."""

    def __init__(self, source: str, types: Types) -> None:
        self.found: list[Finding] = []
        self._lines, self._lead, self._types = source.strip().splitlines(), lead(source), types

    def type_of(self, node: ast.expr) -> Known:
        """The type of a part."""
        path = path_of(node)
        if path is not None:
            return self._of_path(path)
        match node:
            case ast.Constant():
                return written(node.value)
            case ast.List() | ast.Tuple():
                return Typed("list", items=tuple(self._named(item) for item in node.elts))
            case ast.BoolOp():
                return alike([self.type_of(value) for value in node.values])
            case ast.IfExp():
                self.type_of(node.test)
                return alike([self.type_of(node.body), self.type_of(node.orelse)])
            case ast.UnaryOp(op=ast.Not()):
                self.type_of(node.operand)
                return Typed("boolean")
            case ast.UnaryOp():
                operand = self._named(node.operand)
                return self._made(node, negated(operand), [operand])
            case ast.BinOp():
                return self._sum(node)
            case ast.Compare():
                self._compare(node)
                return Typed("boolean")
            case ast.Call():
                return self._call(node)
            case ast.Attribute() | ast.Subscript():
                self.type_of(node.value)
        return None

    def _of_path(self, path: list[str | int]) -> Known:
        match path:
            case ["now"]:
                return Typed("moment")
            case ["true" | "false"]:
                return Typed("boolean")
        names = tuple(key for key in path if isinstance(key, str))
        return self._types(names) if len(names) == len(path) else None

    def _named(self, node: ast.expr) -> Known:
        """The type of a part under the words it is written in."""
        return named(self.type_of(node), ast.unparse(node)[:_LONGEST_NAME])

    def _sum(self, node: ast.BinOp) -> Known:
        left, right = self._named(node.left), self._named(node.right)
        rule = _SUMS.get(type(node.op))
        return self._made(node, rule(left, right), [left, right]) if rule else None

    def _call(self, node: ast.Call) -> Known:
        name = callee_name(node)
        method = isinstance(node.func, ast.Attribute)
        given = [self._named(each) for each in ([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
        given += [self._named(each) for each in node.args]
        if name == "now" and not method:
            return Typed("moment")
        if name in ("startswith", "endswith", "matches") and len(given) == 2:
            self._note(node, never_text(given[0]) or never_text(given[1]), "this is never true", given)
        if name == "recurs_on" and len(given) == 2:
            self._note(node, never_moment(given[0]) or never_moment(given[1]), "this is never true", given)
        return self._made(node, called(name, given), given)

    def _compare(self, node: ast.Compare) -> None:
        parts = [self._named(each) for each in (node.left, *node.comparators)]
        for operator, left, right in zip(node.ops, parts, parts[1:], strict=False):
            match operator:
                case ast.Eq() | ast.Is():
                    self._note(node, never_same(left, right), "they are never equal", [left, right])
                case ast.NotEq() | ast.IsNot():
                    self._note(node, never_same(left, right), "they always differ", [left, right])
                case ast.In():
                    self._note(node, never_holds(right, left), "this is never true", [left, right])
                case ast.NotIn():
                    self._note(node, never_holds(right, left), "this is always true", [left, right])
                case _ if isinstance(operator, _ORDERS):
                    self._note(node, never_ordered(left, right), "this is never true", [left, right])
                    self._note(node, by_letters(left, right), LETTERS, [left, right])

    def _made(self, node: ast.expr, result: Result, parts: list[Known]) -> Known:
        known, reason = result
        self._note(node, reason, "this always fails", parts, fails=True)
        return known

    def _note(self, node: ast.expr, reason: str, then: str, parts: list[Known], *, fails: bool = False) -> None:
        if reason:
            line, column = place_of(node, self._lines, self._lead)
            self.found.append(Finding(f"{reason}: {then}", line, column, fails and firm(*parts)))
