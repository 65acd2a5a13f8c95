"""The way a run went, for the picture of its version."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from pipelines.definition.picture.graph import START
from pipelines.definition.picture.svg import Look, State
from pipelines.lineage import InnerRun, inner_runs
from pipelines.models import PipelineRun, PipelineStep, StepExecution
from pipelines.queries import Story, StoryVisit
from pipelines.states import RunStatus

_STATES: Final[dict[str, State]] = {
    StepExecution.Event.COMPLETED.label: "done",
    StepExecution.Event.TIMED_OUT.label: "done",
    StepExecution.Event.FAILED.label: "failed",
    StepExecution.Event.SKIPPED.label: "skipped",
    StepExecution.Event.MOVED.label: "skipped",
}
_OPEN: Final = frozenset({RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED, RunStatus.PENDING})
# Many rounds pass one step: a failure is what one looks for, then where somebody stands.
_WEIGHT: Final[dict[State, int]] = {"skipped": 0, "done": 1, "now": 2, "failed": 3}
_ENDS: Final = {RunStatus.COMPLETED: "end", RunStatus.FAILED: "fail"}


def path_look(run: PipelineRun, story: Story) -> Look:
    """Steps it passed and ways it took, inside its blocks too; the step it stands before or in is marked as now."""
    own = _own_look(run, story)
    inner = inner_runs(run)
    if not inner:
        return own
    ids = {step_id for each in inner for step_id in (each.step_id, *(step for _, step, _ in each.visits))}
    keys = dict(PipelineStep.objects.filter(pk__in=[pk for pk in ids if pk]).values_list("pk", "key"))
    states, taken = dict(own.states), list(own.taken)
    for each in inner:
        _add(each, keys, states, taken)
    return Look(states=states, taken=tuple(dict.fromkeys(taken)))


def _add(inner: InnerRun, keys: Mapping[int, str], states: dict[str, State], taken: list[tuple[str, str]]) -> None:
    """What one branch or round did, on top of what others did at the same steps: what matters more is shown."""
    visits = [
        (seq, keys[step], _STATES[_label(event)])
        for seq, step, event in inner.visits
        if step in keys and _label(event) in _STATES
    ]
    turns = {seq: key for seq, key, _ in visits}
    for _, key, state in visits:
        _show(states, key, state)
    way = [turns[seq] for seq in sorted(turns)]
    here = keys.get(inner.step_id or 0, "") if inner.status in _OPEN else ""
    if here:
        _show(states, here, "now")
        way = [*way, here] if not way or way[-1] != here else way
    taken += pairwise(way)
    end = _ENDS.get(inner.status)
    if end and way:
        taken.append((way[-1], end))


def _show(states: dict[str, State], key: str, state: State) -> None:
    if _WEIGHT[state] >= _WEIGHT.get(states.get(key, "skipped"), 0):
        states[key] = state


def _label(event: int) -> str:
    return StepExecution.Event(event).label


def _own_look(run: PipelineRun, story: Story) -> Look:
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
    return run.status in _OPEN
