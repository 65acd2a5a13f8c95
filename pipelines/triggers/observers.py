"""The observers: signals that turn a saved record into runs."""

from typing import Any

from django.apps import apps
from django.db.models import Model
from django.db.models.signals import post_delete, post_migrate, post_save, pre_save

from crm.channels.providers import PROVIDERS
from crm.models import Integration
from pipelines.engine.automatic import enroll_created
from pipelines.engine.clock import engine_now
from pipelines.engine.outage import look_at_once
from pipelines.subjects import subject_of_record, subject_types
from pipelines.triggers.announcing import look_before_change, tell_of_change, tell_of_new, tell_of_removal


def connect() -> None:
    """Connect every observer; called once when the apps are ready."""
    for kind in subject_types().values():
        pre_save.connect(on_saving, sender=kind.model, dispatch_uid=f"before:{kind.label}")
        post_save.connect(on_saved, sender=kind.model, dispatch_uid=f"enroll:{kind.label}")
        post_delete.connect(on_deleted, sender=kind.model, dispatch_uid=f"deleted:{kind.label}")
    post_save.connect(on_channel_saved, sender=Integration, dispatch_uid="channel:saved")
    post_migrate.connect(on_migrated, sender=apps.get_app_config("pipelines"), dispatch_uid="pipelines:schedule")


def on_saving(sender: type[Model], instance: Any, raw: bool = False, update_fields: Any = None, **_: Any) -> None:
    """What a record is before its change is looked at only if somebody wants to know."""
    if not raw and instance.pk is not None and not instance._state.adding:
        look_before_change(kind=subject_types()[sender._meta.label_lower], instance=instance, fields=update_fields)


def on_deleted(sender: type[Model], instance: Any, **_: Any) -> None:
    """A deleted record is told to pipelines that begin by it."""
    tell_of_removal(kind=subject_types()[sender._meta.label_lower], instance=instance)


def on_saved(sender: type[Model], instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    """A new record enters its automatic pipelines in the same transaction; a changed one is told to who listens."""
    if raw:
        return
    kind = subject_of_record(instance)
    if kind is None:
        return
    if created:
        enroll_created(kind=kind, ids=[instance.pk], team_id=instance.team_id)
        tell_of_new(kind=kind, ids=[instance.pk], team_id=instance.team_id)
    else:
        tell_of_change(kind=kind, instance=instance)


def on_channel_saved(sender: type[Model], instance: Any, raw: bool = False, **_: Any) -> None:
    """Who changes how a team sends need not wait until somebody looks whether the provider is back."""
    provider = PROVIDERS.get(instance.provider)
    if provider is not None and not raw:
        look_at_once(team_id=instance.team_id, channel=provider.channel, now=engine_now())


def on_migrated(**_: Any) -> None:
    """The schedule of the tick belongs to the database, so every migrate makes sure of it."""
    from pipelines.tasks import ensure_schedule

    ensure_schedule()
