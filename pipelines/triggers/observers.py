"""The observers: signals that turn a saved record into runs."""

from typing import Any

from django.apps import apps
from django.db.models import Model
from django.db.models.signals import post_migrate, post_save

from pipelines.engine.automatic import enroll_created
from pipelines.subjects import subject_types
from pipelines.triggers.announcing import tell_of_change


def connect() -> None:
    """Connect every observer; called once when the apps are ready."""
    for kind in subject_types().values():
        post_save.connect(on_saved, sender=kind.model, dispatch_uid=f"enroll:{kind.label}")
    post_migrate.connect(on_migrated, sender=apps.get_app_config("pipelines"), dispatch_uid="pipelines:schedule")


def on_saved(sender: type[Model], instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    """A new record enters its automatic pipelines in the same transaction; a changed one is told to who listens."""
    if raw:
        return
    kind = subject_types()[sender._meta.label_lower]
    if created:
        enroll_created(kind=kind, ids=[instance.pk], team_id=instance.team_id)
    else:
        tell_of_change(kind=kind, instance=instance)


def on_migrated(**_: Any) -> None:
    """The schedule of the tick belongs to the database, so every migrate makes sure of it."""
    from pipelines.tasks import ensure_schedule

    ensure_schedule()
