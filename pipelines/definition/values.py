"""Parameter trees: literals, expressions that keep their type, and templates."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .expressions import Expression, ExpressionError, compile_expression, suggestion
from .templates import Template, TemplateError, compile_template, follow, has_markup, leading_fields

_DEEPEST = 40
_PLAIN_PATH = re.compile(r"\s*\{\{-?\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[[0-9]{1,6}\])*)\s*-?\}\}\s*")
_PATH_PART = re.compile(r"[A-Za-z_]\w*|[0-9]+")
_LIQUID_WORDS = frozenset({"true", "false", "nil", "null", "empty", "blank"})

Path = tuple[str, ...]


class ParameterError(Exception):
    """A parameter cannot be read or worked out; says which."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(f"{path}: {message}" if path else message)


@dataclass(frozen=True, slots=True)
class Value:
    """A compiled parameter tree."""

    is_constant: bool
    paths: frozenset[Path]
    _evaluate: Callable[[Mapping[str, Any]], Any]

    @property
    def names(self) -> frozenset[str]:
        """The root names read."""
        return frozenset(path[0] for path in self.paths)

    def evaluate(self, context: Mapping[str, Any]) -> Any:
        """Work the whole tree out; raises ParameterError naming the part that failed."""
        return self._evaluate(context)


def compile_value(value: object, *, names: Collection[str] | None = None) -> Value:
    """Compile a parameter tree; raises ParameterError naming the part that is wrong."""
    return _compile(value, names, "", 0)


def plain_path(value: str) -> Path | None:
    """The path of a text that is exactly one `{{ path }}`, which keeps the type of what it names; else None."""
    match = _PLAIN_PATH.fullmatch(value)
    return tuple(_PATH_PART.findall(match[1])) if match else None


def is_dynamic(value: object) -> bool:
    """Whether a text is worked out when it is used rather than taken as it stands."""
    return isinstance(value, str) and (value.startswith("=") or has_markup(value))


def _compile(value: object, names: Collection[str] | None, path: str, depth: int) -> Value:
    if depth > _DEEPEST:
        raise ParameterError(path, "the parameters are nested too deeply")
    if isinstance(value, Mapping):
        return _mapping(value, names, path, depth)
    if isinstance(value, list | tuple):
        return _list(value, names, path, depth)
    if isinstance(value, str) and is_dynamic(value):
        return _text(value, names, path)
    return Value(True, frozenset(), lambda context: value)


def _mapping(value: Mapping[Any, object], names: Collection[str] | None, path: str, depth: int) -> Value:
    parts = {
        str(key): _compile(item, names, f"{path}.{key}" if path else str(key), depth + 1) for key, item in value.items()
    }
    constant = all(part.is_constant for part in parts.values())
    paths: frozenset[Path] = frozenset().union(*(part.paths for part in parts.values()))
    if constant and not any(isinstance(item, Mapping | list | tuple) for item in value.values()):
        # Each visit has a copy of its own.
        fixed = {str(key): item for key, item in value.items()}
        return Value(True, paths, lambda context: fixed.copy())
    ways = [(key, part._evaluate) for key, part in parts.items()]
    return Value(constant, paths, lambda context: {key: evaluate(context) for key, evaluate in ways})


def _list(
    value: list[object] | tuple[object, ...],
    names: Collection[str] | None,
    path: str,
    depth: int,
) -> Value:
    parts = [_compile(item, names, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    return Value(
        all(part.is_constant for part in parts),
        frozenset().union(*(part.paths for part in parts)),
        lambda context: [part.evaluate(context) for part in parts],
    )


def _text(value: str, names: Collection[str] | None, path: str) -> Value:
    if value.startswith("="):
        return _expression(value[1:], names, path)
    html = _is_html(path)
    match = _PLAIN_PATH.fullmatch(value)
    if match and not html and not _LIQUID_WORDS.intersection(_PATH_PART.findall(match[1])[:1]):
        return _plain_path(match[1], names, path)
    return _template(value, names, path, html=html)


def _is_html(path: str) -> bool:
    """Parameters named html hold markup, so what is filled in must be escaped."""
    last = path.rpartition(".")[2]
    return last == "html" or last.endswith("_html")


def _expression(source: str, names: Collection[str] | None, path: str) -> Value:
    try:
        # A blank for the sign before it, so that places count from the beginning of what was written.
        expression = compile_expression(f" {source}", names=names)
    except ExpressionError as error:
        raise ParameterError(path, str(error)) from None
    return Value(False, expression.paths, lambda context: _worked_out(expression, path, context))


def _worked_out(expression: Expression, path: str, context: Mapping[str, Any]) -> Any:
    try:
        return expression.evaluate(context)
    except ExpressionError as error:
        raise ParameterError(path, str(error)) from None


def _plain_path(text: str, names: Collection[str] | None, path: str) -> Value:
    keys = tuple(int(k) if k.isdecimal() else k for k in _PATH_PART.findall(text))
    root = str(keys[0])
    if names is not None and root not in names and root != "now":
        raise ParameterError(path, f"unknown name '{root}'{suggestion(root, names)}")
    return Value(False, frozenset({leading_fields(keys)}), lambda context: follow(context, keys))


def _template(value: str, names: Collection[str] | None, path: str, *, html: bool) -> Value:
    try:
        template = compile_template(value, html=html, names=names)
    except TemplateError as error:
        raise ParameterError(path, str(error)) from None
    return Value(False, template.paths, lambda context: _rendered(template, path, context))


def _rendered(template: Template, path: str, context: Mapping[str, Any]) -> str:
    try:
        return template.render(context)
    except TemplateError as error:
        raise ParameterError(path, str(error)) from None
