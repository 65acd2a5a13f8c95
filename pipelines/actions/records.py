"""Steps that make and change records of the team."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from contacts.own_fields import checked_custom
from contacts.record_fields import checked
from pipelines.actions.base import Create, Done, Fail, Fault, Input, Kind, Outcome, Update, Writes
from pipelines.actions.finding import MODEL, fixed_model, remembered
from pipelines.definition.comparing import as_moment
from pipelines.definition.program import Step
from pipelines.definition.values import ParameterError
from pipelines.subjects import OWN, subject_types

_VALUES = {
    "type": "object",
    "title": "Values",
    "description": "Fields and their new values; names that are no fields become custom values.",
    "x-widget": "fields",
    "minProperties": 1,
}
# At least one of these must be there, as on the form.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "contacts.contact": ("first_name", "last_name", "email", "phone"),
    "contacts.company": ("name",),
    "contacts.deal": ("title",),
}
TASK_FIELDS = frozenset({"title", "description", "assignee", "due_at", "priority"})
_PRIORITIES = ("low", "medium", "high", "urgent")


class UpdateRecord(Kind):
    """Sets fields of the subject, or of a record that a variable or an output holds."""

    code = "update_record"
    reads_of_subject = frozenset()
    label = "Update record"
    description = "Sets fields of the record that the run is about, or of another record of the team."
    icon = "edit_note"
    group = "Records"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["values"],
        "properties": {
            "record": {
                "title": "Record",
                "description": "Empty for the subject; or another record such as {{ contact.company }}, "
                "or its id together with the kind of record.",
                "x-widget": "template",
            },
            "model": {**MODEL, "x-advanced": True},
            "values": _VALUES,
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        yield from fixed_model(step)

    def reads_record_types(self, step: Step) -> bool:
        return bool(step.raw.get("record"))

    def writes_fields(self, step: Step) -> Writes | None:
        unsaid = "*" if step.raw.get("record") else ""
        return Writes(str(step.raw.get("model") or unsaid), frozenset(step.raw.get("values") or ()))

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        try:
            params = step.params.evaluate(visit.context)
            model, pk = record_of(params, visit)
            values = _checked_update(model, params["values"], visit)
        except ParameterError as error:
            return Fail(str(error), code="expression")
        except ValueError as error:
            return Fail(str(error), code="validation")
        return Done(changes=(Update(model, pk, values),), output=remembered(values), shown=_shown(model, values, visit))


class CreateRecord(Kind):
    """Makes a record of the team; later steps know its id."""

    code = "create_record"
    label = "Create record"
    description = "Makes a contact, company, deal, task or record of an own type; its id is in the step's output."
    icon = "add_box"
    group = "Records"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["model", "values"],
        "properties": {
            "model": {
                **MODEL,
                "description": "contacts.contact, contacts.company, contacts.deal, crm.task or records.<type>.",
                "x-says": "must be contacts.contact, contacts.company, contacts.deal, crm.task or records.<type>",
                "pattern": r"^(crm\.task|contacts\.(contact|company|deal)|records\.[a-z][a-z0-9_]{0,39})$",
            },
            "values": _VALUES,
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        yield from fixed_model(step)

    def reads_record_types(self, step: Step) -> bool:
        return str(step.raw.get("model", "")).startswith(OWN)

    def writes_fields(self, step: Step) -> Writes | None:
        return Writes(str(step.raw.get("model", "")), frozenset(step.raw.get("values") or ()))

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"model", "title"}) if step["with"]["model"] == "crm.task" else None

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        try:
            params = step.params.evaluate(visit.context)
            model = str(params["model"])
            values, output = _new(model, dict(params["values"]), visit)
        except ParameterError as error:
            return Fail(str(error), code="expression")
        except ValueError as error:
            return Fail(str(error), code="validation")
        told = {**remembered(output), "model": model}
        return Done(changes=(Create(model, values),), output=told, shown=_shown(model, told, visit))


def record_of(params: Mapping[str, Any], visit: Input) -> tuple[str, int]:
    """The model and id of the record a step is about: the subject unless it names another; raises ValueError."""
    named: Any = params.get("record") or visit.subject
    model = params.get("model")
    if named.__class__ is dict or isinstance(named, Mapping):
        model, named = named.get("model") or model, named.get("id")
    if model is None or isinstance(named, bool) or not str(named).isdecimal() or len(str(named)) > 18:
        raise ValueError("There is no record here: name one, or its id together with its kind.")
    if model not in subject_types() and not str(model).startswith(OWN):
        raise ValueError(f"{model} is not a record that pipelines can change.")
    return str(model), int(str(named))


def _checked_update(model: str, values: Mapping[str, Any], visit: Input) -> dict[str, Any]:
    if not model.startswith(OWN):
        return _held(model, values, visit)
    shape = visit.resources.record_type(model.removeprefix(OWN))
    if shape is None:
        raise ValueError(f"There is no type of record {model!r} in this team.")
    return checked(shape.fields, values, partial=True)


def _shown(model: str, values: Mapping[str, Any], visit: Input) -> dict[str, Any] | None:
    """The values without those that the team marked as personal, for the log; None when all may stand there."""
    shape = visit.resources.record_type(model.removeprefix(OWN)) if model.startswith(OWN) else None
    fields = shape.fields if shape is not None else visit.resources.own_fields(model)
    if not fields:
        return None
    personal = {field["key"] for field in fields if field.get("personal")}
    hidden = [name for name in values if name.removeprefix("custom.") in personal]
    return {**values, **dict.fromkeys(hidden, "…")} if hidden else None


def _held(model: str, values: Mapping[str, Any], visit: Input) -> dict[str, Any]:
    """Values under the names they came by, those of fields that the team defines as values of their types."""
    fields = visit.resources.own_fields(model)
    if not fields:
        return dict(values)
    _, custom = subject_types()[model].split(values)
    held = checked_custom(fields=fields, values=custom)
    return {name: held.get(name.removeprefix("custom."), value) for name, value in values.items()}


def _new(model: str, values: dict[str, Any], visit: Input) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the engine inserts, and what later steps read of it; raises ValueError."""
    if model == "crm.task":
        task = _task(values, visit)
        return task, {"title": task["title"]}
    if model.startswith(OWN):
        shape = visit.resources.record_type(model.removeprefix(OWN))
        if shape is None:
            raise ValueError(f"There is no type of record {model!r} in this team.")
        found = checked(shape.fields, values)
        return {"type_id": shape.id, "values": found}, found
    columns, custom = subject_types()[model].split(values)
    custom = checked_custom(fields=visit.resources.own_fields(model), values=custom)
    if not any(columns.get(name) for name in NEEDED[model]):
        raise ValueError(f"A new {model.rpartition('.')[2]} needs {' or '.join(NEEDED[model])}.")
    return {"columns": columns, "custom": custom}, {**custom, **columns}


def _task(values: dict[str, Any], visit: Input) -> dict[str, Any]:
    unknown = sorted(set(values) - TASK_FIELDS)
    if unknown:
        raise ValueError(f"A task has no {unknown[0]}; it has {', '.join(sorted(TASK_FIELDS))}.")
    title = str(values.get("title") or "").strip()
    if not title:
        raise ValueError("A task needs a title.")
    if values.get("priority", "medium") not in _PRIORITIES:
        raise ValueError(f"priority: choose one of {', '.join(_PRIORITIES)}.")
    return {
        "title": title[:200],
        "description": str(values.get("description") or ""),
        "assignee": values.get("assignee") or (visit.subject or {}).get("owner"),
        "due_at": _moment(values.get("due_at")),
        "priority": values.get("priority") or "medium",
    }


def _moment(value: Any) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        return as_moment(value)
    except (TypeError, ValueError):
        raise ValueError("due_at: write a moment as 2027-03-01T12:00.") from None
