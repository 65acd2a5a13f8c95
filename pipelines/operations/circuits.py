"""What people do about a step whose circuit is open: try it again now, or let its runs fail."""

from django.db import transaction

from pipelines.engine import circuits
from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline, PipelineStep
from pipelines.operations.records import audit
from pipelines.operations.refusals import Refused


def try_step_again(*, pipeline: Pipeline, step: str, by: object = None) -> None:
    """Let a few through at once; when they pass, all others follow. Raises `Refused` where nobody waits."""
    with transaction.atomic():
        if not circuits.try_again(steps=_step(pipeline, step), now=engine_now()):
            raise Refused(_closed(step))
        audit(pipeline, "circuit_tried", by, step=step)


def let_step_fail(*, pipeline: Pipeline, step: str, by: object = None) -> None:
    """Let all who wait go on, and fail if they must, for a day. Raises `Refused` where nobody waits."""
    with transaction.atomic():
        if not circuits.let_fail(steps=_step(pipeline, step), now=engine_now()):
            raise Refused(_closed(step))
        audit(pipeline, "circuit_off", by, step=step)


def _step(pipeline: Pipeline, key: str) -> list[int]:
    return list(PipelineStep.objects.filter(pipeline=pipeline, key=key).values_list("pk", flat=True))


def _closed(step: str) -> str:
    return f"“{step[:40]}” keeps nobody: its circuit is closed, or there is no such step."
