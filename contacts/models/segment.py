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
    where = models.JSONField(
        null=True, blank=True, verbose_name="rule", help_text="Who belongs to it: every contact that meets this."
    )
    # When all contacts are looked at next; empty while only changed ones need to be.
    look_at = models.DateTimeField(null=True, editable=False)
    # How far a look that reads contact by contact has come.
    looked_to = models.BigIntegerField(default=0, db_default=0, editable=False)
    looked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["Segment"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="segment_key_once")]
        indexes = [
            models.Index(fields=["look_at"], condition=models.Q(look_at__isnull=False), name="segment_look"),
            models.Index(fields=["team"], condition=models.Q(kind="dynamic"), name="segment_ruled"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_dynamic(self) -> bool:
        """Whether a rule says who is in it."""
        return self.kind == self.Kind.DYNAMIC


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


class SegmentChange(models.Model):
    """A contact that changed in some way; triggers of the database write it, the next refresh takes it away."""

    team = models.ForeignKey(
        "crm.Team", on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    contact_id = models.BigIntegerField()
    # How many runs in a row led to it, and the pipeline that caused it, where a step did.
    depth = models.SmallIntegerField(default=0, db_default=0)
    origin_id = models.IntegerField(null=True)

    def __str__(self) -> str:
        return f"contact {self.contact_id} changed"
