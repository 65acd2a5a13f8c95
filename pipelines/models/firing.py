"""Schedules that came due, and events that wait until it is quiet."""

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q

from crm.models import TeamScopedQuerySet
from pipelines.models.trigger import Trigger


class Firing(models.Model):
    """One slot of a schedule, once: records that fit are taken in batch by batch, each batch in one transaction."""

    class State(models.IntegerChoices):
        OPEN = 0, "under way"
        DONE = 1, "done"
        SKIPPED = 2, "skipped"
        FAILED = 3, "failed"

    team_lookup = "trigger__pipeline__team"

    trigger = models.ForeignKey(Trigger, on_delete=models.CASCADE, related_name="firings", db_index=False)
    # The local time it stands for; with the offset where an hour that comes twice counts twice.
    slot = models.CharField(max_length=40)
    at = models.DateTimeField()
    state = models.SmallIntegerField(choices=State.choices, default=State.OPEN)
    # Records up to this id have had their turn.
    after_id = models.BigIntegerField(default=0)
    entered = models.IntegerField(default=0)
    looked_at = models.IntegerField(default=0)
    note = models.CharField(max_length=200, blank=True)
    finished_at = models.DateTimeField(null=True)

    objects = TeamScopedQuerySet["Firing"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trigger", "slot"], name="firing_once_per_slot")]
        indexes = [
            models.Index(fields=["id"], condition=Q(state=0), name="firing_open"),
            models.Index(fields=["trigger", "-id"], name="firing_log"),
        ]

    def __str__(self) -> str:
        return self.slot


class Quiet(models.Model):
    """An event that waits for quiet: later ones of the same record take its place and start the clock anew."""

    team_lookup = "trigger__pipeline__team"

    trigger = models.ForeignKey(Trigger, on_delete=models.CASCADE, related_name="+", db_index=False)
    subject_type = models.ForeignKey(
        ContentType, null=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    # 0 where a pipeline is about no record.
    subject_id = models.BigIntegerField(default=0)
    event_id = models.BigIntegerField()
    payload = models.JSONField(default=dict)
    depth = models.SmallIntegerField(default=0)
    due_at = models.DateTimeField()

    objects = TeamScopedQuerySet["Quiet"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trigger", "subject_id"], name="quiet_once_per_record")]
        indexes = [models.Index(fields=["due_at"], name="quiet_due")]

    def __str__(self) -> str:
        return f"trigger {self.trigger_id} waits for quiet"
