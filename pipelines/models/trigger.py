"""What puts subjects into a pipeline."""

from typing import Any, ClassVar

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q

from crm.models import TeamScopedQuerySet
from pipelines.models.pipeline import KEY, Pipeline


class Trigger(models.Model):
    """One way into a pipeline."""

    class Kind(models.IntegerChoices):
        CREATED = 0, "Record created"
        UPDATED = 1, "Record updated"
        DELETED = 2, "Record deleted"
        EVENT = 3, "Event"
        CRON = 4, "Schedule"
        WEBHOOK = 5, "Webhook"
        MANUAL = 6, "By hand"
        SEGMENT = 7, "Segment"

    class Misfire(models.IntegerChoices):
        SKIP = 0, "Skip"
        ONCE = 1, "Once"
        ALL = 2, "All"

    class Overlap(models.IntegerChoices):
        ALLOW = 0, "Allow"
        SKIP = 1, "Skip"

    team_lookup = "pipeline__team"

    id = models.AutoField(primary_key=True)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="triggers")
    key = models.CharField(max_length=40, validators=[KEY], blank=True)
    kind = models.SmallIntegerField(choices=Kind.choices, default=Kind.CREATED)
    model = models.ForeignKey(
        ContentType, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    event = models.CharField(max_length=80, blank=True)
    segment = models.CharField(
        max_length=60, blank=True, default="", db_default="", help_text="Key of the segment whose members enter."
    )
    where = models.JSONField(null=True, blank=True, verbose_name="conditions")
    assign = models.JSONField(null=True, blank=True)
    reentry = models.JSONField(default=None, null=True, blank=True)
    cron = models.CharField(max_length=120, blank=True)
    tz = models.CharField(max_length=64, blank=True)
    next_fire_at = models.DateTimeField(null=True, blank=True, editable=False)
    every = models.IntegerField(null=True, blank=True)
    misfire = models.SmallIntegerField(choices=Misfire.choices, default=Misfire.SKIP)
    overlap = models.SmallIntegerField(choices=Overlap.choices, default=Overlap.ALLOW)
    for_each = models.JSONField(null=True, blank=True)
    subject_expression = models.CharField(max_length=200, blank=True)
    only_fields = models.JSONField(null=True, blank=True, verbose_name="only when these fields change")
    debounce = models.IntegerField(
        null=True, blank=True, help_text="Seconds of quiet before it counts; what comes meanwhile is taken together."
    )
    silence = models.IntegerField(
        null=True, blank=True, help_text="Seconds in which nothing was heard of a contact, for contact_inactive."
    )
    token_hash = models.CharField(max_length=64, blank=True, editable=False)
    automatic = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    armed_at = models.DateTimeField(
        null=True, editable=False, help_text="Records created before this are not enrolled by the sweep."
    )
    max_per_hour = models.IntegerField(null=True, blank=True)
    fired_total = models.BigIntegerField(default=0, editable=False)
    last_fired_at = models.DateTimeField(null=True, blank=True, editable=False)
    revision = models.IntegerField(default=0, editable=False)
    position = models.SmallIntegerField(default=1000, editable=False, help_text="Place in the document.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["Trigger"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["pipeline", "key"], condition=~Q(key=""), name="trigger_key_once_per_pipeline"
            )
        ]
        indexes = [
            models.Index(fields=["event"], condition=Q(enabled=True) & ~Q(event=""), name="trigger_event"),
            models.Index(fields=["silence"], condition=Q(enabled=True, silence__isnull=False), name="trigger_silence"),
            models.Index(fields=["model", "kind"], condition=Q(enabled=True), name="trigger_model"),
            models.Index(
                fields=["next_fire_at"], condition=Q(enabled=True, next_fire_at__isnull=False), name="trigger_due"
            ),
            models.Index(
                fields=["kind"], condition=Q(enabled=True, next_fire_at=None, kind__in=[4, 7]), name="trigger_unplanned"
            ),
        ]

    def __str__(self) -> str:
        return self.key or self.get_kind_display()


class AutomaticManager(models.Manager["AutomaticPipeline"]):
    """Only triggers that enroll on creation."""

    def get_queryset(self) -> Any:
        return TeamScopedQuerySet(self.model, using=self._db).filter(kind=Trigger.Kind.CREATED, automatic=True)


class AutomaticPipeline(Trigger):
    """A pipeline that every new record of a model enters by itself."""

    objects: ClassVar[Any] = AutomaticManager()

    class Meta:
        proxy = True
        verbose_name = "automatic pipeline"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not args:
            kwargs.setdefault("kind", Trigger.Kind.CREATED)
            kwargs.setdefault("automatic", True)
        super().__init__(*args, **kwargs)
