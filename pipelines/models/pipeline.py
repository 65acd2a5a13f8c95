"""What the user edits: a pipeline, its steps and its immutable versions."""

from django.conf import settings as project
from django.contrib.contenttypes.models import ContentType
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from crm.models import TeamScoped, TeamScopedQuerySet

USER = project.AUTH_USER_MODEL
KEY = RegexValidator(
    r"^[a-z][a-z0-9_]{0,39}$", "Use lower-case letters, digits and underscores, starting with a letter."
)


class Pipeline(TeamScoped):
    """A definition with a state: draft → active ⇄ paused → archived."""

    class Status(models.IntegerChoices):
        DRAFT = 0, "Draft"
        ACTIVE = 1, "Active"
        PAUSED = 2, "Paused"
        ARCHIVED = 3, "Archived"

    class Versioning(models.IntegerChoices):
        FOLLOW = 0, "Runs follow the newest version"
        PIN = 1, "Runs keep the version they started with"

    id = models.AutoField(primary_key=True)
    key = models.CharField(max_length=40, validators=[KEY])
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    subject_type = models.ForeignKey(
        ContentType, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name="applies to"
    )
    # Which of the team's own types of record, where the model is that of records.
    subject_record = models.CharField(max_length=40, blank=True, default="", verbose_name="type of record")
    subject_alias = models.CharField(max_length=40, blank=True, validators=[KEY])
    status = models.SmallIntegerField(choices=Status.choices, default=Status.DRAFT)
    current_version = models.ForeignKey(
        "pipelines.PipelineVersion", null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    auto_publish = models.BooleanField(default=True, help_text="Every save is published at once.")
    versioning = models.SmallIntegerField(choices=Versioning.choices, default=Versioning.FOLLOW)
    settings = models.JSONField(default=dict, blank=True)
    variables = models.JSONField(default=list, blank=True)
    exit_rules = models.JSONField(default=list, blank=True)
    goals = models.JSONField(default=list, blank=True)
    # Nodes and edges, where the document says the order so; steps in order have none.
    edges = models.JSONField(default=list, blank=True)
    meta = models.JSONField(default=dict, blank=True)
    enrolled_total = models.BigIntegerField(default=0, editable=False)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    revision = models.IntegerField(default=0, editable=False)
    created_by = models.ForeignKey(
        USER, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_by = models.ForeignKey(
        USER, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    objects = TeamScopedQuerySet["Pipeline"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "key"], name="pipeline_key_once_per_team"),
            models.CheckConstraint(
                condition=~Q(status=1) | Q(current_version__isnull=False), name="active_pipeline_has_a_version"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PipelineStep(models.Model):
    """An editable row, and the lasting identity of a step across versions."""

    class Delivery(models.IntegerChoices):
        DEFAULT = 0, "Default of the action"
        AT_LEAST_ONCE = 1, "At least once"
        AT_MOST_ONCE = 2, "At most once"

    class Await(models.IntegerChoices):
        DONE = 0, "Until it is done"
        QUEUED = 1, "Only until it is queued"

    team_lookup = "pipeline__team"

    id = models.AutoField(primary_key=True)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="steps")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    branch = models.CharField(max_length=40, blank=True, default="")
    number = models.IntegerField()
    key = models.CharField(max_length=40, validators=[KEY], blank=True)
    name = models.CharField(max_length=200, blank=True)
    action_type = models.CharField(max_length=60)
    delay = models.PositiveBigIntegerField(default=0, help_text="Seconds to wait before this step.")
    delay_rule = models.JSONField(null=True, blank=True)
    message = models.TextField(blank=True)
    data = models.JSONField(default=dict, blank=True)
    condition = models.JSONField(null=True, blank=True)
    edges = models.JSONField(default=dict, blank=True, help_text='Where each outcome leads, such as {"true": "vip"}.')
    next_key = models.CharField(max_length=40, blank=True)
    retry = models.JSONField(null=True, blank=True)
    timeout = models.JSONField(null=True, blank=True)
    assign = models.JSONField(null=True, blank=True)
    delivery = models.SmallIntegerField(choices=Delivery.choices, default=Delivery.DEFAULT)
    await_mode = models.SmallIntegerField(choices=Await.choices, default=Await.DONE)
    notes = models.TextField(blank=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    x = models.FloatField(null=True, blank=True, editable=False)
    y = models.FloatField(null=True, blank=True, editable=False)

    objects = TeamScopedQuerySet["PipelineStep"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "key"], name="step_key_once_per_pipeline"),
            # Deferred, so that rows can be renumbered freely in one transaction (PostgreSQL only).
            models.UniqueConstraint(
                fields=["pipeline", "parent", "branch", "number"],
                name="step_number_once_per_scope",
                nulls_distinct=False,
                deferrable=models.Deferrable.DEFERRED,
            ),
            models.CheckConstraint(
                condition=Q(number__gt=0) | Q(archived_at__isnull=False), name="live_step_number_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.name or self.action_type}"


class PipelineVersion(models.Model):
    """A published, immutable compile of a pipeline."""

    class RunsPolicy(models.IntegerChoices):
        FOLLOW = 0, "Follow"
        PIN = 1, "Pin"
        CANCEL = 2, "Cancel"

    team_lookup = "pipeline__team"

    id = models.AutoField(primary_key=True)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, related_name="versions")
    number = models.IntegerField()
    document = models.JSONField()
    program = models.JSONField()
    checksum = models.CharField(max_length=64)
    note = models.CharField(max_length=400, blank=True)
    runs_policy = models.SmallIntegerField(choices=RunsPolicy.choices, default=RunsPolicy.FOLLOW)
    published_by = models.ForeignKey(USER, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    published_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["PipelineVersion"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pipeline", "number"], name="version_number_once")]

    def __str__(self) -> str:
        return f"version {self.number}"
