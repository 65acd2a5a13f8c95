"""What runs wait for outside of themselves, and the goals they reach."""

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q

from crm.models import TeamScoped, TeamScopedQuerySet
from pipelines.models.run import PipelineRun


class EventWait(TeamScoped):
    """One event, or one change of its subject, that a visit waits for: open → hit, cancelled or expired."""

    class Status(models.IntegerChoices):
        OPEN = 0, "open"
        HIT = 1, "hit"
        CANCELLED = 2, "cancelled"
        EXPIRED = 3, "expired"

    team = models.ForeignKey("crm.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    run = models.ForeignKey(PipelineRun, on_delete=models.CASCADE, related_name="waits", db_index=False)
    seq = models.IntegerField()
    n = models.SmallIntegerField(default=0)
    name = models.CharField(max_length=40)
    event = models.CharField(max_length=80)
    # Empty where the event is found by what it carries.
    subject_type = models.ForeignKey(
        ContentType, null=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    subject_id = models.BigIntegerField(null=True)
    match = models.JSONField(null=True)
    match_names = models.CharField(max_length=400, blank=True, default="")
    match_key = models.UUIDField(null=True)
    where = models.JSONField(null=True)
    needed = models.IntegerField(default=1)
    hits = models.IntegerField(default=0)
    since = models.DateTimeField()
    # An event that was committed before this row saw nothing of it, so each row is checked once after its commit.
    checked = models.BooleanField(default=False)
    horizon = models.BigIntegerField(null=True)
    status = models.SmallIntegerField(choices=Status.choices, default=Status.OPEN)
    event_id = models.BigIntegerField(null=True)
    payload = models.JSONField(null=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = TeamScopedQuerySet["EventWait"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "seq", "n"], name="wait_once_per_visit")]
        indexes = [
            models.Index(fields=["event", "subject_type", "subject_id"], condition=Q(status=0), name="wait_subject"),
            models.Index(
                fields=["event", "match_key"], condition=Q(status=0, match_key__isnull=False), name="wait_match"
            ),
            models.Index(fields=["id"], condition=Q(status=0, checked=False), name="wait_unchecked"),
        ]

    def __str__(self) -> str:
        return f"run {self.run_id} waits for {self.event}"


class GoalHit(models.Model):
    """A run reached a goal of its pipeline, once per goal."""

    team_lookup = "run__pipeline__team"

    run = models.ForeignKey(PipelineRun, on_delete=models.CASCADE, related_name="goal_hits", db_index=False)
    goal = models.CharField(max_length=40)
    event_id = models.BigIntegerField(null=True)
    value = models.DecimalField(max_digits=18, decimal_places=4, null=True)
    at = models.DateTimeField()

    objects = TeamScopedQuerySet["GoalHit"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "goal"], name="goal_once_per_run")]

    def __str__(self) -> str:
        return f"run {self.run_id} reached {self.goal}"
