"""The way a run went, for the picture of its version."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from pipelines.definition.layout import every_place
from pipelines.definition.picture.graph import START
from pipelines.definition.picture.svg import Look, State
from pipelines.lineage import InnerRun, way_inside
from pipelines.models import PipelineRun, PipelineStep, StepExecution
from pipelines.states import RunStatus
from pipelines.story import Story, StoryVisit

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
    inner = way_inside(run, story.inside)
    if not inner:
        return own
    ids = {step_id for each in inner for step_id in (each.step_id, *(step for _, step, _ in each.visits))}
    keys = dict(PipelineStep.objects.filter(pk__in=[pk for pk in ids if pk]).values_list("pk", "key"))
    states, taken = dict(own.states), list(own.taken)
    ways = [(each, _add(each, keys, states, taken)) for each in inner]
    taken += [*_rounds(ways), *_between_branches(run.version.document, states)]
    return Look(states=states, taken=tuple(dict.fromkeys(taken)))


def _add(inner: InnerRun, keys: Mapping[int, str], states: dict[str, State], taken: list[tuple[str, str]]) -> list[str]:
    """What one branch or round did, on top of what others did at the same steps: what matters more is shown.

    Answers the steps it passed, in their order.
    """
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
    return way


def _rounds(ways: Sequence[tuple[InnerRun, list[str]]]) -> Iterator[tuple[str, str]]:
    """From the end of a round to the beginning of the next."""
    blocks: dict[tuple[int, int], list[tuple[int, list[str]]]] = defaultdict(list)
    for each, way in ways:
        if way:
            blocks[each.block].append((each.slot, way))
    for rounds in blocks.values():
        yield from ((before[-1], after[0]) for (_, before), (_, after) in pairwise(sorted(rounds)))


def _between_branches(document: Mapping[str, Any], states: Mapping[str, State]) -> Iterator[tuple[str, str]]:
    """From a branch to one that came after it, where both have done something."""
    found = list(every_place(document))
    went = {place.at[:end] for place in found if place.key in states for end in range(len(place.at))}
    for place in found:
        if place.step.get("type") != "parallel":
            continue
        branches = {str(each["name"]): (*place.at, "with", "branches", index) for index, each in _branches(place.step)}
        for _, branch in _branches(place.step):
            after, name = branch.get("after") or (), str(branch["name"])
            for source in [after] if isinstance(after, str) else after:
                before = source.partition(":")[0]
                if branches[name] in went and branches.get(before) in went:
                    yield f"{place.key}.{before}", f"{place.key}.{name}"


def _branches(step: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    given = step["with"].get("branches", ())
    return [(index, each) for index, each in enumerate(given) if isinstance(each, Mapping) and each.get("name")]


def _show(states: dict[str, State], key: str, state: State) -> None:
    if _WEIGHT[state] >= _WEIGHT.get(states.get(key, "skipped"), 0):
        states[key] = state


def _label(event: int) -> str:
    return StepExecution.Event(event).label


def _own_look(run: PipelineRun, story: Story) -> Look:
    visits = [visit for visit in story.own if visit.step_key and visit.event in _STATES]
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
