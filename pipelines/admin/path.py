"""The way a run went, for the picture of its version."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from pipelines.definition.picture.graph import START
from pipelines.definition.picture.svg import Look, State
from pipelines.models import PipelineRun, StepExecution
from pipelines.queries import Story, StoryVisit
from pipelines.states import RunStatus

_STATES: Final[dict[str, State]] = {
    StepExecution.Event.COMPLETED.label: "done",
    StepExecution.Event.TIMED_OUT.label: "done",
    StepExecution.Event.FAILED.label: "failed",
    StepExecution.Event.SKIPPED.label: "skipped",
    StepExecution.Event.MOVED.label: "skipped",
}
_ENDS: Final = {RunStatus.COMPLETED: "end", RunStatus.FAILED: "fail"}


def path_look(run: PipelineRun, story: Story) -> Look:
    """Steps it passed and ways it took; the step it stands before or in is marked as now."""
    visits = [visit for visit in story.visits if visit.step_key and visit.event in _STATES]
    states = {visit.step_key: _STATES[visit.event] for visit in visits}
    keys = _in_turn(visits)
    here = story.next_step.key if story.next_step is not None else run.step.key if _stands(run) and run.step else ""
    if here:
        states[here] = "now"
        keys = [*keys, here] if not keys or keys[-1] != here or run.status == RunStatus.PENDING else keys
    taken = [(START, keys[0])] if keys else []
    taken += list(pairwise(keys))
    end = _ENDS.get(RunStatus(run.status))
    if end and keys:
        taken.append((keys[-1], end))
    return Look(states=states, taken=tuple(taken))


def _in_turn(visits: Sequence[StoryVisit]) -> list[str]:
    """The keys of the visits in their order; attempts at one visit count once."""
    turns = {visit.seq: visit.step_key for visit in visits}
    return [turns[seq] for seq in sorted(turns)]


def _stands(run: PipelineRun) -> bool:
    return run.status in (RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED, RunStatus.PENDING)
