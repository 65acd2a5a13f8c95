"""One value that changed, in words: spans as spans, conditions as sentences, lists by what came and went."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .delays import DelayError, parse_delay
from .durations import DurationError, format_duration, parse_duration
from .picture.words import condition_words

LONGEST_VALUE: Final = 80
# How much of a long text is shown before and after the spot that changed.
AROUND: Final = 24
MISSING: Final = object()
_SPANS: Final = frozenset({
    "after", "debounce", "delay", "every", "expires_after", "lookback", "max_delay", "silence", "step_timeout",
    "timeout",
})  # fmt: skip
_CONDITIONS: Final = frozenset({"if", "where", "while", "until", "when"})
_NAMES: Final = ("name", "key", "value", "field")


def change_words(field: str, said: str, before: Any, after: Any) -> str:
    """What became of a field, such as "wait 1 day → 2 days"; `MISSING` stands for no value."""
    if field not in _CONDITIONS and field != "delay":
        if _is_filled(before, Mapping) and _is_filled(after, Mapping):
            return f"{said}: {', '.join(_inside(before, after))}"
        if _holds_entries(before) and _holds_entries(after):
            return f"{said}: {', '.join(_entries(before, after)) or 'another order'}"
        if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > LONGEST_VALUE:
            return f"{said} “{_around(before, after)}” → “{_around(after, before)}”"
    return f"{said} {value_words(field, before)} → {value_words(field, after)}"


def value_words(field: str, value: Any) -> str:
    """One value of a field, shortened when it is long."""
    if field == "delay":
        return _delay_words(value)
    if value is MISSING or value is None:
        return "none"
    if field in _CONDITIONS and isinstance(value, str | Mapping | list):
        return condition_words(value)
    said = _span_words(value) if field in _SPANS else ""
    return said or _shortened(_plain(value))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return f"“{value}”"
    if isinstance(value, Mapping):
        return ", ".join(f"{_spoken(name)} {value_words(name, each)}" for name, each in value.items()) or "nothing"
    if _holds_entries(value):
        return ", ".join(_by_name(value))
    if isinstance(value, list | tuple):
        return ", ".join(each if isinstance(each, str) else _plain(each) for each in value) or "nothing"
    return json.dumps(value, ensure_ascii=False, default=str)


def _inside(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The values of an object that differ, those that went last."""
    return [
        change_words(name, _spoken(name), before.get(name, MISSING), after.get(name, MISSING))
        for name in {**after, **before}
        if before.get(name, MISSING) != after.get(name, MISSING)
    ]


def _entries(before: Sequence[Any], after: Sequence[Any]) -> list[str]:
    """The entries of a list of objects that came, changed and went."""
    old, new = _by_name(before), _by_name(after)
    told = []
    for name, entry in new.items():
        if name not in old:
            told.append(f"{name} added")
        elif old[name] != entry:
            told.append(f"{name} changed ({', '.join(_inside(old[name], entry))})")
    return told + [f"{name} removed" for name in old if name not in new]


def _by_name(entries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Entries by the first of their names that tells them all apart, else by their number."""
    for field in _NAMES:
        names = [entry.get(field) for entry in entries]
        if all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names):
            return {f"“{name}”": entry for name, entry in zip(names, entries, strict=True)}
    return {str(number): entry for number, entry in enumerate(entries, start=1)}


def _holds_entries(value: Any) -> bool:
    return _is_filled(value, list | tuple) and all(isinstance(each, Mapping) for each in value)


def _is_filled(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and bool(value)


def _around(text: str, other: str) -> str:
    """A long text from a little before the first to a little after the last letter that differs from the other."""
    shorter = min(len(text), len(other))
    same = next((at for at in range(shorter) if text[at] != other[at]), shorter)
    rest = next((at for at in range(shorter - same) if text[-1 - at] != other[-1 - at]), shorter - same)
    start, end = max(0, same - AROUND), min(len(text), len(text) - rest + AROUND)
    # Whole words, where there is a space in what is shown around the spot.
    start = max(start, text.find(" ", start, same) + 1) if start else 0
    end = max(text.rfind(" ", len(text) - rest, end), len(text) - rest) if end < len(text) else end
    shown = _shortened(" ".join(text[start:end].split()), LONGEST_VALUE + AROUND)
    return f"{'…' if start else ''}{shown}{'…' if end < len(text) and not shown.endswith('…') else ''}"


def _delay_words(value: Any) -> str:
    try:
        return parse_delay(None if value is MISSING else value).describe().removesuffix(" after the previous step")
    except (DelayError, ValueError):
        return _shortened(_plain(value))


def _span_words(value: Any) -> str:
    try:
        return format_duration(parse_duration(value)) if isinstance(value, str | int | float) else ""
    except DurationError:
        return ""


def _shortened(text: str, longest: int = LONGEST_VALUE) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _spoken(name: str) -> str:
    return name.replace("_", " ")
