"""Rows ⇄ document: what the admin edits and what is exported are the same thing twice."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from pipelines.definition.canonical import canonical
from pipelines.definition.durations import DurationError, parse_duration
from pipelines.models import Pipeline, PipelineRun, Trigger
from pipelines.step_rows import apply_steps, default_of, given, steps_of
from pipelines.subjects import OWN, RECORD, subject_label

FORMAT: Final = "crm.pipeline/1"

# Names of the document for columns that hold the same value; the rest is converted below.
PIPELINE_COLUMNS: Final = {
    "variables": "variables",
    "exit": "exit_rules",
    "goals": "goals",
    "edges": "edges",
    "meta": "meta",
}
TRIGGER_COLUMNS: Final = {
    "key": "key",
    "event": "event",
    "segment": "segment",
    "cron": "cron",
    "tz": "tz",
    "for_each": "for_each",
    "where": "where",
    "fields": "only_fields",
    "set": "assign",
    "subject": "subject_expression",
    "reentry": "reentry",
    "every": "every",
    "debounce": "debounce",
    "silence": "silence",
    "automatic": "automatic",
    "enabled": "enabled",
    "max_per_hour": "max_per_hour",
}
_EDITED: Final = (
    *("key", "name", "description", "versioning", "settings", "subject_type", "subject_record", "subject_alias"),
    *PIPELINE_COLUMNS.values(),
    *("updated_by", "updated_at"),
)
_EDITED_TRIGGER: Final = (
    *TRIGGER_COLUMNS.values(),
    *("kind", "model", "misfire", "overlap", "position", "revision", "next_fire_at", "armed_at"),
)


def document_of(pipeline: Pipeline) -> dict[str, Any]:
    """The canonical document of the rows as they stand now; three statements at most."""
    triggers = pipeline.triggers.order_by("position", "id")
    document: dict[str, Any] = {
        "format": FORMAT,
        "key": pipeline.key,
        "name": pipeline.name,
        "description": pipeline.description,
        "subject": _subject_of(pipeline),
        "settings": _settings_of(pipeline),
        "triggers": [trigger_values(trigger) for trigger in triggers],
        "steps": steps_of(pipeline),
    }
    document |= {name: getattr(pipeline, column) for name, column in PIPELINE_COLUMNS.items()}
    return normal(document)


def normal(document: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical document without the defaults of triggers that the rows cannot tell apart."""
    result = canonical(document)
    for trigger in result.get("triggers", []):
        for name, default in (("misfire", "skip"), ("overlap", "allow")):
            if trigger.get(name) == default:
                del trigger[name]
    return result


def apply_document(pipeline: Pipeline, document: Mapping[str, Any]) -> None:
    """Make the rows say what a checked document says; saves the pipeline if it is new.

    Steps and triggers are matched by key, so the ones that stay keep their ids.
    """
    document = normal(document)
    with transaction.atomic():
        fill_pipeline(pipeline, document)
        # Counters and the state belong to others: an edit writes the definition alone.
        pipeline.save(update_fields=None if pipeline.pk is None else _EDITED)
        apply_steps(pipeline, document)
        _apply_triggers(pipeline, document)


def _subject_of(pipeline: Pipeline) -> Any:
    if pipeline.subject_type_id is None:
        return None
    model = subject_label(pipeline.subject_type_id, pipeline.subject_record)
    alias = pipeline.subject_alias
    return {"model": model, "as": alias} if alias else model


def _settings_of(pipeline: Pipeline) -> dict[str, Any]:
    versioning = Pipeline.Versioning(pipeline.versioning).name.lower()
    return {**pipeline.settings, "versioning": versioning}


def trigger_values(trigger: Trigger) -> dict[str, Any]:
    """One trigger as the document says it, defaults included."""
    found = given(trigger, TRIGGER_COLUMNS)
    found["type"] = Trigger.Kind(trigger.kind).name.lower()
    found["misfire"] = Trigger.Misfire(trigger.misfire).name.lower()
    found["overlap"] = Trigger.Overlap(trigger.overlap).name.lower()
    if trigger.model_id is not None:
        found["model"] = subject_label(trigger.model_id, trigger.pipeline.subject_record)
    return found


def fill_pipeline(pipeline: Pipeline, document: Mapping[str, Any]) -> None:
    """Copy the top level of a document into a row, unsaved."""
    settings = dict(document.get("settings", {}))
    versioning = settings.pop("versioning", "follow")
    subject = document.get("subject")
    pipeline.key, pipeline.name = document["key"], document["name"]
    pipeline.description = document.get("description", "")
    pipeline.versioning = Pipeline.Versioning[versioning.upper()]
    pipeline.settings = settings
    for name, column in PIPELINE_COLUMNS.items():
        setattr(pipeline, column, document.get(name) or ([] if name != "meta" else {}))
    pipeline.subject_alias = subject.get("as", "") if isinstance(subject, Mapping) else ""
    pipeline.subject_type = None
    model = subject["model"] if isinstance(subject, Mapping) else subject
    pipeline.subject_type = _content_type(model)
    pipeline.subject_record = model.removeprefix(OWN) if model and model.startswith(OWN) else ""


def _apply_triggers(pipeline: Pipeline, document: Mapping[str, Any]) -> None:
    """Match by key, the unnamed by what they listen to, each row once."""
    existing = list(pipeline.triggers.order_by("position", "id"))
    for index, values in enumerate(document.get("triggers", [])):
        wanted = Trigger(pipeline=pipeline)
        fill_trigger(wanted, values, index)
        match = next((row for row in existing if _identity(row) == _identity(wanted)), None)
        if match is None:
            wanted.save()
            continue
        existing.remove(match)
        before = trigger_values(match)
        fill_trigger(match, values, index)
        if trigger_values(match) != before:
            match.revision += 1
            match.armed_at = match.armed_at if match.enabled else None
            match.next_fire_at = None
        match.save(update_fields=_EDITED_TRIGGER)
    _drop_triggers(pipeline, existing)


def _identity(trigger: Trigger) -> tuple[object, ...]:
    if trigger.key:
        return (trigger.key,)
    return ("", trigger.kind, trigger.model_id, trigger.event, trigger.segment, trigger.cron)


def _drop_triggers(pipeline: Pipeline, triggers: Sequence[Trigger]) -> None:
    ids = [trigger.pk for trigger in triggers]
    if ids:
        PipelineRun.objects.filter(pipeline=pipeline, trigger_id__in=ids).update(trigger=None)
        pipeline.triggers.filter(pk__in=ids).delete()


def fill_trigger(trigger: Trigger, values: Mapping[str, Any], index: int) -> None:
    """Copy a trigger of a document into a row, unsaved."""
    for name, column in TRIGGER_COLUMNS.items():
        setattr(trigger, column, values.get(name, default_of(Trigger, column)))
    trigger.kind = Trigger.Kind[values["type"].upper()]
    trigger.misfire = Trigger.Misfire[values.get("misfire", "skip").upper()]
    trigger.overlap = Trigger.Overlap[values.get("overlap", "allow").upper()]
    trigger.position = index
    trigger.every = _whole_seconds(values.get("every"))
    trigger.debounce = _whole_seconds(values.get("debounce"))
    trigger.silence = _whole_seconds(values.get("silence"))
    trigger.model = _content_type(values.get("model"))


def _whole_seconds(value: Any) -> int | None:
    if value is None:
        return None
    seconds = parse_duration(value)
    if not seconds.is_integer() or seconds < 1:
        raise DurationError("give whole seconds, at least one")
    return int(seconds)


def _content_type(model: str | None) -> ContentType | None:
    if model is None:
        return None
    return ContentType.objects.get_by_natural_key(*(RECORD if model.startswith(OWN) else model).split(".", 1))
