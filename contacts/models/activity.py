"""The timeline: notes people write and facts the system records about a record."""

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models

from crm.models import TeamScoped, TeamScopedQuerySet


class Activity(TeamScoped):
    """One entry of a timeline."""

    class Kind(models.TextChoices):
        NOTE = "note", "Note"
        CALL = "call", "Call"
        MEETING = "meeting", "Meeting"
        CHANGE = "change", "Change"
        MERGE = "merge", "Merge"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.NOTE)
    text = models.TextField()
    subject_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+", db_index=False)
    subject_id = models.BigIntegerField()
    subject = GenericForeignKey("subject_type", "subject_id")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()

    objects = TeamScopedQuerySet["Activity"].as_manager()

    class Meta:
        verbose_name_plural = "activities"
        indexes = [models.Index(fields=["subject_type", "subject_id", "-at"], name="activity_subject")]

    def __str__(self) -> str:
        return self.text[:60]
