"""What happened, and what each trigger decided about it."""

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q

from crm.models import TeamScoped, TeamScopedQuerySet
from pipelines.models.pipeline import Pipeline


class Event(TeamScoped):
    """The inbox: one fact about a record, partitioned by month on PostgreSQL."""

    team = models.ForeignKey("crm.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    type = models.CharField(max_length=80)
    subject_type = models.ForeignKey(
        ContentType, null=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    subject_id = models.BigIntegerField(null=True)
    actor_id = models.IntegerField(null=True)
    payload = models.JSONField(default=dict)
    key = models.CharField(max_length=120, null=True)
    occurred_at = models.DateTimeField()
    dispatched = models.BooleanField(default=False)
    # How many runs in a row led to it, and the pipeline that caused it; what comes from outside has neither.
    depth = models.SmallIntegerField(default=0, db_default=0)
    origin_id = models.IntegerField(null=True)

    objects = TeamScopedQuerySet["Event"].as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(dispatched=False), name="event_inbox"),
            models.Index(fields=["subject_type", "subject_id", "type", "occurred_at"], name="event_subject"),
        ]

    def __str__(self) -> str:
        return self.type


class EventKey(models.Model):
    """Keys that callers gave to events: the same key twice is the same event."""

    team = models.ForeignKey("crm.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    type = models.CharField(max_length=80)
    key = models.CharField(max_length=120)
    event_id = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "type", "key"], name="event_key_once")]

    def __str__(self) -> str:
        return self.key


class EnrollmentDecision(models.Model):
    """Why a record did, or did not, enter a pipeline."""

    class Decision(models.IntegerChoices):
        ENROLLED = 0, "enrolled"
        CONDITIONS = 1, "conditions not met"
        DUPLICATE = 2, "already in the pipeline"
        LIMIT = 3, "limit reached"
        SUPPRESSED = 4, "suppressed"
        ERROR = 5, "error"

    team_lookup = "pipeline__team"

    event_id = models.BigIntegerField(null=True)
    pipeline = models.ForeignKey(
        Pipeline, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    trigger_id = models.IntegerField(null=True)
    trigger_revision = models.IntegerField(default=0)
    subject_type = models.ForeignKey(
        ContentType, null=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    subject_id = models.BigIntegerField(null=True)
    decision = models.SmallIntegerField(choices=Decision.choices)
    clause = models.SmallIntegerField(null=True)
    why = models.JSONField(null=True)
    run_id = models.BigIntegerField(null=True)
    settled = models.BooleanField(default=True, help_text="False while an error waits for the sweep.")
    at = models.DateTimeField()

    objects = TeamScopedQuerySet["EnrollmentDecision"].as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["subject_type", "subject_id", "id"], name="decision_subject"),
            models.Index(fields=["id"], condition=Q(settled=False), name="decision_open"),
        ]

    def __str__(self) -> str:
        return self.get_decision_display()
