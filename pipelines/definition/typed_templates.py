"""The comparisons and filters of a template that can never be what its author meant.

Templates compare more strictly than conditions: a date has no order there, and never equals a text.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from liquid.builtin.expressions import FilteredExpression, Path, logical
from liquid.builtin.expressions.primitive import Literal
from liquid.expression import Expression

from .templates import Template, TemplateError, compile_template, place_in
from .typed import Finding, Known, Types, firm, named, never_same, written

_ORDERS: Final = (
    logical.LtExpression,
    logical.GtExpression,
    logical.LeExpression,
    logical.GeExpression,
)
_STRICT: Final = (logical.LtExpression, logical.GtExpression)
_SUMS: Final = frozenset({"abs", "ceil", "divided_by", "floor", "minus", "modulo", "plus", "round", "times"})
_ORDERED: Final = (frozenset({"text", "date"}), frozenset({"number", "boolean"}))


def typed_template(source: str, types: Types) -> Iterator[Finding]:
    """What in a template fails or always has the same result."""
    try:
        template = compile_template(source)
    except TemplateError:
        return
    yield from template_findings(template, types)


def template_findings(template: Template, types: Types) -> Iterator[Finding]:
    """What `typed_template` finds, of a template that is compiled already."""
    reader = _Reader(template, types)
    for expression in template.expressions():
        for reason, at, fails in reader.reasons(expression):
            place: Mapping[str, int] = place_in(template.source, at)
            yield Finding(reason, place.get("line"), place.get("column"), fails)


class _Reader:
    """Knows which paths of one template lead out of it."""

    def __init__(self, template: Template, types: Types) -> None:
        self._places, self._types = template.places, types

    def reasons(self, expression: Expression) -> Iterator[tuple[str, int, bool]]:
        """What is wrong with one comparison or one chain of filters, where, and whether it fails."""
        match expression:
            case logical.EqExpression():
                yield from self._compared(expression, "they are never equal")
            case logical.NeExpression():
                yield from self._compared(expression, "they always differ")
            case logical.ContainsExpression():
                yield from self._contained(expression)
            case FilteredExpression():
                yield from self._filtered(expression)
            case _ if isinstance(expression, _ORDERS):
                yield from self._ordered(expression)
            case _ if hasattr(expression, "expressions") and hasattr(expression, "left"):
                # The values of a `when`.
                for each in expression.expressions:
                    if reason := _never_same(self._known(expression.left), self._known(each)):
                        yield f"{reason}: this is never chosen", _at(each), False

    def _compared(self, expression: Any, then: str) -> Iterator[tuple[str, int, bool]]:
        reason = _never_same(self._known(expression.left), self._known(expression.right))
        if reason:
            yield f"{reason}: {then}", _at(expression.left), False

    def _ordered(self, expression: Any) -> Iterator[tuple[str, int, bool]]:
        left, right = self._known(expression.left), self._known(expression.right)
        if left is None or right is None or any({left.type, right.type} <= group for group in _ORDERED):
            return
        fails = isinstance(expression, _STRICT)
        dates = (
            "; templates give dates no order: compare them in a condition"
            if "moment" in (left.type, right.type)
            else ""
        )
        never = "this is never true" if _never_same(left, right) else "this is true only when they are equal"
        then = "this always fails" if fails else never
        yield f"{left} and {right}: {then}{dates}", _at(expression.left), fails and firm(left, right)

    def _contained(self, expression: Any) -> Iterator[tuple[str, int, bool]]:
        left = self._known(expression.left)
        if left is not None and left.type in ("number", "boolean", "moment", "duration"):
            yield f"{left}, which contains nothing: this always fails", _at(expression.left), left.firm

    def _filtered(self, expression: FilteredExpression) -> Iterator[tuple[str, int, bool]]:
        left, filters = self._known(expression.left), expression.filters or []
        if left is None or not filters:
            return
        name = filters[0].name
        if name == "date" and left.type in ("number", "boolean", "list", "object"):
            yield f"{left}, not a date: this always fails", _at(expression.left), left.firm
        elif name == "money" and left.type in ("boolean", "moment", "list", "object"):
            yield f"{left}, not an amount: this always fails", _at(expression.left), left.firm
        elif name in _SUMS and left.type in ("moment", "list", "object"):
            yield f"{left}, which '{name}' takes for 0", _at(expression.left), False

    def _known(self, expression: Any) -> Known:
        if isinstance(expression, Literal):
            return written(expression.value)
        if not isinstance(expression, Path) or expression.token.start_index not in self._places:
            return None
        names = tuple(each for each in expression.path if isinstance(each, str))
        return named(self._types(names), ".".join(names)) if len(names) == len(expression.path) else None


def _never_same(left: Known, right: Known) -> str:
    if left and right and {left.type, right.type} == {"moment", "text"}:
        return f"{left} and {right}, which templates never take for a date"
    if left and right and {left.type, right.type} == {"moment", "date"}:
        return ""
    return never_same(left, right)


def _at(expression: Expression) -> int:
    return expression.token.start_index
