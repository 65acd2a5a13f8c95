"""Things for people to do, made by hand or by a pipeline."""

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models

from crm.models.base import TeamScoped, TeamScopedQuerySet


class Task(TeamScoped):
    """One item of a to-do list, possibly about a record."""

    class Priority(models.TextChoices):
        LOW = "low", "Low"
        MEDIUM = "medium", "Medium"
        HIGH = "high", "High"
        URGENT = "urgent", "Urgent"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        DONE = "done", "Done"
        CANCELLED = "cancelled", "Cancelled"

    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="crm_tasks"
    )
    due_at = models.DateTimeField(null=True, blank=True)
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.MEDIUM)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    subject_type = models.ForeignKey(
        ContentType, null=True, blank=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    subject_id = models.BigIntegerField(null=True, blank=True)
    subject = GenericForeignKey("subject_type", "subject_id")
    run_id = models.BigIntegerField(null=True, blank=True, editable=False)
    run_seq = models.IntegerField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    completed_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = TeamScopedQuerySet["Task"].as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["subject_type", "subject_id"], name="task_subject"),
            models.Index(
                fields=["assignee", "due_at"], condition=models.Q(status="open"), name="task_open_by_assignee"
            ),
            models.Index(fields=["run_id"], condition=models.Q(run_id__isnull=False), name="task_run"),
        ]

    def __str__(self) -> str:
        return self.title
