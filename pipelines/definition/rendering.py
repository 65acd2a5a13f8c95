"""The hardened Liquid environment: allow-listed tags and filters, bounded sizes and bounded work.

The documented limits of the engine do not cover every construct (large ranges are built before
they are counted, some filters multiply text, the lexer is quadratic on unclosed braces), so each
of those is bounded here.
"""

import datetime as dt
import re
import threading
import time
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sized
from decimal import Decimal
from typing import Any

from liquid import BoundTemplate, Environment, Mode, RenderContext, Undefined
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.token import Token

from .formatting import date, money, refuse

LONGEST_SOURCE = 64_000
_LONGEST_TAG = 1_000
_LONGEST_VALUE = 20_000
_LONGEST_LIST = 1_000
_LONGEST_OUTPUT = 256_000
_MOST_TAGS = 2_000
_MOST_VERBATIM_BLOCKS = 10
_FUEL = 20_000
_SECONDS = 0.5
_TAGS = frozenset(re.findall(r"\S+", "if unless case for break continue assign capture comment raw echo #")) | {
    "content",
    "output",
    "illegal",
}
_FILTERS = frozenset(
    re.findall(
        r"\w+",
        """abs append at_least at_most capitalize ceil compact default divided_by downcase escape
    escape_once first floor join last lstrip map minus modulo newline_to_br plus prepend replace
    reverse round rstrip size sort split strip strip_newlines sum times truncate truncatewords
    uniq upcase url_encode where""",
    )
)
_OPENING = re.compile(r"\{[{%]")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_VERBATIM = re.compile(r"-?\s*(raw|comment|doc)\b")
_RANGE = re.compile(r"-?\s*for\s+\w+\s+in\s*\(\s*(\d{1,6})\s*\.\.\s*(\d{1,6})\s*\)")


class _Budget(threading.local):
    """What the render in this thread may still do."""

    fuel = 0
    deadline = 0.0

    def refill(self) -> None:
        self.fuel = _FUEL
        self.deadline = time.monotonic() + _SECONDS

    def spend(self, cost: int = 1) -> None:
        self.fuel -= cost
        if self.fuel < 0 or time.monotonic() > self.deadline:
            raise ResourceLimitError("the template does too much work", token=None)


_budget = _Budget()


class _Context(RenderContext):
    """A render context that counts every node and never falls back to the machine's clock."""

    __slots__ = ()

    @property
    def disabled_tags(self) -> list[str]:
        """Read by the engine once for every rendered node, which makes it the place to count."""
        _budget.spend()
        return []

    @disabled_tags.setter
    def disabled_tags(self, value: list[str]) -> None:
        """Nothing is disabled: partial templates, the only users, are not offered."""

    def get_item(self, obj: Any, key: Any) -> Any:
        """Read from plain data only."""
        if not isinstance(obj, Mapping | list | tuple | str | range):
            raise TypeError("not a container")
        return super().get_item(obj, key)


class _Template(BoundTemplate):
    """A template rendered in the counting context."""

    context_class = _Context


class _Environment(Environment):
    """Strict Liquid with only the tags and filters a message needs."""

    loop_iteration_limit = 2_000
    output_stream_limit = _LONGEST_OUTPUT
    local_namespace_limit = 500_000
    context_depth_limit = 10
    block_nesting_limit = 15
    logical_not_operator = True
    logical_parentheses = True
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Keep the allowed tags and filters and bound what the filters may produce."""
        del extra
        super().setup_tags_and_filters(extra=False)
        self.tags = {name: tag for name, tag in self.tags.items() if name in _TAGS}
        self.filters = {name: _bounded(name, function) for name, function in self.filters.items() if name in _FILTERS}
        self.filters["date"] = date
        self.filters["money"] = _bounded("money", money)


def environment(*, html: bool) -> Environment:
    """The shared environment that escapes values for HTML, or the one that does not."""
    return _ENVIRONMENTS[html]


def render(template: BoundTemplate, context: Mapping[str, Any]) -> str:
    """Render within the budget; `now` and `today` come from the context alone."""
    now = context.get("now")
    _budget.refill()
    return template.render(ChainMap({"now": now}, _plain(context), {"today": now}))


def _plain(context: Mapping[str, Any]) -> MutableMapping[str, Any]:
    return context if isinstance(context, MutableMapping) else dict(context)


def refuse_costly_source(source: str) -> None:
    """Refuse, in one linear scan, text that the lexer or a range would take very long for."""
    if len(source) > LONGEST_SOURCE:
        raise _error(f"the template is longer than {LONGEST_SOURCE} characters", 0, source)
    position = tags = verbatim = 0
    while match := _OPENING.search(source, position):
        closing = "}}" if match[0] == "{{" else "%}"
        end = source.find(closing, match.end(), match.end() + _LONGEST_TAG)
        body = source[match.end() : max(end, 0)]
        if end < 0 or _OPENING.search(body):
            message = f"'{match[0]}' is not closed, or longer than {_LONGEST_TAG} characters"
            raise _error(message, match.start(), source)
        tags += 1
        verbatim += bool(_VERBATIM.match(body))
        if tags > _MOST_TAGS or verbatim > _MOST_VERBATIM_BLOCKS:
            raise _error("the template has too many tags", match.start(), source)
        _refuse_large_range(body, match.start(), source)
        position = end + 2


def _refuse_large_range(body: str, at: int, source: str) -> None:
    bare = _QUOTED.sub("", body)
    if ".." not in bare:
        return
    match = _RANGE.match(bare)
    if not match or bare.count("..") > 1 or int(match[2]) - int(match[1]) > _LONGEST_LIST:
        message = f"a range is written (1..N) in 'for', with plain numbers up to {_LONGEST_LIST}"
        raise _error(message, at, source)


def _error(message: str, at: int, source: str) -> LiquidError:
    return LiquidError(message, token=Token("", "", at, source))


def _check_size(value: object) -> None:
    too_large = (
        (isinstance(value, int) and value.bit_length() > 256)
        or (isinstance(value, Decimal) and (not value.is_finite() or abs(value.adjusted()) > 60))
        or (isinstance(value, str) and len(value) > _LONGEST_VALUE)
        or (isinstance(value, list | tuple | range) and len(value) > _LONGEST_LIST)
    )
    if too_large:
        refuse("a value is too large for a template")


def _joined_length(value: object, separator: object = " ") -> int:
    if not isinstance(value, list | tuple):
        return 0
    return sum(len(str(item)) + len(str(separator)) for item in value)


def _replaced_length(value: object, old: object = "", new: object = "") -> int:
    text = str(value)
    return len(text) + text.count(str(old)) * len(str(new))


def _concatenated_length(value: object, *others: object) -> int:
    return len(str(value)) + sum(len(str(other)) for other in others)


_GROWTH: Mapping[str, Callable[..., int]] = {
    "append": _concatenated_length,
    "prepend": _concatenated_length,
    "truncate": _concatenated_length,
    "truncatewords": _concatenated_length,
    "join": _joined_length,
    "replace": _replaced_length,
}


# Filters that look inside of what they are given, past the context that lets only plain data be read.
_LOOKING_INSIDE = frozenset({"compact", "map", "sort", "sum", "uniq", "where"})
_PLAIN = (str, int, float, Decimal, dt.date, dt.timedelta, Mapping, list, tuple, range, Undefined, type(None))


def _check_plain(value: object) -> None:
    items = value if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(item, _PLAIN) for item in items):
        refuse("this filter is for lists of plain values")


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Check what goes into a filter, what it would build, and what comes out."""
    growth = _GROWTH.get(name)

    def bounded(value: Any, *arguments: Any, **options: Any) -> Any:
        for each in (value, *arguments):
            _check_size(each)
        if name in _LOOKING_INSIDE:
            _check_plain(value)
        if name == "round" and arguments and not 0 <= int(arguments[0]) <= 10:
            refuse("round to 0 up to 10 digits")
        if growth is not None and growth(value, *arguments) > _LONGEST_VALUE:
            refuse("the text is too long for a template")
        _budget.spend(1 + (len(value) // 100 if isinstance(value, Sized) else 0))
        result = function(value, *arguments, **options)
        _check_size(result)
        return result

    # The engine marks filters that want its context or environment by attributes.
    bounded.__dict__.update(function.__dict__)
    return bounded


_ENVIRONMENTS = {
    html: _Environment(tolerance=Mode.STRICT, strict_filters=True, autoescape=html) for html in (False, True)
}
