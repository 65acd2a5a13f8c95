"""Steps that put records into segments and into other pipelines, and take them out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.actions.base import Done, Enroll, Fail, Fault, Input, Kind, MakeSegment, Member, Outcome, Unenroll
from pipelines.actions.finding import MODEL, fixed_model
from pipelines.actions.records import record_of
from pipelines.definition.program import Step
from pipelines.definition.values import ParameterError, is_dynamic
from pipelines.subjects import subject_named

_SEGMENT = {
    "type": "string",
    "title": "Segment",
    "description": "The key of a segment.",
    "x-widget": "segment",
    "pattern": "^[a-z0-9][a-z0-9_-]{0,59}$",
    "x-says": "must be the key of a segment: small letters, digits, '-' and '_'",
}
_RECORD = {
    "x-advanced": True,
    "title": "Record",
    "description": "Empty for the subject; or another record such as {{ contact.company }}.",
    "x-widget": "template",
}
_PIPELINE = {
    "type": "string",
    "title": "Pipeline",
    "description": "The key of another pipeline of the team.",
    "x-widget": "pipeline",
    "pattern": "^[a-z][a-z0-9_]{0,39}$",
}
_OTHER_RECORD = {"record": _RECORD, "model": {**MODEL, "x-advanced": True}}


_SEGMENT_AND_RECORD = {
    "type": "object",
    "additionalProperties": False,
    "required": ["segment"],
    "properties": {"segment": _SEGMENT, **_OTHER_RECORD},
}


class _AboutRecord(Kind):
    """What these steps share: a key that is fixed, and a record of the team."""

    group = "Records"
    key = ""

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        if is_dynamic(step["with"].get(self.key)):
            yield ("with", self.key), "this must be fixed, not a template"
        yield from fixed_model(step)

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({self.key})

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for visit in batch:
            try:
                params = step.params.evaluate(visit.context)
                model, pk = record_of(params, visit)
                if subject_named(model) is None:
                    raise ValueError(f"{model} cannot be in segments or pipelines.")
            except ParameterError as error:
                outcomes.append(Fail(str(error), code="expression"))
            except ValueError as error:
                outcomes.append(Fail(str(error), code="validation"))
            else:
                outcomes.append(self.done(params, model, pk))
        return outcomes

    def done(self, params: Mapping[str, Any], model: str, pk: int) -> Done:
        """The outcome for one record."""
        raise NotImplementedError


class AddToSegment(_AboutRecord):
    """Puts the subject into a segment; being in it already changes nothing."""

    code = "add_to_segment"
    label = "Add to segment"
    description = "Puts the record into a segment of the team."
    icon = "group_add"
    key = "segment"
    schema = _SEGMENT_AND_RECORD

    def done(self, params: Mapping[str, Any], model: str, pk: int) -> Done:
        return Done(changes=(Member(params["segment"], model, pk, add=True),), output={"segment": params["segment"]})


class RemoveFromSegment(_AboutRecord):
    """Takes the subject out of a segment; not being in it changes nothing."""

    code = "remove_from_segment"
    label = "Remove from segment"
    description = "Takes the record out of a segment of the team."
    icon = "group_remove"
    key = "segment"
    schema = _SEGMENT_AND_RECORD

    def done(self, params: Mapping[str, Any], model: str, pk: int) -> Done:
        return Done(changes=(Member(params["segment"], model, pk, add=False),), output={"segment": params["segment"]})


class CreateSegment(Kind):
    """Makes a segment, unless the team has one with this key."""

    code = "create_segment"
    label = "Create segment"
    description = "Makes a segment of the team; one with this key is left as it is."
    icon = "workspaces"
    group = "Records"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["segment"],
        "properties": {
            "segment": {**_SEGMENT, "x-widget": "text"},
            "name": {
                "type": "string",
                "title": "Name",
                "description": "Empty is made from the key.",
                "x-widget": "template",
                "maxLength": 120,
            },
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        if is_dynamic(step["with"].get("segment")):
            yield ("with", "segment"), "this must be fixed, not a template"

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"segment"})

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for visit in batch:
            try:
                params = step.params.evaluate(visit.context)
            except ParameterError as error:
                outcomes.append(Fail(str(error), code="expression"))
                continue
            key = str(params["segment"])
            name = str(params.get("name") or key.replace("_", " ").replace("-", " ").capitalize())
            outcomes.append(Done(changes=(MakeSegment(key, name[:120]),), output={"segment": key}))
        return outcomes


class EnrollIn(_AboutRecord):
    """Puts the subject into another pipeline, as by hand; there it goes its own way."""

    code = "enroll"
    label = "Enroll in a pipeline"
    description = "Puts the record into another pipeline of the team and goes on without waiting for it."
    icon = "login"
    group = "Flow"
    key = "pipeline"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["pipeline"],
        "properties": {
            "pipeline": _PIPELINE,
            **_OTHER_RECORD,
            "variables": {
                "x-advanced": True,
                "type": "object",
                "title": "Variables",
                "description": "Values that the other pipeline starts with.",
                "x-widget": "fields",
            },
        },
    }

    def done(self, params: Mapping[str, Any], model: str, pk: int) -> Done:
        change = Enroll(params["pipeline"], model, pk, dict(params.get("variables") or {}))
        return Done(changes=(change,), output={"pipeline": params["pipeline"]})


class UnenrollFrom(_AboutRecord):
    """Ends what the subject has running in another pipeline."""

    code = "unenroll"
    label = "Unenroll from a pipeline"
    description = "Ends the runs that the record has in another pipeline of the team."
    icon = "logout"
    group = "Flow"
    key = "pipeline"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["pipeline"],
        "properties": {"pipeline": _PIPELINE, **_OTHER_RECORD},
    }

    def done(self, params: Mapping[str, Any], model: str, pk: int) -> Done:
        return Done(changes=(Unenroll(params["pipeline"], model, pk),), output={"pipeline": params["pipeline"]})
