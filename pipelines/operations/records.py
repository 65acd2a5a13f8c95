"""Locking a pipeline for a change, and writing down who changed it."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import F
from django.utils import timezone

from crm.models import AuditEntry
from pipelines.engine.clock import engine_now
from pipelines.engine.schedules import plan_first, with_clock
from pipelines.models import Pipeline, Trigger
from pipelines.operations.refusals import PipelineChanged


def lock(pipeline: Pipeline) -> None:
    """Hold the row until the transaction ends; refuses when it changed since it was read.

    Enrollments only need the key of the row, so they go on meanwhile.
    """
    rows = Pipeline.objects.select_for_update(no_key=True).filter(pk=pipeline.pk)
    current = rows.values_list("revision", flat=True).first()
    if current is None or current != pipeline.revision:
        raise PipelineChanged()


def change(pipeline: Pipeline, by: object, **values: Any) -> None:
    """Write columns of a locked pipeline and raise its revision, in the row and in memory."""
    values["updated_by"] = user_of(by) or pipeline.updated_by
    changed = Pipeline.objects.filter(pk=pipeline.pk, revision=pipeline.revision).update(
        revision=F("revision") + 1, **values
    )
    if not changed:
        raise PipelineChanged()
    pipeline.revision += 1
    for name, value in values.items():
        setattr(pipeline, name, value)


def arm_triggers(pipeline: Pipeline, *, again: bool = False) -> None:
    """From now on the sweep looks for records that an enabled trigger should have caught.

    Records are older than that moment by the machine's clock, so it is the one compared with.
    """
    triggers = pipeline.triggers.filter(enabled=True)
    if not again:
        triggers = triggers.filter(armed_at=None)
    schedules = list(triggers.filter(kind=Trigger.Kind.CRON).values_list("pk", flat=True))
    triggers.update(armed_at=timezone.now(), next_fire_at=None)
    plan_first(list(with_clock(Trigger.objects.filter(pk__in=schedules))), engine_now())


def plan_by_the_new_zone(pipeline: Pipeline) -> None:
    """Schedules that name no zone go by that of the pipeline, which is another one now."""
    rows = Trigger.objects.filter(pipeline=pipeline, enabled=True, kind=Trigger.Kind.CRON, tz="")
    plan_first(list(with_clock(rows)), engine_now())


def audit(pipeline: Pipeline, action: str, by: object, **details: Any) -> None:
    """Record `pipeline.<action>` with its actor: a user, or a program's key by its name."""
    user = user_of(by)
    AuditEntry.record(
        team=pipeline.team,
        action=f"pipeline.{action}",
        target=pipeline,
        actor=user,
        actor_label="" if user is not None or by is None else str(by),
        details={"key": pipeline.key, **details},
    )


def user_of(by: object) -> Any:
    """The user behind an actor, None for a program or the system."""
    if isinstance(by, AbstractBaseUser) and by.pk is not None:
        return by
    return None
