"""Runs: one narrow row per cursor, and what is kept beside it."""

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q

from crm.models import TeamScopedQuerySet
from pipelines.models.counted import RunQuerySet
from pipelines.models.pipeline import Pipeline, PipelineVersion
from pipelines.states import RunPhase, RunStatus

FINISHED = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
OPEN = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED)
# What people count; the many runs that ended well are in none of it.
COUNTED = (*OPEN, RunStatus.FAILED)


class PipelineRun(models.Model):
    """Which subject stands at which step of which version, and when it is due.

    `next_step_at IS NOT NULL` means that the engine must look at this run then: the time to
    enter the step for a pending run, the deadline for a waiting one, the watchdog for a running one.
    """

    team_lookup = "pipeline__team"

    Status = RunStatus
    Phase = RunPhase

    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, related_name="runs", db_index=False)
    version = models.ForeignKey(PipelineVersion, on_delete=models.PROTECT, related_name="runs", db_index=False)
    subject_type = models.ForeignKey(
        ContentType, null=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    subject_id = models.BigIntegerField(null=True)
    subject = GenericForeignKey("subject_type", "subject_id")
    # Steps and triggers that runs point to are archived, never deleted, so no constraint is paid for per move.
    trigger = models.ForeignKey(
        "pipelines.Trigger",
        null=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    dedup = models.UUIDField(null=True)
    status = models.SmallIntegerField(
        choices=[(status.value, status.name.lower()) for status in RunStatus], default=RunStatus.PENDING
    )
    step = models.ForeignKey(
        "pipelines.PipelineStep",
        null=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    last_step = models.ForeignKey(
        "pipelines.PipelineStep",
        null=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    next_step_at = models.DateTimeField(null=True)
    phase = models.SmallIntegerField(default=0)
    attempt = models.SmallIntegerField(default=0)
    seq = models.IntegerField(default=1)
    open_children = models.SmallIntegerField(default=0)
    wake_at = models.SmallIntegerField(default=0)
    parent = models.ForeignKey(
        "self", null=True, on_delete=models.CASCADE, related_name="children", db_index=False, db_constraint=False
    )
    root = models.ForeignKey(
        "self", null=True, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    parent_seq = models.IntegerField(default=0)
    slot = models.IntegerField(default=0)
    # How many runs in a row led to this one; a circle of pipelines ends by it.
    depth = models.SmallIntegerField(default=0, db_default=0)
    # Goes through the real engine, and nothing of it leaves; children and runs that its steps start are tests, too.
    test = models.BooleanField(default=False, db_default=False)
    outcome = models.CharField(max_length=40, null=True)
    reason = models.CharField(max_length=60, null=True)
    held_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        verbose_name = "run"
        indexes = [
            models.Index(fields=["step", "next_step_at"], condition=Q(next_step_at__isnull=False), name="run_lane"),
            models.Index(fields=["subject_type", "subject_id"], name="run_subject"),
            models.Index(fields=["parent"], condition=Q(parent__isnull=False), name="run_parent"),
            models.Index(fields=["pipeline", "id"], name="run_pipeline"),
            # What people look for first; the many runs that end well pay nothing for it.
            models.Index(fields=["finished_at"], condition=Q(status=RunStatus.FAILED), name="run_failed"),
            # Counting by state reads this index alone, never the table; tests are not counted.
            models.Index(
                fields=["pipeline", "status", "next_step_at"],
                condition=Q(status__in=COUNTED, parent=None, test=False),
                name="run_state",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "dedup"], condition=Q(dedup__isnull=False), name="run_dedup"),
            models.CheckConstraint(
                condition=(Q(status__in=FINISHED) & Q(finished_at__isnull=False))
                | (~Q(status__in=FINISHED) & Q(finished_at__isnull=True)),
                name="finished_run_says_when",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=[*FINISHED, RunStatus.PAUSED]) | Q(next_step_at__isnull=True),
                name="finished_or_paused_run_is_not_due",
            ),
            models.CheckConstraint(
                condition=~Q(status=RunStatus.PENDING) | (Q(next_step_at__isnull=False) & Q(step__isnull=False)),
                name="pending_run_is_due_somewhere",
            ),
            models.CheckConstraint(
                condition=(Q(parent__isnull=True) & Q(root__isnull=True))
                | (Q(parent__isnull=False) & Q(root__isnull=False)),
                name="child_run_has_a_root",
            ),
            models.CheckConstraint(
                condition=Q(open_children__gte=0, attempt__gte=0, seq__gte=0) & Q(wake_at__gte=0),
                name="run_counters_are_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"

    @property
    def next_step_id(self) -> int | None:
        return self.step_id if self.status == RunStatus.PENDING else None

    @property
    def current_step_id(self) -> int | None:
        return self.last_step_id if self.status == RunStatus.PENDING else self.step_id

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED


class RunContext(models.Model):
    """What a run remembers; only runs with something to keep have one."""

    team_lookup = "run__pipeline__team"

    run = models.OneToOneField(PipelineRun, primary_key=True, on_delete=models.CASCADE, related_name="context")
    trigger = models.JSONField(default=dict)
    vars = models.JSONField(default=dict)
    outputs = models.JSONField(default=dict)
    locals = models.JSONField(default=dict)

    objects = TeamScopedQuerySet["RunContext"].as_manager()

    def __str__(self) -> str:
        return f"context of run {self.run_id}"


class StepExecution(models.Model):
    """The log: one row per ended visit, append-only, partitioned by month on PostgreSQL."""

    class Event(models.IntegerChoices):
        COMPLETED = 0, "completed"
        FAILED = 1, "failed"
        SKIPPED = 2, "skipped"
        RETRIED = 3, "retried"
        TIMED_OUT = 4, "timed out"
        WAITING = 5, "waiting"
        MOVED = 6, "moved"
        NOTE = 7, "note"

    at = models.DateTimeField()
    run_id = models.BigIntegerField()
    root_id = models.BigIntegerField(null=True)
    step_id = models.IntegerField()
    seq = models.IntegerField()
    attempt = models.SmallIntegerField(default=0)
    event = models.SmallIntegerField(choices=Event.choices)
    outcome = models.CharField(max_length=40, null=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    batch = models.UUIDField(null=True)
    why = models.JSONField(null=True)
    output = models.JSONField(null=True)
    error = models.CharField(max_length=400, null=True)

    class Meta:
        verbose_name = "visit"
        indexes = [models.Index(fields=["run_id", "id"], name="execution_run")]

    def __str__(self) -> str:
        return f"visit {self.seq} of run {self.run_id}"


class StepStat(models.Model):
    """Counts per step, day and outcome; workers write to their own slot and never contend."""

    step_id = models.IntegerField()
    day = models.DateField()
    slot = models.SmallIntegerField(default=0)
    outcome = models.CharField(max_length=40)
    n = models.BigIntegerField(default=0)
    work_ms = models.BigIntegerField(default=0)
    wait_s = models.BigIntegerField(default=0)
    hist = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["step_id", "day", "slot", "outcome"], name="stat_cell")]

    def __str__(self) -> str:
        return f"{self.step_id} {self.day} {self.outcome}: {self.n}"


class Effect(models.Model):
    """Work that leaves the database: queued → leased → sending → done, failed or uncertain."""

    class Kind(models.IntegerChoices):
        EMAIL = 1, "email"
        HTTP = 2, "http"
        CUSTOM = 3, "custom"
        SMS = 4, "sms"
        PUSH = 5, "push"
        WHATSAPP = 6, "whatsapp"
        CODE = 7, "code"
        CHAT = 8, "chat"
        # What a test run asks for, of whatever kind: nothing that sends ever leases it.
        TEST = 9, "test"

    class Status(models.IntegerChoices):
        QUEUED = 0, "queued"
        LEASED = 1, "leased"
        SENDING = 2, "sending"
        DONE = 3, "done"
        FAILED = 4, "failed"
        UNCERTAIN = 5, "uncertain"
        CANCELLED = 6, "cancelled"

    team_lookup = "run__pipeline__team"

    run = models.ForeignKey(PipelineRun, on_delete=models.CASCADE, related_name="effects", db_index=False)
    seq = models.IntegerField()
    n = models.SmallIntegerField(default=0)
    kind = models.SmallIntegerField(choices=Kind.choices)
    status = models.SmallIntegerField(choices=Status.choices, default=Status.QUEUED)
    at_most_once = models.BooleanField(default=False)
    available_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    attempt = models.SmallIntegerField(default=0)
    worker = models.IntegerField(null=True)
    payload = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    error = models.CharField(max_length=400, null=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = TeamScopedQuerySet["Effect"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "seq", "n"], name="effect_once_per_visit")]
        indexes = [
            models.Index(fields=["kind", "available_at"], condition=Q(status=0), name="effect_queue"),
            models.Index(fields=["lease_until"], condition=Q(status__in=[1, 2]), name="effect_lease"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} effect of run {self.run_id}"


class EngineWorker(models.Model):
    """A process that moves runs: its heartbeat and the lane it stands in."""

    host = models.CharField(max_length=120)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    lane_step_id = models.IntegerField(null=True)
    lane_size = models.IntegerField(null=True)
    lane_run_id = models.BigIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "pid", "started_at"], name="worker_once")]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class LaneStrike(models.Model):
    """How often a lane's batch took its worker down; sizes the next batch until the culprit stands alone."""

    step_id = models.IntegerField(primary_key=True)
    strikes = models.SmallIntegerField(default=0)
    size = models.IntegerField(default=1000)
    run_id = models.BigIntegerField(null=True)
    run_strikes = models.SmallIntegerField(default=0)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"step {self.step_id}: {self.strikes}"


class EngineState(models.Model):
    """Small facts of the engine that outlive a process, such as the last tick and the test clock."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField(null=True)
    data = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name
