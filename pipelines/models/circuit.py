"""Circuits: steps that fail for so many records that nobody else is let in until they work again."""

from django.db import models

from crm.models import TeamScopedQuerySet
from pipelines.models.pipeline import PipelineStep


class StepCircuit(models.Model):
    """A step that people and the engine have to think of; where a step has no row its circuit is closed."""

    class State(models.IntegerChoices):
        OPEN = 1, "open"  # nobody goes in; at `retry_at` a few are let through
        TRIAL = 2, "trial"  # a few are let through; their answers close or open it
        LET = 3, "off"  # somebody said to let them fail; watched again from `retry_at`

    team_lookup = "step__pipeline__team"

    step = models.OneToOneField(PipelineStep, primary_key=True, on_delete=models.CASCADE, related_name="circuit")
    state = models.SmallIntegerField(choices=State.choices, default=State.OPEN)
    opened_at = models.DateTimeField()
    retry_at = models.DateTimeField()
    # Seconds until the next trial; they double with each that fails.
    pause = models.IntegerField()
    # Records of those who reached the step that failed there, and the class of the last error.
    failed = models.IntegerField()
    reached = models.IntegerField()
    code = models.CharField(max_length=40, blank=True)
    # Of the trial under way.
    tried = models.SmallIntegerField(default=0)
    passed = models.SmallIntegerField(default=0)
    refused = models.SmallIntegerField(default=0)

    objects = TeamScopedQuerySet["StepCircuit"].as_manager()

    class Meta:
        verbose_name = "circuit"
        indexes = [models.Index(fields=["retry_at"], name="circuit_due")]

    def __str__(self) -> str:
        return f"circuit of step {self.step_id}: {self.get_state_display()}"


class StepFailure(models.Model):
    """A record for which a step failed lately, once however often it was tried."""

    team_lookup = "step__pipeline__team"

    step = models.ForeignKey(PipelineStep, on_delete=models.CASCADE, related_name="+", db_index=False)
    # The id of the record, or the negative one of the run where a pipeline is about none.
    who = models.BigIntegerField()
    at = models.DateTimeField()
    # How many visits of the step had gone well before.
    passed = models.BigIntegerField()

    objects = TeamScopedQuerySet["StepFailure"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["step", "who"], name="failure_once_per_record")]
        indexes = [
            models.Index(fields=["step", "-at"], name="failure_newest"),
            models.Index(fields=["at"], name="failure_age"),
        ]

    def __str__(self) -> str:
        return f"step {self.step_id} failed for {self.who}"
