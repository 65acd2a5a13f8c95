"""Fields that nobody has: read in conditions, expressions and templates, written to records, or searched by.

Warnings, since a record may have fields of any name of its own; errors where a step can only fail.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.definition.document import Problem
from pipelines.definition.layout import Path, every_place, own_parameters, subject_model, subject_names
from pipelines.definition.meant import is_condition, part_of, places_of
from pipelines.definition.operators import CHANGE_OPERATORS
from pipelines.definition.reading import Reads, reads_of, reads_of_rules, reads_of_trigger
from pipelines.definition.shapes import spoken_path
from pipelines.operations.field_names import slip
from pipelines.operations.field_types import FieldTypes
from pipelines.operations.searched_fields import searched_problems
from pipelines.operations.written_fields import WRITERS, written_problems
from pipelines.subjects import SubjectType, subject_named


def field_problems(document: Mapping[str, Any], fields: FieldTypes) -> Iterator[Problem]:
    """Names that are no column and nearly one, or no field at all in a team that has defined its own.

    In a mail their place would stay empty, and a value written under one would be a custom value.
    """
    read = {name for place in every_place(document) for path, _ in reads_of(place.step).paths for name in path[1:]}
    for place in every_place(document):
        yield from written_problems(place, document, fields, read=read)
        yield from searched_problems(place, document, fields)
    kind = subject_named(subject_model(document) or "")
    if kind is not None:
        about = _About(document, kind, fields)
        for place in every_place(document):
            yield from about.slips(reads_of(place.step), place.at)
            yield from about.changes({"if": place.step.get("if"), "with": own_parameters(place.step)}, place.at)
        for at, reads in reads_of_rules(document):
            yield from about.slips(reads, at)
            yield from about.changes(part_of(document, at), at)
        for index, trigger in enumerate(document.get("triggers", [])):
            if trigger.get("model") in (None, kind.label):
                yield from about.slips(reads_of_trigger(trigger), ("triggers", index))
                yield from about.changes(trigger, ("triggers", index))


class _About:
    """What a document reads of its subject."""

    def __init__(self, document: Mapping[str, Any], kind: SubjectType, fields: FieldTypes) -> None:
        self._document, self._kind, self._fields = document, kind, fields
        self._roots, self._written = {"subject", *subject_names(document)}, _written(document)

    def slips(self, reads: Reads, at: Path) -> Iterator[Problem]:
        """A warning at each place that reads a field which nobody has."""
        for path, inside in reads.paths:
            if inside[:2] == ("with", "where") or path[0] not in self._roots:
                continue
            found = slip(path[1:], self._kind, self._fields, also=self._written)
            if found:
                part = part_of(self._document, (*at, *inside))
                for below, place in places_of(path, part, condition=is_condition(inside)):
                    yield Problem(spoken_path((*at, *inside, *below)), f"{found}{place}", "warning")

    def changes(self, value: object, at: Path) -> Iterator[Problem]:
        """The same for clauses about a field that changed, which read no record."""
        if isinstance(value, Mapping):
            if value.get("operator") in CHANGE_OPERATORS and isinstance(value.get("field"), str):
                names = tuple(value["field"].strip().split("."))
                found = slip(names[names[0] in self._roots :], self._kind, self._fields, also=self._written)
                if found:
                    yield Problem(spoken_path((*at, "field")), found, "warning")
            for key, item in value.items():
                yield from self.changes(item, (*at, str(key)))
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from self.changes(item, (*at, index))


def _written(document: Mapping[str, Any]) -> frozenset[str]:
    """Fields that steps of this document give to records."""
    given = [place.step.get("with") or {} for place in every_place(document) if place.step.get("type") in WRITERS]
    values = [each.get("values") for each in given]
    return frozenset(name.removeprefix("custom.") for each in values if isinstance(each, Mapping) for name in each)
