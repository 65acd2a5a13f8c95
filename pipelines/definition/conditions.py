"""Conditions: rows of field, operator and value, nested with all, any and not, or an expression.

Every evaluation tells which clauses were looked at, what they expected and what they found.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from .comparing import as_moment, different, same
from .durations import DurationError, parse_duration
from .expressions import Expression, ExpressionError, compile_expression, look_up, suggestion
from .operators import CHANGE_OPERATORS, OPERATORS, Operator
from .patterns import PatternError, compile_pattern
from .values import ParameterError, Value, compile_value

_DEEPEST = 20
_MOST_CLAUSES = 200
_LONGEST_SHOWN = 200
_MOST_SHOWN = 20
_SHORT = frozenset({type(None), bool, int, float})
_FAILURES = (
    ExpressionError,
    ParameterError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)

Context: TypeAlias = Mapping[str, Any]


class ConditionError(Exception):
    """A condition cannot be read; `path` names the clause, such as "all/0/field"."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(f"{path}: {message}" if path else message)


class Leaf(NamedTuple):
    """One clause as it was found: what it expected, what was there, and whether it was met."""

    field: str
    operator: str
    expected: Any
    actual: Any
    met: bool
    # What an expression read, by dotted path.
    values: tuple[tuple[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The clause as plain JSON, long values shortened."""
        values = {"values": {name: _shown(value) for name, value in self.values}} if self.values else {}
        return {
            "field": self.field,
            "operator": self.operator,
            "expected": _shown(self.expected),
            "actual": _shown(self.actual),
            "met": self.met,
            **values,
        }


class Verdict(NamedTuple):
    """Whether a condition was met, the clauses looked at, and the error if it could not be told."""

    met: bool
    why: tuple[Leaf, ...] = ()
    error: str | None = None


_Test: TypeAlias = Callable[[Context, list[Leaf]], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition and the dotted paths it reads."""

    paths: frozenset[tuple[str, ...]]
    _test: _Test

    @property
    def names(self) -> frozenset[str]:
        """The root names read."""
        return frozenset(path[0] for path in self.paths)

    def evaluate(self, context: Context) -> Verdict:
        """Decide over plain data; an error is part of the verdict and never met."""
        why: list[Leaf] = []
        try:
            met = self._test(context, why)
        except _FAILURES as error:
            return Verdict(False, tuple(why), str(error) or type(error).__name__)
        return Verdict(met, tuple(why))


def compile_condition(condition: object, *, names: Collection[str] | None = None) -> Condition:
    """Compile a condition; with `names` given, any other root name is refused."""
    compiler = _Compiler(names)
    test = compiler.build(condition, "")
    return Condition(frozenset(compiler.paths), test)


@dataclass(slots=True)
class _Compiler:
    """Turns one condition into closures and notes the paths read."""

    names: Collection[str] | None
    paths: set[tuple[str, ...]] = field(default_factory=set)
    clauses: int = 0

    def build(self, condition: object, path: str, depth: int = 0) -> _Test:
        self.clauses += 1
        if depth > _DEEPEST or self.clauses > _MOST_CLAUSES:
            raise ConditionError(path, "the condition is too large")
        if isinstance(condition, bool):
            return _constant(condition)
        if isinstance(condition, str):
            return self._expression(condition, path)
        if isinstance(condition, list | tuple):
            return self._all(condition, path, depth)
        if isinstance(condition, Mapping):
            return self._object(condition, path, depth)
        raise ConditionError(path, "a condition is an object, a list, true, false or an expression")

    def _object(self, condition: Mapping[Any, Any], path: str, depth: int) -> _Test:
        groups = {"all": self._all, "any": self._any, "not": self._not}
        for word, build in groups.items():
            if word in condition:
                if len(condition) > 1:
                    raise ConditionError(path, f"'{word}' stands alone in its object")
                return build(condition[word], _join(path, word), depth)
        return self._clause(condition, path)

    def _all(self, parts: object, path: str, depth: int) -> _Test:
        tests = self._parts(parts, path, depth)
        return lambda context, why: all(test(context, why) for test in tests)

    def _any(self, parts: object, path: str, depth: int) -> _Test:
        tests = self._parts(parts, path, depth)
        return lambda context, why: any(test(context, why) for test in tests)

    def _not(self, part: object, path: str, depth: int) -> _Test:
        test = self.build(part, path, depth + 1)
        return lambda context, why: not test(context, why)

    def _parts(self, parts: object, path: str, depth: int) -> list[_Test]:
        if not isinstance(parts, list | tuple):
            raise ConditionError(path, "a list of conditions is needed here")
        return [self.build(part, _join(path, str(i)), depth + 1) for i, part in enumerate(parts)]

    def _expression(self, source: str, path: str) -> _Test:
        expression = self._compiled_expression(source, path)
        read, shown = expression.evaluate, source.strip()
        # When it was decided is told anyway.
        values = [(".".join(each), each) for each in sorted(expression.paths) if each != ("now",)][:_MOST_SHOWN]

        def test(context: Context, why: list[Leaf]) -> bool:
            value = read(context)
            met = bool(value)
            why.append(Leaf(shown, "expression", True, value, met, _found(values, context)))
            return met

        return test

    def _compiled_expression(self, source: str, path: str) -> Expression:
        try:
            expression = compile_expression(source, names=self.names)
        except ExpressionError as error:
            raise ConditionError(path, str(error)) from None
        self.paths |= expression.paths
        return expression

    def _clause(self, condition: Mapping[Any, Any], path: str) -> _Test:
        unknown = sorted(str(key) for key in condition if key not in ("field", "operator", "value"))
        if unknown:
            raise ConditionError(_join(path, unknown[0]), f"unknown property '{unknown[0]}'")
        source = condition.get("field")
        if not isinstance(source, str) or not source.strip():
            raise ConditionError(_join(path, "field"), "'field' must name a field")
        name = condition.get("operator")
        if isinstance(name, str) and name in CHANGE_OPERATORS:
            return self._change(source.strip(), name, condition, path)
        operator = self._operator(name, path)
        value = self._value(operator, str(name), condition, path)
        return _comparison(source, str(name), operator, self._field(source, path), value)

    def _operator(self, name: object, path: str) -> Operator:
        operator = OPERATORS.get(name) if isinstance(name, str) else None
        if operator is None:
            hint = suggestion(str(name), {*OPERATORS, *CHANGE_OPERATORS})
            message = f"unknown operator '{name}'{hint}" if name else "'operator' is missing"
            raise ConditionError(_join(path, "operator"), message)
        return operator

    def _field(self, source: str, path: str) -> Callable[[Context], Any]:
        return self._compiled_expression(source, _join(path, "field")).evaluate

    def _value(self, operator: Operator, name: str, condition: Mapping[Any, Any], path: str) -> Value:
        where = _join(path, "value")
        if operator.takes == "nothing":
            return compile_value(None)
        if "value" not in condition:
            raise ConditionError(where, f"'{name}' needs a value")
        value = self._compiled(condition["value"], where)
        if value.is_constant:
            _check_constant(operator, name, value.evaluate({}), where)
        return value

    def _compiled(self, raw: object, where: str) -> Value:
        try:
            value = compile_value(raw, names=self.names)
        except ParameterError as error:
            raise ConditionError(where, str(error)) from None
        self.paths |= value.paths
        return value

    def _change(self, source: str, name: str, condition: Mapping[Any, Any], path: str) -> _Test:
        self.paths.add(("trigger", "changes"))
        if name == "changed_to" and "value" not in condition:
            raise ConditionError(_join(path, "value"), "'changed_to' needs a value")
        wanted = self._compiled(condition.get("value"), _join(path, "value"))

        def test(context: Context, why: list[Leaf]) -> bool:
            change = _change_of(context, source)
            expected = wanted.evaluate(context) if name == "changed_to" else None
            met = change is not None and different(*change)
            if name == "changed_to":
                met = met and change is not None and same(change[1], expected)
            why.append(Leaf(source, name, expected, list(change) if change else None, met))
            return met

        return test


def _found(paths: list[tuple[str, tuple[str, ...]]], context: Context) -> tuple[tuple[str, Any], ...]:
    """What stood at these paths; whole records and lists of them say nothing to people and are left out."""
    found = []
    for name, path in paths:
        value = context.get(path[0])
        for key in path[1:]:
            value = look_up(value, key)
        first = value[0] if value and isinstance(value, list | tuple) else value
        if not isinstance(first, Mapping):
            found.append((name, value))
    return tuple(found)


def _constant(met: bool) -> _Test:
    def test(context: Context, why: list[Leaf]) -> bool:
        why.append(Leaf("", "constant", True, met, met))
        return met

    return test


def _comparison(
    source: str,
    name: str,
    operator: Operator,
    read: Callable[[Context], Any],
    value: Value,
) -> _Test:
    shown = source.strip()

    def test(context: Context, why: list[Leaf]) -> bool:
        actual, expected = read(context), value.evaluate(context)
        now = context.get("now")
        met = operator.test(actual, expected, None if now is None else as_moment(now))
        why.append(Leaf(shown, name, expected, actual, met))
        return met

    return test


def _check_constant(operator: Operator, name: str, value: object, where: str) -> None:
    """Catch, when the condition is saved, a value that could never work."""
    try:
        if operator.takes == "a duration":
            parse_duration(value)  # type: ignore[arg-type]
        elif operator.takes == "a pattern":
            compile_pattern(str(value))
        elif operator.takes == "a date":
            as_moment(value)
    except (DurationError, PatternError, ValueError, TypeError) as error:
        raise ConditionError(where, f"'{name}': {error}") from None
    is_list = isinstance(value, list | tuple)
    if operator.takes == "a list" and not is_list:
        raise ConditionError(where, f"'{name}' needs a list of values")
    if operator.takes == "two values" and not (isinstance(value, list | tuple) and len(value) == 2):
        raise ConditionError(where, f"'{name}' needs a list of two values")
    if operator.takes == "a pattern" and not isinstance(value, str):
        raise ConditionError(where, f"'{name}' needs a pattern as text")


def _change_of(context: Context, source: str) -> tuple[Any, Any] | None:
    """The old and new value of a field, named with or without the subject in front."""
    trigger = context.get("trigger")
    changes = trigger.get("changes") if isinstance(trigger, Mapping) else None
    if not isinstance(changes, Mapping):
        return None
    change = changes.get(source, changes.get(source.partition(".")[2]))
    if not isinstance(change, list | tuple) or len(change) != 2:
        return None
    return change[0], change[1]


def _join(path: str, part: str) -> str:
    return f"{path}/{part}" if path else part


def _shown(value: object) -> Any:
    if value.__class__ in _SHORT:
        return value
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}…"
    if isinstance(value, int | float):
        return value
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value[:_MOST_SHOWN]]
    if isinstance(value, Mapping):
        return {str(key): _shown(value[key]) for key in list(value)[:_MOST_SHOWN]}
    return str(value)[:_LONGEST_SHOWN] if isinstance(value, Decimal | dt.timedelta) else "…"
