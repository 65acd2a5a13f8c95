"""What conditions, expressions and templates can never be, by the types of the fields and variables they read."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pipelines.definition.blocks import local_names
from pipelines.definition.certainty import certain_misfit
from pipelines.definition.document import Problem
from pipelines.definition.layout import Path, every_place, own_parameters, subject_model, subject_names
from pipelines.definition.naming import assignments
from pipelines.definition.reading import CONDITION_KEYS, LITERAL_PARAMETERS, conditions_in
from pipelines.definition.shapes import spoken_path
from pipelines.definition.typed import Finding, Known, Type, Typed, Types, named
from pipelines.definition.typed_conditions import condition_findings, type_of_value, value_findings
from pipelines.definition.values import is_dynamic
from pipelines.definition.variables import WORDS
from pipelines.operations.field_types import FieldTypes

_OF_VARIABLES: Final[Mapping[str, Type]] = {
    "string": "text",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "date",
    "object": "object",
    "list": "list",
}
# The variables that keep a value of a type, dates being written as texts.
_KEEPING: Final[Mapping[Type, frozenset[str]]] = {
    "text": frozenset({"string", "date", "datetime"}),
    "date": frozenset({"string", "date", "datetime"}),
    "moment": frozenset({"string", "date", "datetime"}),
    "number": frozenset({"number", "string"}),
    "duration": frozenset({"number"}),
    "boolean": frozenset({"boolean"}),
    "list": frozenset({"list"}),
    "object": frozenset({"object"}),
}
_Found = Iterable[tuple[Path, Finding]]


def type_problems(document: Mapping[str, Any], fields: FieldTypes) -> Iterator[Problem]:
    """What can only fail, as errors, and what always has the same result, as warnings."""
    types = document_types(document, fields)
    for place in every_place(document):
        yield from _told(place.at, _of_step(place.step, types, fields))
        for inside, values in assignments(place.step).items():
            yield from _misfits(values, (*place.at, *inside), document, types)
    for index, trigger in enumerate(document.get("triggers", [])):
        at = ("triggers", index)
        if trigger.get("model") in (None, subject_model(document)):
            yield from _told(at, condition_findings(trigger.get("where"), types, ("where",)))
        for name in ("set", "subject", "reentry"):
            yield from _told(at, value_findings(trigger.get(name), types, (name,)))
        yield from _misfits(trigger.get("set", {}), (*at, "set"), document, types)
    for part in ("exit", "goals"):
        for index, rule in enumerate(document.get(part, [])):
            yield from _told((part, index), condition_findings(rule.get("where"), types, ("where",)))
            for name in ("match", "value"):
                yield from _told((part, index), value_findings(rule.get(name), types, (name,)))


def document_types(document: Mapping[str, Any], fields: FieldTypes) -> Types:
    """The types of paths of a document; names that a loop gives another meaning are left out."""
    shadowed = frozenset[str]().union(*(local_names(place.step) for place in every_place(document)))
    about, below = subject_names(document) - shadowed, fields.of(subject_model(document) or "")
    variables = {
        each["name"]: Typed(_OF_VARIABLES[each["type"]])
        for each in document.get("variables", [])
        if each.get("type") in _OF_VARIABLES and each["name"] not in shadowed
    }

    def known(path: tuple[str, ...]) -> Known:
        root, *rest = path
        if root in about:
            found = below(tuple(rest))
        elif root == "vars" and len(rest) == 1:
            found = variables.get(rest[0])
        else:
            found = variables.get(root) if not rest else None
        return named(found, ".".join(path))

    return known


def _of_step(step: Mapping[str, Any], types: Types, fields: FieldTypes) -> Iterator[tuple[Path, Finding]]:
    own, kind = own_parameters(step), step.get("type")
    given = {name: value for name, value in own.items() if (kind, name) not in LITERAL_PARAMETERS}
    yield from value_findings(step.get("delay"), types, ("delay",))
    yield from condition_findings(step.get("if"), types, ("if",))
    yield from value_findings(step.get("message"), types, ("message",))
    yield from value_findings(given, types, ("with",), skipping=CONDITION_KEYS)
    yield from value_findings(step.get("set"), types, ("set",))
    for at, condition in conditions_in(given):
        searched = kind == "find_records" and at == ("where",)
        inside = _searched(given.get("model"), types, fields) if searched else types
        yield from condition_findings(condition, inside, ("with", *at))


def _searched(model: object, types: Types, fields: FieldTypes) -> Types:
    """In a search, names are fields of the records searched before they are anything else."""
    below = fields.of(model) if isinstance(model, str) else None

    def known(path: tuple[str, ...]) -> Known:
        if below is None:
            return None
        if path[0] == "record":
            return named(below(path[1:]), ".".join(path))
        # A name alone may be a field that only some of the records have.
        return named(below(path) or (types(path) if len(path) > 1 else None), ".".join(path))

    return known


def _told(at: Path, found: _Found) -> Iterator[Problem]:
    for inside, finding in found:
        yield Problem(spoken_path((*at, *inside)), str(finding), "error" if finding.fails else "warning")


def _misfits(values: Mapping[str, Any], at: Path, document: Mapping[str, Any], types: Types) -> Iterator[Problem]:
    """Variables that are given a field of another type: a warning, for one that is empty fits.

    What is wrong without knowing fields is told elsewhere.
    """
    declared = {each["name"]: str(each.get("type")) for each in document.get("variables", [])}
    for name, value in values.items():
        kind = declared.get(name, "")
        if kind not in WORDS or not is_dynamic(value) or certain_misfit(kind, value, declared):
            continue
        known = type_of_value(value, types)
        if known is not None and known.name and kind not in _KEEPING[known.type]:
            message = f"must be {WORDS[kind]}, and {known}: the variable '{name}' is of the type {kind}"
            yield Problem(spoken_path((*at, name)), message, "warning")
