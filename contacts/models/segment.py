"""Named groups of records, kept by people and by steps of pipelines."""

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.validators import RegexValidator
from django.db import models

from crm.models import TeamScoped, TeamScopedQuerySet

SEGMENT_KEY = r"^[a-z0-9][a-z0-9_-]{0,59}$"


class Segment(TeamScoped):
    """A group of a team's records, found by its key."""

    class Kind(models.TextChoices):
        STATIC = "static", "Kept by hand and by steps"
        DYNAMIC = "dynamic", "Kept by a rule"

    key = models.CharField(
        max_length=60,
        validators=[RegexValidator(SEGMENT_KEY, "Use lower-case letters, digits, - and _.")],
        help_text="How steps and the API name it.",
    )
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.STATIC, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["Segment"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="segment_key_once")]

    def __str__(self) -> str:
        return self.name


class SegmentMembership(models.Model):
    """One record in one segment, since when, and the run that put it there."""

    team_lookup = "segment__team"

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    subject_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+", db_index=False)
    subject_id = models.BigIntegerField()
    subject = GenericForeignKey("subject_type", "subject_id")
    added_at = models.DateTimeField()
    run_id = models.BigIntegerField(null=True, blank=True, editable=False)

    objects = TeamScopedQuerySet["SegmentMembership"].as_manager()

    class Meta:
        verbose_name = "member of a segment"
        verbose_name_plural = "members of segments"
        constraints = [
            models.UniqueConstraint(fields=["segment", "subject_type", "subject_id"], name="segment_member_once")
        ]
        indexes = [models.Index(fields=["subject_type", "subject_id"], name="segment_member_subject")]

    def __str__(self) -> str:
        return f"{self.subject} in {self.segment}"
