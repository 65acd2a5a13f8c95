"""What a run waits for a person to answer: the form behind a task of the to-do list."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from crm.models import Task, TeamScopedQuerySet
from pipelines.models.run import PipelineRun


class HumanTask(models.Model):
    """The form of one visit; who has it and when it is due stands in the task itself, and nowhere else.

    Open ⇄ claimed → completed by a person, cancelled with its run, or expired at the deadline of its step.
    """

    class Status(models.IntegerChoices):
        OPEN = 0, "open"
        CLAIMED = 1, "claimed"
        COMPLETED = 2, "completed"
        CANCELLED = 3, "cancelled"
        EXPIRED = 4, "expired"

    team_lookup = "task__team"

    # What was asked and answered is a record of the run, so its task cannot be thrown away under it.
    task = models.OneToOneField(Task, on_delete=models.PROTECT, related_name="human")
    run = models.ForeignKey(PipelineRun, on_delete=models.CASCADE, related_name="human_tasks", db_index=False)
    seq = models.IntegerField()
    status = models.SmallIntegerField(choices=Status.choices, default=Status.OPEN)
    form = models.JSONField(default=list)
    outcomes = models.JSONField(default=list)
    team_role = models.CharField(max_length=60, blank=True, help_text="Who may take it while it is nobody's.")
    expires_at = models.DateTimeField(null=True)
    notify = models.BooleanField(default=True)
    remind_every = models.IntegerField(null=True, help_text="Seconds between reminders.")
    remind_at = models.DateTimeField(null=True)
    mails = models.SmallIntegerField(default=0)
    outcome = models.CharField(max_length=40, blank=True)
    response = models.JSONField(null=True)
    completed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    completed_label = models.CharField(max_length=150, blank=True, help_text="Who answered, in words.")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = TeamScopedQuerySet["HumanTask"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="human_task_once_per_visit")]
        indexes = [
            models.Index(
                fields=["remind_at"], condition=Q(status__in=[0, 1], remind_at__isnull=False), name="human_task_remind"
            )
        ]

    def __str__(self) -> str:
        return f"human task of run {self.run_id}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


OPEN = (HumanTask.Status.OPEN, HumanTask.Status.CLAIMED)
