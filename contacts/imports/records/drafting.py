"""One row beside the record that it is about: what it changes, or everything that is wrong with it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contacts.custom import merged
from contacts.custom import problems as custom_problems
from contacts.imports.records.cells import column_value, own_value, same_text
from contacts.imports.records.relations import Relations
from contacts.imports.records.shape import RELATIONS, Shape
from contacts.record_fields import InvalidValues, checked
from crm.csv_files import Row


@dataclass(frozen=True, slots=True)
class Told:
    """What a row says: its key, and cells by what they fill; a cell that says nothing is not among them."""

    row: Row
    key: str
    cells: Mapping[str, str]


@dataclass(slots=True)
class Draft:
    """A row, the record that it changes or None for a new one, and the cells that differ from an export of it."""

    told: Told
    record: Any
    cells: Mapping[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def draft(shape: Shape, told: Told, record: Any, *, key: str) -> Draft:
    """The cells of a row that say something new; the key of a record that is known is never changed."""
    if record is None:
        return Draft(told, None, {target: text for target, text in told.cells.items() if text})
    differ = {
        target: text
        for target, text in told.cells.items()
        if target != key and not same_text(text, shape.written(record, target))
    }
    # Name and id of one relation stand or fall together: which of the two was edited, a second import could not tell.
    paired = {RELATIONS[target] for target in differ if target in RELATIONS}
    both = {target: text for target, text in told.cells.items() if RELATIONS.get(target) in paired}
    return Draft(told, record, {**differ, **both})


def wanted(drafts: Iterable[Draft]) -> dict[str, set[str]]:
    """What the cells of drafts name of other records, by what they fill."""
    found: dict[str, set[str]] = {target: set() for target in RELATIONS}
    for each in drafts:
        for target in RELATIONS.keys() & each.cells.keys():
            if each.cells[target]:
                found[target].add(each.cells[target])
    return found


def fill(shape: Shape, draft: Draft, relations: Relations, titles: Mapping[str, str]) -> None:
    """Turn the cells into values of their types, or into problems with the titles of their columns."""

    def take(target: str, read: Callable[[], Any], into: dict[str, Any], name: str) -> None:
        try:
            into[name] = read()
        except ValueError as error:
            draft.problems.append(f"{titles.get(target, target)}: {error}")

    held = shape.values_of(draft.record) if draft.record is not None else {}
    for target, text in draft.cells.items():
        if shape.is_own(target):
            name = shape.key_of(target)
            take(target, lambda: own_value(shape, target, text, held.get(name)), draft.own, name)  # noqa: B023
        elif target not in RELATIONS:
            take(target, lambda: column_value(shape, target, text), draft.values, target)  # noqa: B023
    for kind in dict.fromkeys(RELATIONS[target] for target in draft.cells if target in RELATIONS):
        named, number = draft.cells.get(kind), draft.cells.get(f"{kind}_id")
        target = kind if named is not None else f"{kind}_id"
        take(target, lambda: relations.pair(kind, named, number), draft.values, f"{kind}_id")  # noqa: B023
    if not draft.problems:
        _settle(shape, draft, held)


def _settle(shape: Shape, draft: Draft, held: Mapping[str, Any]) -> None:
    """Leave out what the record holds anyway, and look at the row as a whole."""
    if draft.record is None:
        draft.own = {key: value for key, value in draft.own.items() if value is not None}
        draft.problems += _lacking(shape, draft)
    else:
        record = draft.record
        draft.values = {name: value for name, value in draft.values.items() if getattr(record, name) != value}
        draft.own = {key: value for key, value in draft.own.items() if not _same(held.get(key), value)}
    if draft.own and not draft.problems:
        draft.problems += _too_much(shape, draft, held)


def _same(held: Any, value: Any) -> bool:
    """Whether two own values are one; true is not 1."""
    return bool(held == value) and isinstance(held, bool) == isinstance(value, bool)


def _lacking(shape: Shape, draft: Draft) -> list[str]:
    """What a new record needs and the row does not say."""
    fields = [shape.model._meta.get_field(name) for name in shape.plain if name not in draft.values]
    lacks = [str(each.verbose_name) for each in fields if not each.blank and not each.has_default()]
    required = ((target, each) for target, each in shape.own.items() if each.get("required"))
    lacks += [str(each.get("label") or target) for target, each in required if shape.key_of(target) not in draft.own]
    return [f"A new {shape.spoken} needs {' and '.join(lacks)}."] if lacks else []


def _too_much(shape: Shape, draft: Draft, held: Mapping[str, Any]) -> list[str]:
    if shape.type is None:
        found = custom_problems(merged(current=held, changes=draft.own))
        return [f"{path}: {message}" for path, message in found]
    try:
        checked(shape.type.fields, draft.own, partial=True)
    except InvalidValues as error:
        return [message for _, message in error.problems]
    return []
