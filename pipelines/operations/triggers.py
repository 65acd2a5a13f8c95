"""Ways into a pipeline: add, change, remove, switch on or off."""

from collections.abc import Mapping
from itertools import count
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from pipelines.documents import document_of
from pipelines.models import Pipeline, Trigger
from pipelines.operations.records import audit
from pipelines.operations.transfer import update_document


def set_trigger_enabled(*, trigger: Trigger, enabled: bool, by: object = None) -> None:
    """Takes effect for the next record; runs that are on their way go on."""
    if trigger.enabled == enabled:
        return
    with transaction.atomic():
        trigger.armed_at = timezone.now() if enabled else None
        Trigger.objects.filter(pk=trigger.pk).update(
            enabled=enabled, armed_at=trigger.armed_at, next_fire_at=None, revision=F("revision") + 1
        )
        trigger.enabled = enabled
        trigger.revision += 1
        action = "trigger_enable" if enabled else "trigger_disable"
        audit(trigger.pipeline, action, by, trigger=trigger.key or trigger.get_kind_display())


def place_of(trigger: Trigger) -> int:
    """The index of a trigger in the document of its pipeline."""
    ids = trigger.pipeline.triggers.order_by("position", "id").values_list("pk", flat=True)
    return list(ids).index(trigger.pk)


def add_trigger(*, pipeline: Pipeline, values: Mapping[str, Any], by: object = None) -> Trigger:
    """Add a way in, checked with the whole definition; raises InvalidDocument."""
    document = document_of(pipeline)
    taken = {each.get("key") for each in document.get("triggers", [])}
    key = next(name for number in count(1) if (name := f"automatic_{number}") not in taken)
    added = {"key": key, **{name: value for name, value in values.items() if value is not None}}
    document["triggers"] = [*document.get("triggers", []), added]
    update_document(pipeline=pipeline, document=document, by=by)
    return pipeline.triggers.get(key=added["key"])


def change_trigger(*, trigger: Trigger, values: Mapping[str, Any], by: object = None) -> None:
    """Replace what a way in says; its identity stays. Raises InvalidDocument."""
    document = document_of(trigger.pipeline)
    document["triggers"][place_of(trigger)] = dict(values)
    update_document(pipeline=trigger.pipeline, document=document, by=by)


def remove_trigger(*, trigger: Trigger, by: object = None) -> None:
    """Close a way in; runs that came by it go on."""
    document = document_of(trigger.pipeline)
    del document["triggers"][place_of(trigger)]
    update_document(pipeline=trigger.pipeline, document=document, by=by)
