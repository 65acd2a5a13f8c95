"""Rows ⇄ document: what the admin edits and what is exported are the same thing twice."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.utils import timezone
from django.utils.text import slugify

from pipelines.definition.canonical import canonical
from pipelines.definition.durations import DurationError, parse_duration
from pipelines.definition.layout import Place, places
from pipelines.models import Pipeline, PipelineRun, PipelineStep, Trigger

FORMAT: Final = "crm.pipeline/1"
LARGEST_DELAY: Final = 2**63 - 1

# Names of the document for columns that hold the same value; the rest is converted below.
PIPELINE_COLUMNS: Final = {
    "variables": "variables",
    "exit": "exit_rules",
    "goals": "goals",
    "meta": "meta",
}
STEP_COLUMNS: Final = {
    "name": "name",
    "type": "action_type",
    "message": "message",
    "if": "condition",
    "with": "data",
    "next": "next_key",
    "on": "edges",
    "retry": "retry",
    "timeout": "timeout",
    "set": "assign",
    "notes": "notes",
}
TRIGGER_COLUMNS: Final = {
    "key": "key",
    "event": "event",
    "cron": "cron",
    "tz": "tz",
    "for_each": "for_each",
    "where": "where",
    "set": "assign",
    "subject": "subject_expression",
    "reentry": "reentry",
    "every": "every",
    "automatic": "automatic",
    "enabled": "enabled",
    "max_per_hour": "max_per_hour",
}
_DELIVERY: Final = {
    "at_least_once": PipelineStep.Delivery.AT_LEAST_ONCE,
    "at_most_once": PipelineStep.Delivery.AT_MOST_ONCE,
}
_EDITED: Final = (
    *("key", "name", "description", "versioning", "settings", "subject_type", "subject_alias"),
    *PIPELINE_COLUMNS.values(),
    *("updated_by", "updated_at"),
)
_EDITED_TRIGGER: Final = (
    *TRIGGER_COLUMNS.values(),
    *("kind", "model", "misfire", "overlap", "position", "revision", "next_fire_at", "armed_at"),
)
_AWAIT: Final = {"done": PipelineStep.Await.DONE, "queued": PipelineStep.Await.QUEUED}


def document_of(pipeline: Pipeline) -> dict[str, Any]:
    """The canonical document of the rows as they stand now; three statements at most."""
    steps = pipeline.steps.filter(archived_at=None, parent=None).order_by("number")
    triggers = pipeline.triggers.order_by("position", "id")
    document: dict[str, Any] = {
        "format": FORMAT,
        "key": pipeline.key,
        "name": pipeline.name,
        "description": pipeline.description,
        "subject": _subject_of(pipeline),
        "settings": _settings_of(pipeline),
        "triggers": [trigger_values(trigger) for trigger in triggers],
        "steps": [step_values(step) for step in steps],
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

    Steps and triggers are matched by key, so the ones that stay keep their ids. A step that was
    ever published is archived when it vanishes, because runs and logs point to it.
    """
    document = normal(document)
    with transaction.atomic():
        fill_pipeline(pipeline, document)
        # Counters and the state belong to others: an edit writes the definition alone.
        pipeline.save(update_fields=None if pipeline.pk is None else _EDITED)
        _apply_steps(pipeline, document)
        _apply_triggers(pipeline, document)


def name_steps(steps: Sequence[PipelineStep], *, taken: set[str]) -> None:
    """Give keys to rows made without one, from their number, or else from name and action."""
    for step in steps:
        if step.key:
            continue
        key = f"step_{step.number}"
        if key in taken:
            words = slugify(step.name or step.action_type).replace("-", "_").strip("_")
            key = _free(f"{words or 'step'}"[:30], taken)
        step.key = key if key[0].isalpha() else f"step_{key}"[:40]
        taken.add(step.key)


def _subject_of(pipeline: Pipeline) -> Any:
    if pipeline.subject_type_id is None:
        return None
    model = _model_name(pipeline.subject_type_id)
    alias = pipeline.subject_alias
    return {"model": model, "as": alias} if alias else model


def _settings_of(pipeline: Pipeline) -> dict[str, Any]:
    versioning = Pipeline.Versioning(pipeline.versioning).name.lower()
    return {**pipeline.settings, "versioning": versioning}


def step_values(step: PipelineStep) -> dict[str, Any]:
    """One step as the document says it, defaults included."""
    found = _given(step, STEP_COLUMNS)
    found |= {"number": step.number, "key": step.key or f"step_{step.number}"}
    found["delay"] = step.delay if step.delay_rule is None else step.delay_rule
    found["await"] = PipelineStep.Await(step.await_mode).name.lower()
    if step.delivery != PipelineStep.Delivery.DEFAULT:
        found["delivery"] = PipelineStep.Delivery(step.delivery).name.lower()
    if step.x is not None and step.y is not None:
        found["position"] = [_whole(step.x), _whole(step.y)]
    return found


def trigger_values(trigger: Trigger) -> dict[str, Any]:
    """One trigger as the document says it, defaults included."""
    found = _given(trigger, TRIGGER_COLUMNS)
    found["type"] = Trigger.Kind(trigger.kind).name.lower()
    found["misfire"] = Trigger.Misfire(trigger.misfire).name.lower()
    found["overlap"] = Trigger.Overlap(trigger.overlap).name.lower()
    if trigger.model_id is not None:
        found["model"] = _model_name(trigger.model_id)
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


def _given(row: models.Model, columns: Mapping[str, str]) -> dict[str, Any]:
    values = {name: getattr(row, column) for name, column in columns.items()}
    return {name: value for name, value in values.items() if value is not None and value != ""}


def _apply_steps(pipeline: Pipeline, document: Mapping[str, Any]) -> None:
    existing = {step.key: step for step in pipeline.steps.all()}
    wanted = places(document)
    keys = {place.key for place in wanted}
    _retire(pipeline, [row for row in existing.values() if row.key not in keys])
    new: list[PipelineStep] = []
    for place in wanted:
        step = existing.get(place.key) or PipelineStep(pipeline=pipeline, key=place.key)
        before = None if step.pk is None or step.archived_at else step_values(step)
        fill_step(step, place)
        step.parent, step.branch, step.archived_at = None, "", None
        if step.pk is None:
            new.append(step)
        elif step_values(step) != before:
            step.save()
    PipelineStep.objects.bulk_create(new)


def _retire(pipeline: Pipeline, steps: Sequence[PipelineStep]) -> None:
    """Archive what was ever published and delete the rest."""
    steps = [step for step in steps if step.archived_at is None]
    if not steps:
        return
    published = _published_keys(pipeline)
    ids = [step.pk for step in steps if step.key in published]
    pipeline.steps.exclude(pk__in=ids).filter(pk__in=[step.pk for step in steps]).delete()
    archived = pipeline.steps.filter(pk__in=ids)
    archived.update(number=-models.F("id"), archived_at=timezone.now())


def _published_keys(pipeline: Pipeline) -> set[str]:
    documents = pipeline.versions.values_list("document", flat=True)
    return {place.key for document in documents.iterator() for place in places(document)}


def fill_step(step: PipelineStep, place: Place) -> None:
    """Copy a step of a document into a row, unsaved."""
    values = place.step
    step.number = place.number
    for name, column in STEP_COLUMNS.items():
        setattr(step, column, values.get(name, _empty(PipelineStep, column)))
    delay = values.get("delay", 0)
    plain = isinstance(delay, int) and not isinstance(delay, bool) and delay <= LARGEST_DELAY
    step.delay, step.delay_rule = (delay, None) if plain else (0, delay)
    step.delivery = _DELIVERY.get(values.get("delivery", ""), PipelineStep.Delivery.DEFAULT)
    step.await_mode = _AWAIT.get(values.get("await", "done"), PipelineStep.Await.DONE)
    step.x, step.y = values.get("position", (None, None))


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
    return ("", trigger.kind, trigger.model_id, trigger.event, trigger.cron)


def _drop_triggers(pipeline: Pipeline, triggers: Sequence[Trigger]) -> None:
    ids = [trigger.pk for trigger in triggers]
    if ids:
        PipelineRun.objects.filter(pipeline=pipeline, trigger_id__in=ids).update(trigger=None)
        pipeline.triggers.filter(pk__in=ids).delete()


def fill_trigger(trigger: Trigger, values: Mapping[str, Any], index: int) -> None:
    """Copy a trigger of a document into a row, unsaved."""
    for name, column in TRIGGER_COLUMNS.items():
        setattr(trigger, column, values.get(name, _empty(Trigger, column)))
    trigger.kind = Trigger.Kind[values["type"].upper()]
    trigger.misfire = Trigger.Misfire[values.get("misfire", "skip").upper()]
    trigger.overlap = Trigger.Overlap[values.get("overlap", "allow").upper()]
    trigger.position = index
    trigger.every = _whole_seconds(values.get("every"))
    trigger.model = _content_type(values.get("model"))


def _whole_seconds(value: Any) -> int | None:
    if value is None:
        return None
    seconds = parse_duration(value)
    if not seconds.is_integer() or seconds < 1:
        raise DurationError("give whole seconds, at least one")
    return int(seconds)


def _empty(model: type[models.Model], column: str) -> Any:
    field: Any = model._meta.get_field(column)
    return field.get_default()


def _whole(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _free(stem: str, taken: set[str]) -> str:
    number = 1
    while (key := stem if number == 1 else f"{stem}_{number}") in taken:
        number += 1
    return key


def _model_name(type_id: int) -> str:
    kind = ContentType.objects.get_for_id(type_id)
    return f"{kind.app_label}.{kind.model}"


def _content_type(model: str | None) -> ContentType | None:
    if model is None:
        return None
    return ContentType.objects.get_by_natural_key(*model.split(".", 1))
