"""Figures of one pipeline, each in a fixed number of statements."""

from datetime import datetime
from typing import Any

from django.db.models import Avg, Count, F, Sum

from pipelines.circuits import circuits_of
from pipelines.models import Pipeline, PipelineRun, PipelineStep, StepStat
from pipelines.queries import StepCounts, runs_by_step
from pipelines.states import RunStatus


def pipeline_metrics(*, pipeline: Pipeline, now: datetime) -> dict[str, Any]:
    """Runs by status, the share that completed of those that ended, seconds from start to end, and each step."""
    rows = (
        PipelineRun.objects.came_in().filter(pipeline=pipeline).order_by().values_list("status").annotate(n=Count("pk"))
    )
    runs = {status.name.lower(): 0 for status in RunStatus}
    runs |= {RunStatus(status).name.lower(): n for status, n in rows}
    ended = runs["completed"] + runs["failed"]
    return {
        "runs": runs,
        "total": sum(runs.values()),
        "success_rate": round(runs["completed"] / ended, 4) if ended else None,
        "elapsed_seconds": _elapsed(pipeline),
        "steps": _steps(pipeline, now),
    }


def _elapsed(pipeline: Pipeline) -> float | None:
    done = PipelineRun.objects.came_in().filter(pipeline=pipeline, status=RunStatus.COMPLETED.value)
    mean = done.aggregate(mean=Avg(F("finished_at") - F("created_at")))["mean"]
    return round(mean.total_seconds(), 1) if mean is not None else None


def _steps(pipeline: Pipeline, now: datetime) -> list[dict[str, Any]]:
    """Every step with who stands there and how its visits ended."""
    standing = runs_by_step(pipeline=pipeline, now=now)
    steps = list(PipelineStep.objects.filter(pipeline=pipeline, archived_at=None).order_by("number"))
    outcomes: dict[int, dict[str, int]] = {}
    stats = StepStat.objects.filter(step_id__in=[step.pk for step in steps]).order_by()
    for step_id, outcome, n in stats.values_list("step_id", "outcome").annotate(total=Sum("n")):
        outcomes.setdefault(step_id, {})[outcome] = n
    circuits = {each.step: each.state for each in circuits_of(pipeline=pipeline, now=now)}
    return [
        _step(step, standing.get(step.pk, StepCounts()), outcomes.get(step.pk, {}), circuits.get(step.key))
        for step in steps
    ]


def _step(step: PipelineStep, counts: StepCounts, outcomes: dict[str, int], circuit: str | None) -> dict[str, Any]:
    return {
        "key": step.key,
        "name": step.name or step.key,
        "action": step.action_type,
        "waiting": counts.waiting,
        "due": counts.due,
        "running": counts.running,
        "failed": counts.failed,
        "outcomes": outcomes,
        "circuit": circuit,
    }
