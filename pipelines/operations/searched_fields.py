"""Names in the condition of a search: fields of the records searched, before they are anything else."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.definition.blocks import local_names
from pipelines.definition.conditions import ConditionError, compile_condition
from pipelines.definition.document import Problem
from pipelines.definition.layout import Path, Place, context_names, every_place
from pipelines.definition.meant import places_of
from pipelines.definition.shapes import spoken_path
from pipelines.operations.field_names import slip
from pipelines.operations.field_types import FieldTypes, columns_of
from pipelines.subjects import SubjectType, subject_named


def searched_problems(place: Place, document: Mapping[str, Any], fields: FieldTypes) -> Iterator[Problem]:
    """What a `find_records` step asks for that no record of that kind has."""
    given = place.step.get("with") or {}
    kind = subject_named(str(given.get("model") or ""))
    if place.step.get("type") != "find_records" or kind is None:
        return
    if given.get("where") is not None:
        yield from _of_condition(given["where"], (*place.at, "with", "where"), document, kind, fields)
    order = str(given.get("order") or "").removeprefix("-")
    found = slip((order,), kind, fields) if order else ""
    if found:
        yield Problem(spoken_path((*place.at, "with", "order")), found, "warning")


def _of_condition(
    where: Any, at: Path, document: Mapping[str, Any], kind: SubjectType, fields: FieldTypes
) -> Iterator[Problem]:
    try:
        paths = sorted(compile_condition(where).paths)
    except ConditionError:
        return
    for path in paths:
        found, error = _wrong(path, document, kind, fields)
        if found:
            for inside, stands in places_of(path, where, condition=True):
                told = spoken_path((*at, *inside))
                yield Problem(told, f"{found}{stands}", "error" if error else "warning")


def _wrong(
    path: tuple[str, ...], document: Mapping[str, Any], kind: SubjectType, fields: FieldTypes
) -> tuple[str, bool]:
    """What is wrong with one name of the condition, and whether it can never be anything."""
    own = {str(each["key"]) for each in fields.own(kind.label)}
    if path[0] == "record":
        return slip(path[1:], kind, fields), False
    if path[0] in columns_of(kind) | own or path[0] == "custom":
        return slip(path, kind, fields), False
    if path[0] in context_names(document) or _of_a_loop(path[0], document):
        return "", False
    if path[0] == kind.name and len(path) > 1:
        return f"unknown name '{path[0]}'; did you mean '{'.'.join(('record', *path[1:]))}'?", True
    return slip(path, kind, fields), False


def _of_a_loop(name: str, document: Mapping[str, Any]) -> bool:
    return any(name in local_names(each.step) for each in every_place(document))
