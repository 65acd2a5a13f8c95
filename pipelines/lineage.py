"""What happened in the runs inside a run: its branches, the rounds of its loops, and theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipelines.models import PipelineRun, StepExecution
from pipelines.states import RunStatus

# Enough for a picture: a loop may have ten thousand rounds, which all pass the same steps.
MOST_RUNS: Final = 1_000
MOST_VISITS: Final = 10_000
DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class InnerRun:
    """A branch, a round or a call: the visits as (seq, step, event) in their order, and where it stands.

    `block` names the visit of a block that it belongs to, and `slot` which of its branches or rounds it is.
    """

    status: RunStatus
    step_id: int | None
    block: tuple[int, int]
    slot: int
    visits: list[tuple[int, int, int]] = field(default_factory=list)


def inner_runs(run: PipelineRun) -> list[InnerRun]:
    """Every run inside this one, as many as a picture needs; a statement for each depth, and one for the visits."""
    found: dict[int, InnerRun] = {}
    parents: Sequence[int] = [run.pk]
    for _ in range(DEEPEST):
        rows = list(
            PipelineRun.objects.filter(parent_id__in=parents, version_id=run.version_id)
            .order_by("-pk")
            .values_list("pk", "status", "step_id", "parent_id", "parent_seq", "slot")[:MOST_RUNS]
        )
        if not rows:
            break
        found |= {
            pk: InnerRun(RunStatus(status), step_id, (parent_id or 0, seq), slot)
            for pk, status, step_id, parent_id, seq, slot in rows
        }
        parents = [row[0] for row in rows]
    if found:
        _add_visits(found)
    return list(found.values())


def _add_visits(found: Mapping[int, InnerRun]) -> None:
    newest = StepExecution.objects.filter(run_id__in=list(found)).order_by("-id")
    rows = list(newest.values_list("run_id", "seq", "step_id", "event")[:MOST_VISITS])
    for run_id, seq, step_id, event in reversed(rows):
        found[run_id].visits.append((seq, step_id, event))
