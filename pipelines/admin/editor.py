"""What the page's script needs to know: actions and their fields, operators, fields of the subject, people."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db import models

from contacts.models import RecordType, Segment
from contacts.own_fields import all_definitions, definitions
from crm.models import Member, MessageTemplate, Team
from crm.topics import topic_choices
from pipelines import managers
from pipelines.actions.base import Kind
from pipelines.actions.registry import kinds
from pipelines.admin.steps import SPEAKING_GROUPS
from pipelines.admin.top_schemas import TOP_SCHEMAS
from pipelines.definition.operators import CHANGE_OPERATORS, OPERATORS
from pipelines.models import Pipeline
from pipelines.subjects import OWN, RECORD, RELATED_FIELDS, subject_types
from pipelines.triggers.heard import hearable

MOST_PEOPLE: Final = 200
# What every message can name, beside the subject and the variables of its pipeline.
EVERYWHERE: Final = (
    ("team.name", "name of the team"),
    ("pipeline.name", "name of the pipeline"),
    ("now | date", "today"),
)


def editor_data(*, pipeline: Pipeline | None, team: Team | None) -> dict[str, Any]:
    """Everything the step editor offers, as plain JSON; a fixed number of statements, whatever the pipeline's size."""
    members = _members(team)
    archived = pipeline.steps.filter(archived_at__isnull=False).values_list("key", flat=True) if pipeline else ()
    return {
        "kinds": {code: _kind(kind) for code, kind in kinds().items()},
        "operators": [*_operators()],
        "subjects": _subjects(pipeline, team),
        "subjectTypes": subject_types_by_id(),
        "subject": subject_types_by_id().get(pipeline.subject_type_id or 0, "") if pipeline else "",
        "users": [email for email, _ in members if email],
        "templates": _templates(team),
        "topics": list(topic_choices(team).items()),
        "groups": _groups(members) if team else [],
        "pipelines": _pipelines(team),
        "events": [[name, words] for group in hearable(team).values() for name, words in group.items()],
        "segments": _segments(team),
        "models": [[label, kind.name.capitalize()] for label, kind in subject_types().items() if label != RECORD],
        "recordTypes": _record_types(team),
        "variables": [*(_declared(pipeline) if pipeline else ()), *EVERYWHERE],
        "takenKeys": list(archived),
        "whole": TOP_SCHEMAS,
    }


def subject_types_by_id() -> dict[int, str]:
    """Labels of the models that pipelines can be about, by content type."""
    return {kind.content_type_id: label for label, kind in subject_types().items()}


def _kind(kind: Kind) -> dict[str, Any]:
    return {
        "label": kind.label,
        "description": kind.description,
        "icon": kind.icon,
        "schema": kind.schema,
        "outcomes": list(kind.outcomes),
        "off": kind.off(),
        "speaks": kind.group in SPEAKING_GROUPS or kind.code.startswith("custom."),
    }


def contact_fields(team: Team | None) -> list[dict[str, Any]]:
    """Fields of a contact that conditions can name, with those that the team defined; one statement."""
    defined = definitions(team=team, model="contacts.contact") if team else ()
    return [*_fields("contacts.contact"), *(_own_field("contact", each) for each in defined)]


def operators() -> list[dict[str, str]]:
    """Operators about things as they are."""
    return [
        {"code": code, "label": code.replace("_", " "), "takes": operator.takes} for code, operator in OPERATORS.items()
    ]


def _operators() -> Iterable[dict[str, str]]:
    yield from operators()
    for code in sorted(CHANGE_OPERATORS):
        takes = "a value" if code == "changed_to" else "nothing"
        yield {"code": code, "label": code.replace("_", " "), "takes": takes}


def _fields(label: str) -> list[dict[str, Any]]:
    subject = subject_types()[label]
    alias = subject.name
    found = [
        _field(f"{alias}.{name}", subject.model._meta.get_field(name)) for name in subject.plain if name != "custom"
    ]
    for relation in subject.relations:
        found += [_related(f"{alias}.{relation}.{name}", f"{relation} {name}") for name in RELATED_FIELDS[relation]]
    if managers.OWNER in subject.relations:
        found += [_related(f"{alias}.{managers.MANAGER}.{name}", f"manager {name}") for name in managers.FIELDS]
    return found


def _related(path: str, label: str) -> dict[str, Any]:
    return {"path": path, "label": label.replace("_", " "), "choices": []}


def _subjects(pipeline: Pipeline | None, team: Team | None) -> dict[str, list[dict[str, Any]]]:
    """Fields by what a pipeline can be about, with those the team defined; of own types, those of the pipeline's."""
    found = {label: _fields(label) for label in subject_types() if label != RECORD}
    of_team = all_definitions(teams=[team], labels=found) if team else {}
    for (_, label), defined in of_team.items():
        found[label] += [_own_field(subject_types()[label].name, each) for each in defined]
    if pipeline is None or not pipeline.subject_record:
        return {**found, RECORD: []}
    rows = RecordType.objects.filter(team_id=pipeline.team_id, key=pipeline.subject_record).values_list("fields")
    fields = rows.first() or ([],)
    return {**found, RECORD: [_own_field(pipeline.subject_record, each) for each in fields[0]]}


def _own_field(alias: str, field: Mapping[str, Any]) -> dict[str, Any]:
    """A field by its label, with its type, which says how its values are put in."""
    options = [[text, text] for text in field.get("options") or ()]
    label = str(field.get("label") or field["key"])
    return {"path": f"{alias}.{field['key']}", "label": label, "choices": options, "input": str(field.get("type"))}


def _field(path: str, field: Any) -> dict[str, Any]:
    choices = [[str(value), str(text)] for value, text in field.flatchoices] if isinstance(field, models.Field) else []
    return {"path": path, "label": str(field.verbose_name), "choices": choices}


def _declared(pipeline: Pipeline) -> Iterable[tuple[str, str]]:
    for variable in pipeline.variables:
        if isinstance(variable, dict) and variable.get("name"):
            yield str(variable["name"]), str(variable.get("label") or "variable")


def _members(team: Team | None) -> list[tuple[str, list[str]]]:
    """Addresses and groups of the first members; one statement."""
    if team is None:
        return []
    members = Member.objects.filter(team=team).order_by("user__email")
    return list(members.values_list("user__email", "groups")[:MOST_PEOPLE])


def _groups(members: Iterable[tuple[str, list[str]]]) -> list[str]:
    """What tasks can be given to: roles, and the groups in which members work."""
    return [*sorted({str(name) for _, groups in members for name in groups}), "manager", "member"]


def _pipelines(team: Team | None) -> list[list[str]]:
    if team is None:
        return []
    rows = Pipeline.objects.filter(team=team).exclude(status=Pipeline.Status.ARCHIVED).order_by("name")
    return [list(row) for row in rows.values_list("key", "name")[:MOST_PEOPLE]]


def _segments(team: Team | None) -> list[list[str]]:
    if team is None:
        return []
    rows = Segment.objects.filter(team=team).order_by("name").values_list("key", "name")[:MOST_PEOPLE]
    return [list(row) for row in rows]


def _record_types(team: Team | None) -> list[dict[str, Any]]:
    """The team's own types of records with their fields, whatever the pipeline is about; one statement."""
    if team is None:
        return []
    rows = RecordType.objects.filter(team=team).order_by("label").values_list("key", "label", "fields")[:MOST_PEOPLE]
    return [
        {"model": f"{OWN}{key}", "label": label, "fields": [_own_field(key, each) for each in fields]}
        for key, label, fields in rows
    ]


def _templates(team: Team | None) -> list[list[str]]:
    if team is None:
        return []
    rows = MessageTemplate.objects.filter(team=team).order_by("name").values_list("key", "name")[:MOST_PEOPLE]
    return [list(row) for row in rows]
