"""What a story is made of, for the fields that the page draws over its JSON: answers of people, events, variables."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipelines.actions.registry import title_of
from pipelines.admin.editor import editor_data
from pipelines.definition.layout import every_place
from pipelines.models import Pipeline

_AFTER: Final = {"title": "After", "x-widget": "duration"}
_VALUES: Final = {"type": "object", "x-widget": "fields"}
_EVENTS: Final = {
    "title": "Events",
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "after": {**_AFTER, "description": "From the beginning."},
            "type": {"type": "string", "title": "Event", "x-widget": "event"},
            "payload": {"type": "object", "title": "What it carries"},
        },
    },
}
_TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "string": {"type": "string"}, "number": {"type": "number"}, "boolean": {"enum": [True, False]},
    "object": {"type": "object"},
}  # fmt: skip
# Of what the editor of steps knows, what the fields of a story offer.
_OFFERED: Final = ("operators", "subjects", "subject", "recordTypes", "events", "segments", "users", "groups")


def story_editor(pipeline: Pipeline, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the script of the page knows: fields and operators of conditions, and the shape of each part of a story."""
    known = editor_data(pipeline=pipeline, team=pipeline.team)
    whole = {"trigger": _VALUES, "events": _EVENTS, "variables": _variables(document)}
    answers = {place.key: _answers(place.step) for place in _asking(document)}
    if answers:
        whole["responses"] = {"type": "object", "properties": answers}
    return {**{name: known[name] for name in _OFFERED}, "variables": [], "whole": whole}


def _variables(document: Mapping[str, Any]) -> dict[str, Any]:
    declared = {str(each["name"]): each for each in document.get("variables") or [] if each.get("name")}
    if not declared:
        return dict(_VALUES)
    fields = {name: {"title": name, **_TYPES.get(str(each.get("type")), {})} for name, each in declared.items()}
    return {"type": "object", "properties": fields}


def _answers(step: Mapping[str, Any]) -> dict[str, Any]:
    outcomes = [str(each) for each in (step.get("with") or {}).get("outcomes") or []]
    fields: dict[str, Any] = {"after": {**_AFTER, "description": "Once the person is asked."}}
    if outcomes:
        fields["outcome"] = {"title": "Answer", "enum": outcomes}
    fields["values"] = {"type": "object", "title": "Form"}
    return {"title": title_of(step), "type": "array", "items": {"type": "object", "properties": fields}}


def _asking(document: Mapping[str, Any]) -> Iterator[Any]:
    return (place for place in every_place(document) if place.step.get("type") == "human_task")


def answers_wanted(document: Mapping[str, Any]) -> dict[str, Any]:
    """A first answer for every step that asks a person, to be changed."""
    found = {}
    for place in _asking(document):
        given = place.step.get("with") or {}
        outcomes = given.get("outcomes") or []
        answer: dict[str, Any] = {"after": "1d"}
        if outcomes:
            answer["outcome"] = outcomes[0]
        answer["values"] = {each.get("name", ""): _example(each) for each in given.get("form") or []}
        found[place.key] = [answer]
    return found


def _example(field: Mapping[str, Any]) -> Any:
    options = [each.get("value") if isinstance(each, Mapping) else each for each in field.get("options") or []]
    examples: dict[str, Any] = {
        "number": field.get("min", 1), "boolean": True, "date": "2027-03-01", "datetime": "2027-03-01T10:00",
        "select": options[0] if options else "", "multiselect": options[:1], "email": "sam@example.com",
        "url": "https://example.com/",
    }  # fmt: skip
    return examples.get(str(field.get("type")), "Text")
