"""Fields of the subject that look like a slip: warnings, since a record may have fields of any name of its own."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pipelines.definition.document import Problem
from pipelines.definition.layout import every_place, subject_model, subject_names
from pipelines.definition.reading import reads_of
from pipelines.definition.shapes import spoken_path
from pipelines.operations.field_types import FieldTypes
from pipelines.subjects import RELATED_FIELDS, SubjectType, subject_named

# Nearer than `last_activity` is to `last_interaction`, which are two fields.
ALIKE: Final = 0.8
WRITERS: Final = frozenset({"update_record", "create_record"})


def field_problems(document: Mapping[str, Any], fields: FieldTypes) -> Iterator[Problem]:
    """Names that are no column and nearly one, or no field at all in a team that has defined its own.

    In a mail their place would stay empty.
    """
    kind = subject_named(subject_model(document) or "")
    if kind is None or kind.record_type:
        return
    roots, written = {"subject", *subject_names(document)}, _written(document)
    for place in every_place(document):
        for path, inside in reads_of(place.step).paths:
            if inside[:2] == ("with", "where") or path[0] not in roots:
                continue
            found = _slip(path[1:], kind, written, fields)
            if found:
                yield Problem(spoken_path((*place.at, *inside)), found, "warning")


def _slip(names: tuple[str, ...], kind: SubjectType, written: Collection[str], fields: FieldTypes) -> str:
    """What is wrong in `first`, in `custom.first` or in `company.first`, and what was meant."""
    if not names:
        return ""
    columns = {*kind.plain, *kind.relations, *kind.derived, "name", "custom", "team_id"}
    if names[0] in kind.relations and len(names) > 1:
        return _unknown(names[1], kind, {*RELATED_FIELDS[names[0]], "model"})
    if names[0] == "custom" and len(names) > 1:
        names, columns = names[1:], set()
    if names[0] in columns or names[0] in written:
        return ""
    defined = fields.defined(kind.label)
    return _unknown(names[0], kind, columns | {*defined}, defined=bool(defined))


def _unknown(name: str, kind: SubjectType, known: Collection[str], *, defined: bool = False) -> str:
    if name in known:
        return ""
    meant = get_close_matches(name, sorted(known), n=1, cutoff=ALIKE)
    hint = f"; did you mean '{meant[0]}'?" if meant else ""
    if defined:
        return f"{kind.name} has no field '{name}', and your team has not defined one{hint}"
    return f"{kind.name} has no field '{name}' unless you added one{hint}" if hint else ""


def _written(document: Mapping[str, Any]) -> frozenset[str]:
    """Fields that steps of this document give to records."""
    given = [place.step.get("with") or {} for place in every_place(document) if place.step.get("type") in WRITERS]
    values = [each.get("values") for each in given]
    return frozenset(name.removeprefix("custom.") for each in values if isinstance(each, Mapping) for name in each)
