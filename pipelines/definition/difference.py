"""What differs between two documents, as data and in words: steps, triggers, settings and the rest."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from .canonical import canonical
from .layout import Place, every_place, own_parameters
from .picture.words import step_title, trigger_words
from .wording import MISSING, change_words

What = Literal["added", "removed", "moved", "changed"]
_STEP_FIELDS: Final = {
    "type": "action",
    "name": "name",
    "delay": "wait",
    "if": "condition",
    "message": "message",
    "next": "next step",
    "on": "ways on",
    "retry": "retry",
    "timeout": "timeout",
    "set": "variables set",
    "delivery": "delivery",
    "await": "waits for",
    "notes": "notes",
}
# Lists of the top level and what identifies their entries.
_LISTS: Final = {"triggers": "trigger", "variables": "variable", "exit": "exit rule", "goals": "goal"}
_TOP: Final = ("name", "key", "description", "subject", "edges", "meta")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field with its values before and after; None where there was none. `words` tells it to people."""

    field: str
    before: Any
    after: Any
    words: str


@dataclass(frozen=True, slots=True)
class Change:
    """One step, trigger, setting or other part that differs."""

    what: What
    part: str
    key: str
    name: str
    fields: tuple[FieldChange, ...] = ()

    @property
    def sentence(self) -> str:
        """The change in one line."""
        title = f"{self.part.capitalize()} “{self.name}”" if self.name else self.part.capitalize()
        details = "; ".join(field.words for field in self.fields)
        return f"{title} {self.what}{f': {details}' if details else ''}."


def difference(old: Mapping[str, Any], new: Mapping[str, Any], *, labels: Mapping[str, str]) -> list[Change]:
    """Every change from one document to another, in the order of the new one; none means they are the same."""
    before, after = canonical(old), canonical(new)
    return [
        *_top_changes(before, after),
        *_step_changes(before, after, labels),
        *(change for name, part in _LISTS.items() for change in _list_changes(name, part, before, after)),
        *_list_changes("expect", "promise", before.get("meta") or {}, after.get("meta") or {}),
        *_setting_changes(before, after),
    ]


def _top_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    old, new = ({**each, "meta": _without_promises(each.get("meta"))} for each in (old, new))
    fields = tuple(_fields(old, new, {name: name for name in _TOP}))
    if fields:
        yield Change("changed", "pipeline", "", "", fields)


def _without_promises(meta: Any) -> dict[str, Any]:
    return {name: value for name, value in (meta or {}).items() if name != "expect"}


def _step_changes(old: Mapping[str, Any], new: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[Change]:
    before, after = ({place.key: place for place in every_place(each)} for each in (old, new))
    moved = _moved(before, after)
    for key, place in after.items():
        name = step_title(place.step, labels)
        if key not in before:
            yield Change("added", "step", key, name)
            continue
        fields = tuple(_step_fields(before[key], place))
        if fields or key in moved:
            yield Change("changed" if fields else "moved", "step", key, name, (*moved.get(key, ()), *fields))
    for key, place in before.items():
        if key not in after:
            yield Change("removed", "step", key, step_title(place.step, labels))


def _step_fields(old: Place, new: Place) -> Iterator[FieldChange]:
    yield from _fields(old.step, new.step, _STEP_FIELDS)
    before, after = own_parameters(old.step), own_parameters(new.step)
    yield from _fields(before, after, {name: name for name in {**before, **after}})


def _moved(old: Mapping[str, Place], new: Mapping[str, Place]) -> dict[str, tuple[FieldChange, ...]]:
    """Steps that stand elsewhere: in another list, or out of the longest row that kept its order."""
    found: dict[str, tuple[FieldChange, ...]] = {}
    for scope in dict.fromkeys(place.scope for place in new.values()):
        kept = [key for key, place in new.items() if place.scope == scope and key in old and old[key].scope == scope]
        order = {key: at for at, key in enumerate(old)}
        staying = _longest_rising([order[key] for key in kept])
        found |= {key: (_place_change(old[key], new[key]),) for key in kept if order[key] not in staying}
    elsewhere = [key for key, place in new.items() if key in old and old[key].scope != place.scope]
    return found | {key: (_place_change(old[key], new[key]),) for key in elsewhere}


def _place_change(old: Place, new: Place) -> FieldChange:
    before, after = ([each.scope or None, each.number] for each in (old, new))
    return FieldChange("place", before, after, f"place {_place_words(old)} → {_place_words(new)}")


def _place_words(place: Place) -> str:
    return f"{place.number} in {place.scope}" if place.scope else str(place.number)


def _longest_rising(values: Sequence[int]) -> set[int]:
    """The values of a longest rising row among them, the earliest where there are several."""
    rows: list[list[int]] = []
    for value in values:
        rows.append([*_longest([row for row in rows if row[-1] < value]), value])
    return set(_longest(rows))


def _longest(rows: Sequence[list[int]]) -> list[int]:
    found: list[int] = []
    for row in rows:
        found = row if len(row) > len(found) else found
    return found


def _list_changes(name: str, part: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = (_by_identity(name, each.get(name, [])) for each in (old, new))
    for key, entry in after.items():
        title = _entry_words(name, entry)
        if key not in before:
            yield Change("added", part, key, title)
        elif before[key] != entry:
            known = {field: field for field in {**before[key], **entry}}
            yield Change("changed", part, key, title, tuple(_fields(before[key], entry, known)))
    for key, entry in before.items():
        if key not in after:
            yield Change("removed", part, key, _entry_words(name, entry))


def _by_identity(name: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        parts = {
            "triggers": [entry.get("key") or (entry.get("type"), entry.get("model"), entry.get("event"))],
            "variables": [entry.get("name")],
            "exit": [entry.get("event"), entry.get("status")],
            "expect": [entry.get("name")],
            "goals": [entry.get("name") or entry.get("key") or entry.get("event")],
        }[name]
        stem = _text(parts[0] if len(parts) == 1 else parts)
        key, number = stem, 1
        while key in found:
            number += 1
            key = f"{stem} {number}"
        found[key] = entry
    return found


def _entry_words(name: str, entry: Mapping[str, Any]) -> str:
    if name == "triggers":
        return trigger_words(entry)
    return str(entry.get("name") or entry.get("key") or entry.get("event") or "")


def _setting_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = old.get("settings", {}), new.get("settings", {})
    fields = tuple(_fields(before, after, {name: name for name in {**before, **after}}))
    if fields:
        yield Change("changed", "settings", "", "", fields)


def _fields(old: Mapping[str, Any], new: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[FieldChange]:
    for field, said in names.items():
        before, after = old.get(field, MISSING), new.get(field, MISSING)
        if (before is MISSING and after is MISSING) or _text(before) == _text(after):
            continue
        words = change_words(field, said.replace("_", " "), before, after)
        yield FieldChange(field, _known(before), _known(after), words)


def _known(value: Any) -> Any:
    return None if value is MISSING else value


def _text(value: Any) -> str:
    return "" if value is MISSING else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
