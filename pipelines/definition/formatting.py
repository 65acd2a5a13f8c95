"""Filters that tell dates and amounts the way people read them."""

import datetime as dt
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from liquid import RenderContext, Undefined
from liquid.exceptions import FilterArgumentError
from liquid.filter import liquid_filter, with_context

from .comparing import as_moment
from .zones import known_zone

# The length of a date without a time, such as 2027-01-31, which is the same everywhere.
_DAY = 10
_DATE_FORMAT = re.compile(r"(?:[^%]|%-?[aAbBdeHIjmMpSyYZzuwUV%])*")
# Nobody asked for the clock of a zone; a zone that is nothing is that of the team.
_UNSAID: Final = object()
# What stands before the cents, and what groups the thousands then.
_GROUPS = {".": ",", ",": "."}
_LARGEST_EXPONENT = 60
_CENT = Decimal("0.01")
_WIDE = Context(prec=_LARGEST_EXPONENT + 10)


def refuse(message: str) -> NoReturn:
    raise FilterArgumentError(message, token=None)


@liquid_filter
def money(value: Any, point: Any = ".") -> Any:
    """An amount with its cents and its thousands apart: 1,234.50, or 1.234,50 where `point` is a comma.

    A text that is no number stays as it is, and nothing stays nothing.
    """
    if point not in _GROUPS:
        refuse("money: what stands before the cents is '.' or ','")
    if value is None or isinstance(value, Undefined) or value == "":
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        refuse("money: expected a number")
    amount = _amount(value)
    if amount is None:
        return value
    english = f"{amount:,.2f}"
    return english if point == "." else english.translate({ord(","): ".", ord("."): ","})


def _amount(value: float | Decimal | str) -> Decimal | None:
    """Rounded to cents as people round, never to -0.00; None for what is no finite number of any real size."""
    text = str(value)
    try:
        # Python reads 1_000 as a number; people who write it mean a name.
        exact = Decimal("NaN" if "_" in text else text.strip())
    except InvalidOperation:
        return None
    if not exact.is_finite() or exact.adjusted() > _LARGEST_EXPONENT:
        return None
    return exact.quantize(_CENT, ROUND_HALF_UP, _WIDE) or _CENT * 0


@with_context
@liquid_filter
def date(value: Any, style: Any = "%Y-%m-%d", zone: Any = _UNSAID, *, context: RenderContext) -> Any:
    """Format a date or ISO text; "now" is the moment in the context, and a moment is told by the clock of `zone`."""
    if value in ("now", "today"):
        value = context.resolve("now", default=None)
    if value is None or isinstance(value, Undefined) or value == "":
        return ""
    is_day = isinstance(value, str) and len(value.strip()) == _DAY
    if isinstance(value, str):
        try:
            value = as_moment(value)
        except ValueError:
            return value
    if not isinstance(value, dt.date):
        refuse("date: expected a date")
    if not isinstance(style, str) or len(style) > 100 or not _DATE_FORMAT.fullmatch(style):
        refuse("date: this format is not offered")
    if zone is not _UNSAID and isinstance(value, dt.datetime) and not is_day:
        value = _by_the_clock_of(value, zone, context)
    return _portable(value, style)


def _by_the_clock_of(moment: dt.datetime, zone: Any, context: RenderContext) -> dt.datetime:
    """Where nobody knows the zone, such as that of a contact without one, the team's counts."""
    known = known_zone(zone)
    if known is None:
        team = context.resolve("team", default=None)
        known = known_zone(team.get("timezone")) if isinstance(team, Mapping) else None
    return as_moment(moment).astimezone(known or dt.UTC)


def _portable(value: dt.date, style: str) -> str:
    """Format without the padding flag, which not every platform knows."""
    parts = re.split(r"(%-?.)", style)
    return "".join(
        (value.strftime(f"%{part[-1]}").lstrip("0") or "0") if part.startswith("%-") else value.strftime(part)
        for part in parts
        if part
    )
