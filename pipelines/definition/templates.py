"""Liquid templates for messages and parameters: names checked when saved, plain data when rendered."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from liquid import BoundTemplate, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.static_analysis import TemplateAnalysis

from .expressions import look_up, suggestion
from .plain_templates import PlainTemplate, plain_template
from .rendering import environment, refuse_costly_source, render
from .template_places import culprit, unclosed

_FAILURES = (
    LiquidError,
    RecursionError,
    ArithmeticError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
_LONGEST_MESSAGE = 300
_LONGEST_PLAIN_TEXT = 1_000_000


class TemplateError(Exception):
    """The template cannot be read or rendered; says where."""

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        self.message = message[:_LONGEST_MESSAGE]
        self.line = line
        self.column = column
        place = f" (line {line}, column {column})" if line and column else ""
        super().__init__(f"{self.message}{place}")


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template and the names and dotted paths it reads."""

    source: str
    names: frozenset[str]
    paths: frozenset[tuple[str, ...]]
    _shown: tuple[tuple[str | int, ...], ...]
    _bound: BoundTemplate | None
    _plain: PlainTemplate | None = None
    # Where paths stand that lead out of the template.
    places: frozenset[int] = frozenset()

    def render(self, context: Mapping[str, Any]) -> str:
        """Fill in the values; a missing one leaves nothing. Raises TemplateError only."""
        if self._bound is None:
            return self.source
        if self._plain is not None and (text := self._plain.render(context)) is not None:
            return text
        try:
            return render(self._bound, context)
        except _FAILURES as error:
            raise _template_error(error) from None

    def missing(self, context: Mapping[str, Any]) -> list[str]:
        """The shown paths that lead to nothing and have no `default`."""
        return [_spoken(path) for path in self._shown if follow(context, path) is None]

    def expressions(self) -> Iterator[Expression]:
        """Every part that is worked out, from the outside in."""
        waiting = [part for node in _nodes(self._bound) for part in node.expressions()] if self._bound else []
        while waiting:
            part = waiting.pop(0)
            waiting.extend(part.children())
            yield part


def compile_template(source: str, *, html: bool = False, names: Collection[str] | None = None) -> Template:
    """Compile a template; with `names` given, any other root name is refused."""
    if not has_markup(source):
        if len(source) > _LONGEST_PLAIN_TEXT:
            raise TemplateError(f"the text is longer than {_LONGEST_PLAIN_TEXT} characters")
        return Template(source, frozenset(), frozenset(), (), None)
    bound, analysis = _analyzed(source, html=html)
    _check_filters(analysis, source)
    read = _paths_read(analysis)
    _check_names(read, source, names)
    paths = frozenset(leading_fields(path) for path, _ in read)
    places = frozenset(at for _, at in read)
    shown = tuple(dict.fromkeys(_shown_paths(bound, places)))
    plain = plain_template(source, html=html)
    return Template(source, frozenset(path[0] for path in paths), paths, shown, bound, plain, places)


def _analyzed(source: str, *, html: bool) -> tuple[BoundTemplate, TemplateAnalysis]:
    try:
        refuse_costly_source(source)
        bound = environment(html=html).from_string(source)
        return bound, bound.analyze(include_partials=False)
    except _FAILURES as error:
        raise _placed(_template_error(error), source) from None


def names_in(source: str, path: tuple[str, ...]) -> list[tuple[int, int]]:
    """The lines and columns where a template reads a path that it does not set itself; raises TemplateError."""
    places = [place_in(source, at) for keys, at in _read_in(source) if keys[: len(path)] == path]
    return sorted((place["line"], place["column"]) for place in places if place)


@lru_cache(maxsize=64)
def _read_in(source: str) -> tuple[tuple[tuple[str | int, ...], int], ...]:
    """Kept, for one text is asked about each name in it, and reading it takes longer than all else."""
    return tuple(_paths_read(_analyzed(source, html=False)[1]))


def has_markup(text: str) -> bool:
    """Whether a text has anything to fill in."""
    return "{{" in text or "{%" in text


def follow(context: object, path: tuple[str | int, ...]) -> Any:
    """Follow a path through plain data; `size`, `first` and `last` also work on lists."""
    value = context
    for key in path:
        # Almost everything is a dictionary itself, and asking for that is quickest.
        if value.__class__ is dict:
            value = value.get(key)
        else:
            value = _of_list(value, key) if isinstance(value, list | tuple) else look_up(value, key)
    return value


def leading_fields(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The part of a path that names fields, before any place in a list."""
    texts = [str(path[0])]
    for key in path[1:]:
        if not isinstance(key, str) or key in ("size", "first", "last"):
            break
        texts.append(key)
    return tuple(texts)


def _of_list(value: list[Any] | tuple[Any, ...], key: str | int) -> Any:
    if key == "size":
        return len(value)
    if key in ("first", "last"):
        return look_up(value, 0 if key == "first" else -1)
    return look_up(value, key)


def _template_error(error: Exception) -> TemplateError:
    message = str(getattr(error, "message", None) or error) or "the template cannot be rendered"
    token = getattr(error, "token", None)
    source, at = getattr(token, "source", ""), getattr(token, "start_index", -1)
    if isinstance(error, RecursionError):
        message = "the template or its data is nested too deeply"
    return TemplateError(message, **place_in(source, at))


def _placed(error: TemplateError, source: str) -> TemplateError:
    """The same error with its place, where the parser only noticed that something ended too early."""
    block = unclosed(source)
    if block is not None and ("found end of expression" in error.message or "unexpected tag" in error.message):
        tag = culprit(source, _reads)
        if tag is None or tag == block:
            message = f"'{{% {block.name} %}}' is never closed: add '{{% end{block.name} %}}'"
            return TemplateError(message, **place_in(source, block.start)) if tag is None else error
    if error.line is not None:
        return error
    tag = culprit(source, _reads)
    if tag is None:
        return error
    wanted = error.message.removesuffix(", found end of expression").replace("a primitive expression", "a value")
    return TemplateError(f"{wanted} before this ends", **place_in(source, tag.end - 2))


def _reads(source: str) -> bool:
    try:
        environment(html=False).from_string(source)
    except _FAILURES:
        return False
    return True


def place_in(source: str, at: int) -> dict[str, int]:
    """The line and column of a place in a source."""
    if not source or at < 0:
        return {}
    return {"line": source.count("\n", 0, at) + 1, "column": at - source.rfind("\n", 0, at)}


def _check_filters(analysis: TemplateAnalysis, source: str) -> None:
    known = environment(html=False).filters
    for name, spans in analysis.filters.items():
        if name not in known:
            message = f"unknown filter '{name}'{suggestion(name, known)}"
            raise TemplateError(message, **place_in(source, spans[0].index))


def _paths_read(analysis: TemplateAnalysis) -> list[tuple[tuple[str | int, ...], int]]:
    """Every path that the template does not set itself, with its place in the source."""
    found: list[tuple[tuple[str | int, ...], int]] = []
    for variables in analysis.globals.values():
        for variable in variables:
            segments = [each for each in variable.segments if isinstance(each, str | int)]
            found.append((tuple(segments) or ("",), variable.span.index))
    return found


def _check_names(read: list[tuple[tuple[str | int, ...], int]], source: str, names: Collection[str] | None) -> None:
    for path, at in read:
        root = str(path[0])
        if names is not None and root not in names and root != "now":
            message = f"unknown name '{root}'{suggestion(root, names)}"
            raise TemplateError(message, **place_in(source, at))


def _shown_paths(bound: BoundTemplate, places: frozenset[int]) -> Iterator[tuple[str | int, ...]]:
    for node in _nodes(bound):
        if isinstance(node, OutputNode) and isinstance(node.expression, FilteredExpression):
            path = _path_without_default(node.expression)
            if path is not None and path.token.start_index in places:
                yield tuple(each for each in path.path if isinstance(each, str | int))


def _nodes(bound: BoundTemplate) -> Iterator[Node]:
    static = RenderContext(bound)
    waiting: list[Node] = list(bound.nodes)
    while waiting:
        node = waiting.pop(0)
        waiting.extend(node.children(static, include_partials=False))
        yield node


def _path_without_default(expression: FilteredExpression) -> Path | None:
    filters = {each.name for each in expression.filters or ()}
    if not isinstance(expression.left, Path) or "default" in filters:
        return None
    return expression.left if all(isinstance(k, str | int) for k in expression.left.path) else None


def _spoken(path: tuple[str | int, ...]) -> str:
    return ".".join(str(key) for key in path)
