"""Spans of time as people and documents write them."""

import math
import re

LONGEST_SECONDS = 100 * 366 * 86_400
_UNIT_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_COMPACT = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,6})?[wdhms])+", re.ASCII)
_COMPACT_PART = re.compile(r"([0-9.]+)([wdhms])")
_PLAIN_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", re.ASCII)
_AMOUNT = r"([0-9]{1,12}(?:[.,][0-9]{1,6})?)"
_ISO = re.compile(
    rf"P(?:{_AMOUNT}W)?(?:{_AMOUNT}D)?(?:T(?:{_AMOUNT}H)?(?:{_AMOUNT}M)?(?:{_AMOUNT}S)?)?",
    re.ASCII,
)
_ISO_WITH_CALENDAR_UNITS = re.compile(r"P[0-9.,]*[0-9](?:Y|M)")
_LONGEST_TEXT = 60
_SPOKEN = (("day", 86_400), ("hour", 3_600), ("minute", 60))


class DurationError(ValueError):
    """The text or number is not a span of time."""


def parse_duration(value: float | str) -> float:
    """Read seconds from a number, "3d", "1h30m" or an ISO 8601 duration such as "PT4H"."""
    seconds = _parse_text(value) if isinstance(value, str) else _parse_number(value)
    if seconds > LONGEST_SECONDS:
        raise DurationError("a duration cannot be longer than 100 years")
    return seconds


def format_duration(seconds: float) -> str:
    """Say a span of time in words, such as "1 hour 30 minutes"."""
    words = []
    rest = round(float(seconds), 3)
    for name, size in _SPOKEN:
        count, rest = divmod(rest, size)
        if count:
            words.append(_counted(count, name))
    rest = round(rest, 3)
    if rest or not words:
        words.append(_counted(rest, "second"))
    return " ".join(words)


def compact_duration(seconds: int) -> str:
    """Whole seconds as documents write them, such as "3d" or "1h30m"; an empty text for none."""
    parts = []
    for unit, size in _UNIT_SECONDS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _counted(count: float, name: str) -> str:
    return f"{count:g} {name}" if count == 1 else f"{count:.10g} {name}s"


def _parse_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DurationError('a duration is a number of seconds or text such as "3d" or "PT4H"')
    if isinstance(value, int) and value.bit_length() > 64:
        raise DurationError("a duration cannot be longer than 100 years")
    if not math.isfinite(value):
        raise DurationError("a duration must be a finite number of seconds")
    if value < 0:
        raise DurationError("a duration cannot be negative")
    return float(value)


def _parse_text(value: str) -> float:
    text = value.strip() if len(value) <= _LONGEST_TEXT else ""
    if text and _PLAIN_NUMBER.fullmatch(text):
        return float(text)
    if text and _COMPACT.fullmatch(text):
        return sum(_UNIT_SECONDS[unit] * float(n) for n, unit in _COMPACT_PART.findall(text))
    match = _ISO.fullmatch(text)
    if match and any(match.groups()) and not text.endswith("T"):
        amounts = [float((group or "0").replace(",", ".")) for group in match.groups()]
        return sum(n * size for n, size in zip(amounts, _UNIT_SECONDS.values(), strict=True))
    if text.startswith("-"):
        raise DurationError("a duration cannot be negative")
    if _ISO_WITH_CALENDAR_UNITS.match(text):
        raise DurationError("years and months have no fixed length: give weeks or days")
    raise DurationError(f'"{value[:40]}" is not a duration: write "3d", "1h30m", "PT4H" or seconds')
