"""Everything that would keep a document from being published in one team."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.operations import BaseDatabaseOperations

from crm.models import Team
from pipelines.actions.registry import kinds
from pipelines.definition.document import Limits, Problem, check
from pipelines.definition.durations import DurationError
from pipelines.definition.layout import every_place, subject_model
from pipelines.definition.shapes import spoken_path
from pipelines.documents import (
    PIPELINE_COLUMNS,
    TRIGGER_COLUMNS,
    fill_pipeline,
    fill_trigger,
    normal,
)
from pipelines.models import Pipeline, PipelineStep, Trigger
from pipelines.operations.code_problems import code_problems
from pipelines.operations.field_problems import field_problems
from pipelines.operations.field_types import FieldTypes
from pipelines.operations.handed_over import handed_over_problems
from pipelines.operations.letter_problems import letter_problems
from pipelines.operations.output_problems import output_problems
from pipelines.operations.references import reference_problems
from pipelines.operations.secret_problems import secret_problems
from pipelines.operations.stored_templates import template_problems, templates_sent
from pipelines.operations.timing import timed_problems
from pipelines.operations.tracking_problems import tracking_problems
from pipelines.operations.type_problems import type_problems
from pipelines.step_rows import STEP_COLUMNS, fill_step
from pipelines.subjects import OWN, RECORD, subject_named

_RECORD_TRIGGERS: Final = frozenset({"created", "updated", "deleted"})
_MESSAGE_PARTS: Final = ("template", "text", "html")


def validate_document(document: object, team: Team, *, beside: Collection[str] = ()) -> list[Problem]:
    """Every problem, with its path; no error among them means the document can be published.

    `beside` names pipelines that come into the team together with this one.
    """
    fields = FieldTypes(team)
    about = (subject_model(document) if isinstance(document, Mapping) else None) or ""
    limits = Limits(steps=settings.PIPELINES_MAX_STEPS, bytes=settings.PIPELINES_MAX_DOCUMENT_BYTES)
    problems = check(document, kinds=kinds(), fields=lambda: fields.names(about), limits=limits)
    if not isinstance(document, Mapping) or any(each.severity == "error" for each in problems):
        return problems
    tidy = normal(document)
    problems += _subject_problems(document)
    problems += _action_problems(document)
    problems += _storage_problems(tidy, document)
    if not any(each.severity == "error" for each in problems):
        problems += reference_problems(document, team, beside=beside)
        problems += secret_problems(document, team)
        problems += handed_over_problems(document, team, beside=beside)
        problems += _empty_messages(document)
        problems += code_problems(document)
        problems += field_problems(document, fields)
        problems += output_problems(document)
        templates = templates_sent(document, team)
        problems += letter_problems(document, team, templates)
        problems += template_problems(document, templates, fields)
        problems += tracking_problems(document, team)
        problems += type_problems(document, fields)
    return list(dict.fromkeys(problems))


def _subject_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    known = ", ".join([*(label for label in settings.PIPELINES_SUBJECTS if label != RECORD), f"{OWN}<type>"])
    model = subject_model(document)
    if model is not None and subject_named(model) is None:
        yield Problem("subject", f"'{model}' cannot go through pipelines; it may be {known}")
    for index, trigger in enumerate(document.get("triggers", [])):
        yield from _model_problems(trigger, index, model)
        yield from timed_problems(trigger, spoken_path(["triggers", index]), model)


def _model_problems(trigger: Mapping[str, Any], index: int, model: str | None) -> Iterator[Problem]:
    """Whether the records that a trigger watches can be what the pipeline is about."""
    kind, wanted = trigger["type"], trigger.get("model")
    if kind not in _RECORD_TRIGGERS:
        return
    path = f"triggers[{index}].model"
    if wanted != model and not (kind != "created" and (model is None or "subject" in trigger)):
        yield Problem(path, f"must be the subject of the pipeline, {model or 'none'}")
    elif wanted not in settings.PIPELINES_SUBJECTS and wanted != model:
        yield Problem(path, f"'{wanted}' is not watched; it may be {', '.join(settings.PIPELINES_SUBJECTS)}")
    elif kind == "deleted" and wanted == model and "subject" not in trigger:
        yield Problem(
            path,
            "a deleted record cannot go through steps: leave the subject of the pipeline empty, or say with 'subject' "
            "which other record enters",
        )


def _action_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """What the actions themselves find wrong with their steps."""
    known = kinds()
    for place in every_place(document):
        for inside, message in known[place.step["type"]].check(place.step):
            yield Problem(spoken_path([*place.at, *inside]), message)


def _storage_problems(tidy: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Problem]:
    """What a column would refuse: texts too long, numbers too large, characters it cannot hold."""
    yield from _forbidden_characters(given, [])
    pipeline = Pipeline()
    try:
        fill_pipeline(pipeline, tidy)
    except ContentType.DoesNotExist:
        yield Problem("subject", "there is no such model")
    yield from _column_problems(pipeline, [], {"subject_alias": "subject", **_swapped(PIPELINE_COLUMNS)})
    for place in every_place(given):
        row = PipelineStep()
        fill_step(row, place)
        columns = {"delay_rule": "delay", "x": "position", **_swapped(STEP_COLUMNS)}
        yield from _column_problems(row, list(place.at), columns)
    for index, values in enumerate(given.get("triggers", [])):
        yield from _trigger_problems(values, index)


def _trigger_problems(values: Mapping[str, Any], index: int) -> Iterator[Problem]:
    trigger = Trigger()
    try:
        fill_trigger(trigger, values, index)
    except ContentType.DoesNotExist:
        yield Problem(f"triggers[{index}].model", "there is no such model")
    except DurationError as error:
        yield Problem(f"triggers[{index}].every", str(error))
    yield from _column_problems(trigger, ["triggers", index], _swapped(TRIGGER_COLUMNS))


def _column_problems(row: models.Model, at: list[str | int], names: Mapping[str, str]) -> Iterator[Problem]:
    relations = [field.name for field in row._meta.concrete_fields if field.is_relation]
    try:
        row.clean_fields(exclude=[*relations, "id"])
    except ValidationError as error:
        for column, messages in error.message_dict.items():
            path = spoken_path([*at, names.get(column, column)])
            yield from (Problem(path, message) for message in messages)
    for field in row._meta.concrete_fields:
        limits = BaseDatabaseOperations.integer_field_ranges.get(field.get_internal_type())
        value = getattr(row, field.attname)
        # SQLite takes larger numbers than PostgreSQL; a document must fit both.
        if limits and isinstance(value, int) and not limits[0] <= value <= limits[1]:
            path = spoken_path([*at, names.get(field.name, field.name)])
            yield Problem(path, f"must be between {limits[0]} and {limits[1]}")


def _swapped(columns: Mapping[str, str]) -> dict[str, str]:
    return {column: name for name, column in columns.items()}


def _forbidden_characters(value: Any, at: list[str | int]) -> Iterator[Problem]:
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            yield Problem(spoken_path(at), "contains a character that cannot be stored")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _forbidden_characters(str(key), at)
            yield from _forbidden_characters(item, [*at, ascii(str(key))[1:-1]])
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _forbidden_characters(item, [*at, index])


def _empty_messages(document: Mapping[str, Any]) -> Iterator[Problem]:
    for place in every_place(document):
        parameters = place.step.get("with", {})
        written = any(parameters.get(part) for part in _MESSAGE_PARTS) or place.step.get("message")
        if place.step["type"] == "send_email" and not written:
            path = spoken_path([*place.at, "message"])
            yield Problem(path, "the email is empty: write a message or name a template")
