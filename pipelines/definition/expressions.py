"""A small expression language: Python's grammar, compiled once to closures over plain data.

Nothing here reaches a host object: `a.b` is a look-up in a mapping, only the listed functions can
be called, and there are no loops, powers, assignments or comprehensions.
"""

import ast
import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from . import arithmetic, comparing
from .functions import FUNCTIONS, METHODS, Function
from .grammar import NOT_OFFERED, ExpressionError, callee_name, lead, literal, parse, path_of, place_of, suggestion

__all__ = [
    "Context",
    "Expression",
    "ExpressionError",
    "compile_expression",
    "look_up",
    "name_places",
    "suggestion",
]

_DEEPEST = 30
_WORDS: Mapping[str, object] = {"true": True, "false": False, "null": None}
_FAILURES = (TypeError, ValueError, ArithmeticError, RecursionError, LookupError, AttributeError)

Context: TypeAlias = Mapping[str, Any]
_Closure: TypeAlias = Callable[[Context], Any]


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression and the names and dotted paths it reads."""

    source: str
    names: frozenset[str]
    paths: frozenset[tuple[str, ...]]
    _closure: _Closure

    def evaluate(self, context: Context) -> Any:
        """Work the expression out over plain data; raises ExpressionError only."""
        try:
            return self._closure(context)
        except _FAILURES as error:
            raise ExpressionError(_sentence(error)) from None


def compile_expression(source: str, *, names: Collection[str] | None = None) -> Expression:
    """Compile an expression; with `names` given, any other root name is refused."""
    tree = parse(source)
    compiler = _Compiler(source, names)
    closure = compiler.build(tree)
    return Expression(
        source=source,
        names=frozenset(path[0] for path in compiler.paths),
        paths=frozenset(compiler.paths),
        _closure=closure,
    )


def name_places(source: str, path: tuple[str, ...]) -> list[tuple[int, int]]:
    """The lines and columns where an expression reads a path or what is below it; raises ExpressionError."""
    return sorted({place for keys, place in _read_in(source) if keys[: len(path)] == path})


@lru_cache(maxsize=512)
def _read_in(source: str) -> tuple[tuple[tuple[str | int, ...], tuple[int, int]], ...]:
    """Every path with its place; kept, for one text is asked about each name in it."""
    tree, lines, before = parse(source), source.strip().splitlines(), lead(source)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return tuple(
        (tuple(keys), place_of(node, lines, before))
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and id(node) not in called
        if (keys := path_of(node)) is not None
    )


def look_up(container: object, key: str | int) -> Any:
    """Read an entry of a mapping or a list; missing is None."""
    if isinstance(container, dict):
        return container.get(key)
    if isinstance(key, int):
        if isinstance(container, list | tuple) and -len(container) <= key < len(container):
            return container[key]
        return None
    return container.get(key) if isinstance(container, Mapping) else None


def _sentence(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the data is nested too deeply"
    if isinstance(error, OverflowError):
        return "the result is out of range"
    return str(error) or "the expression could not be worked out"


_OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: arithmetic.add,
    ast.Sub: arithmetic.subtract,
    ast.Mult: arithmetic.multiply,
    ast.Div: arithmetic.divide,
    ast.FloorDiv: arithmetic.floor_divide,
    ast.Mod: arithmetic.remainder,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: comparing.same,
    ast.NotEq: comparing.different,
    ast.Is: comparing.same,
    ast.IsNot: comparing.different,
    ast.Lt: comparing.less,
    ast.LtE: comparing.less_or_equal,
    ast.Gt: comparing.greater,
    ast.GtE: comparing.greater_or_equal,
    ast.In: lambda item, container: comparing.contains(container, item),
    ast.NotIn: lambda item, container: not comparing.contains(container, item),
}


class _Compiler:
    """Turns the parts of one expression into closures and notes the paths read."""

    def __init__(self, source: str, names: Collection[str] | None) -> None:
        self.paths: set[tuple[str, ...]] = set()
        self._lines = source.strip().splitlines()
        self._lead = lead(source)
        self._names = names
        self._depth = 0

    def build(self, node: ast.expr) -> _Closure:
        """Compile one part, or say why it is not part of the language."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error("the expression is nested too deeply", node)
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise self._refusal(node, node)
        closure: _Closure = method(node)
        self._depth -= 1
        return closure

    def _error(self, message: str, node: ast.expr) -> ExpressionError:
        line, column = place_of(node, self._lines, self._lead)
        return ExpressionError(message, line=line, column=column)

    def _refusal(self, part: ast.AST, node: ast.expr) -> ExpressionError:
        reason = NOT_OFFERED.get(type(part), f"'{type(part).__name__}' is not offered")
        return self._error(reason, node)

    def _guarded(self, node: ast.expr, closure: _Closure) -> _Closure:
        line, column = place_of(node, self._lines, self._lead)

        def guarded(context: Context) -> Any:
            try:
                return closure(context)
            except _FAILURES as error:
                raise ExpressionError(_sentence(error), line=line, column=column) from None

        return guarded

    def _constant(self, node: ast.Constant) -> _Closure:
        value = node.value
        if value is not None and not isinstance(value, str | int | float):
            raise self._error(f"'{type(value).__name__}' values are not offered", node)
        if comparing.is_number(value):
            try:
                arithmetic.number_of(value)
            except ValueError as error:
                raise self._error(str(error), node) from None
        return lambda context: value

    def _name(self, node: ast.Name) -> _Closure:
        name = node.id
        if name in _WORDS:
            value = _WORDS[name]
            return lambda context: value
        if name == "now":
            self.paths.add(("now",))
            return self._guarded(node, _now)
        self._check_root(name, node)
        self.paths.add((name,))
        return lambda context: context.get(name)

    def _check_root(self, name: str, node: ast.expr) -> None:
        if name.startswith("_"):
            raise self._error(f"'{name}' is not a name", node)
        if self._names is not None and name not in self._names:
            hint = suggestion(name, self._names)
            raise self._error(f"unknown name '{name}'{hint}", node)

    def _attribute(self, node: ast.Attribute) -> _Closure:
        if node.attr.startswith("_"):
            raise self._error(f"'{node.attr}' is not a field", node)
        return self._entry(node, node.attr)

    def _subscript(self, node: ast.Subscript) -> _Closure:
        key = literal(node.slice)
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise self._error("only a fixed text or number may stand in [...]", node)
        return self._entry(node, key)

    def _entry(self, node: ast.Attribute | ast.Subscript, key: str | int) -> _Closure:
        path = path_of(node)
        if path is None:
            inner = self.build(node.value)
            return lambda context: look_up(inner(context), key)
        root, *keys = path
        if root == "now" or root in _WORDS:
            raise self._error(f"'{root}' has no fields", node)
        self._check_root(root, node)
        self.paths.add((root, *_leading_texts(keys)))
        return _reader(root, keys)

    def _list(self, node: ast.List | ast.Tuple) -> _Closure:
        items = [self.build(item) for item in node.elts]
        return lambda context: [item(context) for item in items]

    _tuple = _list

    def _boolop(self, node: ast.BoolOp) -> _Closure:
        *others, last = [self.build(value) for value in node.values]
        stops_when = isinstance(node.op, ast.Or)

        def choose(context: Context) -> Any:
            for other in others:
                value = other(context)
                if bool(value) is stops_when:
                    return value
            return last(context)

        return choose

    def _unaryop(self, node: ast.UnaryOp) -> _Closure:
        operand = self.build(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda context: not operand(context)
        if isinstance(node.op, ast.USub):
            return self._guarded(node, lambda context: arithmetic.negative(operand(context)))
        raise self._refusal(node.op, node)

    def _binop(self, node: ast.BinOp) -> _Closure:
        operation = _OPERATIONS.get(type(node.op))
        if operation is None:
            raise self._refusal(node.op, node)
        left, right = self.build(node.left), self.build(node.right)
        return self._guarded(node, lambda context: operation(left(context), right(context)))

    def _compare(self, node: ast.Compare) -> _Closure:
        first = self.build(node.left)
        tests = [_COMPARISONS[type(operator)] for operator in node.ops]
        others = [self.build(other) for other in node.comparators]
        if len(tests) == 1:
            test, other = tests[0], others[0]
            return self._guarded(node, lambda context: test(first(context), other(context)))
        pairs = list(zip(tests, others, strict=True))

        def chain(context: Context) -> bool:
            left = first(context)
            for test, other in pairs:
                right = other(context)
                if not test(left, right):
                    return False
                left = right
            return True

        return self._guarded(node, chain)

    def _ifexp(self, node: ast.IfExp) -> _Closure:
        test, chosen, other = self.build(node.test), self.build(node.body), self.build(node.orelse)
        return lambda context: chosen(context) if test(context) else other(context)

    def _call(self, node: ast.Call) -> _Closure:
        if node.keywords:
            raise self._error("arguments are given by position", node)
        if isinstance(node.func, ast.Name) and node.func.id == "now" and not node.args:
            return self._name(node.func)
        function, arguments = self._callee(node)
        if not function.fewest <= len(arguments) <= function.most:
            raise self._error(f"'{callee_name(node)}' got {len(arguments)} arguments", node)
        call = function.call
        parts = [self.build(argument) for argument in arguments]
        return self._guarded(node, lambda context: call(*[part(context) for part in parts]))

    def _callee(self, node: ast.Call) -> tuple[Function, list[ast.expr]]:
        name = callee_name(node)
        if isinstance(node.func, ast.Name) and name in FUNCTIONS:
            return FUNCTIONS[name], node.args
        if isinstance(node.func, ast.Attribute) and name in METHODS:
            return FUNCTIONS[name], [node.func.value, *node.args]
        raise self._error(f"unknown function '{name}'{suggestion(name, FUNCTIONS)}", node)


def _now(context: Context) -> dt.datetime:
    moment = context.get("now")
    if moment is None:
        raise ValueError("'now' is not known here")
    return comparing.as_moment(moment)


def _leading_texts(keys: list[Any]) -> list[str]:
    texts: list[str] = []
    for key in keys:
        if not isinstance(key, str):
            break
        texts.append(key)
    return texts


def _reader(root: str, keys: list[Any]) -> _Closure:
    def read(context: Context) -> Any:
        value = context.get(root)
        for key in keys:
            value = look_up(value, key)
        return value

    return read
