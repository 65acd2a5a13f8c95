"""Switching one way into a pipeline on or off."""

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from pipelines.models import Trigger
from pipelines.operations.records import audit


def set_trigger_enabled(*, trigger: Trigger, enabled: bool, by: object = None) -> None:
    """Takes effect for the next record; runs that are on their way go on."""
    if trigger.enabled == enabled:
        return
    with transaction.atomic():
        trigger.armed_at = timezone.now() if enabled else None
        Trigger.objects.filter(pk=trigger.pk).update(
            enabled=enabled, armed_at=trigger.armed_at, revision=F("revision") + 1
        )
        trigger.enabled = enabled
        trigger.revision += 1
        action = "trigger_enable" if enabled else "trigger_disable"
        audit(trigger.pipeline, action, by, trigger=trigger.key or trigger.get_kind_display())
