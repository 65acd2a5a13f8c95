"""What stands beside the steps on the page of a pipeline: problems, picture, and runs by step."""

from typing import Any

from django.urls import reverse
from django.utils import timezone

from pipelines import pictures
from pipelines.actions.registry import kinds
from pipelines.admin.buttons import live_runs, page_of
from pipelines.admin.problems import linked_problems
from pipelines.circuits import circuits_of
from pipelines.definition.document import checksum
from pipelines.definition.picture.svg import Look
from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline, PipelineStep
from pipelines.queries import StepCounts, runs_by_step
from pipelines.step_rows import outline


def page_context(pipeline: Pipeline, *, editable: bool) -> dict[str, Any]:
    """Everything the page shows beside its form; problems for whoever may mend them."""
    document = document_of(pipeline)
    counts = runs_by_step(pipeline=pipeline, now=timezone.now())
    steps = list(pipeline.steps.all())
    version = pipeline.current_version
    standing = {step.key: total(counts.get(step.pk, StepCounts())) for step in steps}
    return {
        "pipeline": pipeline,
        "version": version,
        "is_changed": version is not None and version.checksum != checksum(document),
        "standing_total": live_runs(pipeline),
        "failed_total": sum(each.failed for each in counts.values()),
        "problems": linked_problems(document=document, team=pipeline.team) if editable else [],
        "picture": pictures.on_page(document, look=Look(counts=standing, links="#step-"), title=pipeline.name),
        "circuits": circuits_of(pipeline=pipeline, now=engine_now()),
        "lanes": _lanes(pipeline, steps, counts),
        "runs_address": f"{reverse('admin:pipelines_pipelinerun_changelist')}?pipeline__id__exact={pipeline.pk}",
        "pipeline_address": page_of(pipeline),
    }


def _lanes(pipeline: Pipeline, steps: list[PipelineStep], counts: dict[int, StepCounts]) -> list[dict[str, Any]]:
    """One row per step that exists, or was removed while runs still stand there."""
    largest = max((total(each) for each in counts.values()), default=0) or 1
    shown = [step for step in steps if step.archived_at is None or step.pk in counts]
    found = []
    for depth, step in outline(shown):
        each = counts.get(step.pk, StepCounts())
        parts = [("waiting", each.waiting), ("due", each.due), ("running", each.running), ("failed", each.failed)]
        kind = kinds().get(step.action_type)
        found.append(
            {
                "step": step,
                "depth": range(depth),
                "title": step.name or (kind.label if kind else step.action_type),
                "total": total(each),
                "parts": [(name, n) for name, n in parts if n],
                "rects": _rects(parts, largest),
            }
        )
    return found


def _rects(parts: list[tuple[str, int]], largest: int) -> list[dict[str, str]]:
    """Pieces of a bar of 100 units; numbers as text, because a comma would break the drawing."""
    found, x = [], 0.0
    for name, count in parts:
        width = 100 * count / largest
        found.append({"name": name, "x": f"{x:.2f}", "width": f"{width:.2f}"})
        x += width
    return found


def total(counts: StepCounts) -> int:
    """All runs that stand at a step."""
    return counts.waiting + counts.due + counts.running + counts.failed
