"""Lets failed runs begin again: a block repeats what failed inside it, and goes on where it stood if nothing did."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When

from pipelines.actions.base import AGAIN, NOT_REACHED
from pipelines.definition.program import Program, Step
from pipelines.definition.succession import repeatable
from pipelines.engine.cursor import is_aside
from pipelines.engine.ending import CALLED_OFF
from pipelines.engine.programs import RUNNABLE, programs
from pipelines.engine.rejoining import UNDATED
from pipelines.models import Effect, PipelineRun, StepExecution
from pipelines.states import RunPhase, RunStatus
from pipelines.subjects import among

_BROKEN: Final = (RunStatus.FAILED.value, RunStatus.CANCELLED.value)
# What somebody cancelled stays so until somebody retries it, and an archived pipeline begins nothing by itself.
_REPEATED: Final = (Q(status=RunStatus.FAILED) | Q(status=RunStatus.CANCELLED, reason__in=(CALLED_OFF, AGAIN))) & (
    Q(pipeline=F("parent__pipeline")) | Q(pipeline__status__in=RUNNABLE)
)
_CLEAN: Final = {"attempt": 0, "finished_at": None, "outcome": None, "reason": None}


@dataclass(slots=True)
class _Run:
    """A run of a tree that begins again, and which of its children do."""

    id: int
    pipeline_id: int
    version_id: int
    step_id: int
    depth: int
    top: int
    has_children: bool = False
    broken: list[int] = field(default_factory=list)
    # One that waits until there is room for it, or is inside of one.
    later: bool = False


def begin_again(run_ids: Sequence[int], *, now: datetime, by_itself: bool = False) -> None:
    """Let ended runs, locked, begin their last step again as a new visit, by somebody's word or by itself.

    A block waits for those of its children again that failed or were cancelled, of a limited number at a time as many
    as it allows; the others keep what they did. Where no child did, nothing is repeated: the block is looked at again
    with what its children left, which is where it stood. It has its whole time again. The definition is the current
    one, as it is for every retry, if all that is repeated stands there as it did.
    """
    tree = _tree(run_ids, by_itself=by_itself)
    fresh = _take_over(tree)
    # What the tree looks like is known by the definition of before, how long a block has by the one of now.
    known = programs({run.version_id for run in tree.values()})
    steps = {run.id: known[run.version_id].program.by_id.get(run.step_id) for run in tree.values()}
    _put_off(tree, steps)
    starting = [run for run in tree.values() if not run.later]
    blocks = [run for run in starting if run.has_children and run.id not in fresh]
    _keep_children(blocks)
    _open_blocks(tree, blocks, steps, now)
    inside = {run.id for run in blocks}
    _enter([run.id for run in starting if run.id not in inside], now)


def repeat_inside(run_ids: Sequence[int], *, now: datetime) -> dict[int, int | None]:
    """Prepare blocks, locked and with nothing open, for another try of the same visit; the version each has now.

    As at every retry, only what failed or was called off inside is repeated, by the current definition if all that is
    repeated stands there as it did. The block decides itself what begins at once, and has its whole time again. Where
    nothing is left to repeat of a block that is gone, or another step now, there is no version: it is passed on.
    """
    tree = _tree(run_ids, by_itself=True)
    gone = _take_over(tree)
    tops = [tree[pk] for pk in run_ids]
    _children(tops).filter(reason=NOT_REACHED).delete()
    failed = [pk for run in tops for pk in run.broken]
    PipelineRun.objects.filter(pk__in=among(failed)).update(reason=AGAIN)
    known = programs({run.version_id for run in tops})
    by_timeout: dict[float | None, list[int]] = {}
    for run in tops:
        step = known[run.version_id].program.by_id.get(run.step_id)
        by_timeout.setdefault(step.timeout if step is not None else None, []).append(run.id)
    for timeout, ids in by_timeout.items():
        PipelineRun.objects.filter(pk__in=among(ids)).update(held_until=_deadline(timeout, now))
    return {run.id: None if run.id in gone else run.version_id for run in tops}


def _tree(run_ids: Sequence[int], *, by_itself: bool) -> dict[int, _Run]:
    """The runs and those of their children that have to be repeated, level by level."""
    tree: dict[int, _Run] = {}
    tops = {pk: pk for pk in run_ids}
    level = list(run_ids)
    while level:
        # Where it stands, or stood when it ended.
        step = Case(When(finished_at=None, then=F("step_id")), default=F("last_step_id"))
        rows = PipelineRun.objects.filter(pk__in=among(level)).values_list(
            "pk", "pipeline_id", "version_id", step, "depth"
        )
        for pk, pipeline_id, version_id, step_id, depth in rows:
            tree[pk] = _Run(pk, pipeline_id, version_id, step_id, depth, tops[pk])
        children = PipelineRun.objects.filter(parent_id__in=among(level), parent_seq=F("parent__seq"))
        level = []
        again = _REPEATED if by_itself else Q(status__in=_BROKEN)
        rows = children.order_by("slot", "pk").annotate(broken=Case(When(again, then=True), default=False))
        for pk, parent_id, broken in rows.values_list("pk", "parent_id", "broken"):
            parent = tree[parent_id]
            parent.has_children = True
            if broken:
                parent.broken.append(pk)
                tops[pk] = parent.top
                level.append(pk)
    return tree


def _take_over(tree: Mapping[int, _Run]) -> set[int]:
    """Let whole runs follow the current version with all that is repeated; those that stand before another step now."""
    moved: dict[int, list[int]] = {}
    entering: set[int] = set()
    trees: dict[int, list[_Run]] = {}
    for each in tree.values():
        trees.setdefault(each.top, []).append(each)
    for top, current in _followers(tree).items():
        run = tree[top]
        mine = [each for each in trees[top] if (each.depth, each.version_id) == (run.depth, run.version_id)]
        old, new = (programs({pk})[pk].program for pk in (run.version_id, current))
        if all(repeatable(old, new, each.step_id, begun=each.has_children) for each in mine):
            for each in mine:
                each.version_id = current
            moved.setdefault(current, []).extend(each.id for each in mine)
        elif not run.broken and _is_another(old, new, run.step_id):
            # Nothing of it is left to repeat: it is passed on at its claim like any other.
            entering.add(top)
    for version_id, ids in moved.items():
        PipelineRun.objects.filter(pk__in=among(ids)).update(version_id=version_id)
    return entering


def _followers(tree: Mapping[int, _Run]) -> dict[int, int]:
    """The current version by those whole runs that failed at a block under an older one, and follow."""
    stood = [run.id for run in tree.values() if run.id == run.top and run.has_children]
    rows = PipelineRun.objects.filter(pk__in=among(stood), parent=None).exclude(
        version_id=F("pipeline__current_version_id")
    )
    wanted = {
        pk: current
        for pk, current, dedup in rows.values_list("pk", "pipeline__current_version_id", "dedup")
        if current is not None and not is_aside(dedup)
    }
    known = programs({*wanted.values(), *(tree[pk].version_id for pk in wanted)})
    return {pk: current for pk, current in wanted.items() if not known[current].pins}


def _is_another(old: Program, new: Program, step_id: int) -> bool:
    here, there = old.by_id.get(step_id), new.by_id.get(step_id)
    return there is None or there.scope != "" or here is None or here.kind != there.kind


def _put_off(tree: Mapping[int, _Run], steps: Mapping[int, Step | None]) -> None:
    """Of the children of a block that runs few at a time, the others wait until it is looked at next."""
    for run in tree.values():
        step = steps[run.id]
        most = getattr(step.block, "concurrency", None) if step is not None else None
        for place, pk in enumerate(run.broken):
            tree[pk].later = run.later or (most is not None and place >= most)
    # All the way down: when their turn comes, what was cancelled inside of them is meant as well.
    waiting = [pk for run in tree.values() for pk in run.broken if tree[pk].later]
    if waiting:
        PipelineRun.objects.filter(pk__in=among(waiting)).update(reason=AGAIN)


def _keep_children(blocks: Sequence[_Run]) -> None:
    """The children of a block belong to its new visit; branches that were never reached are decided again."""
    if not blocks:
        return
    children = _children(blocks)
    children.filter(reason=NOT_REACHED).delete()
    kept = list(children.values_list("pk", flat=True))
    PipelineRun.objects.filter(pk__in=among(kept)).update(parent_seq=F("parent_seq") + 1)


def _children(blocks: Iterable[_Run]) -> QuerySet[PipelineRun]:
    """Those of the visits in which the blocks are."""
    return PipelineRun.objects.filter(parent_id__in=among([run.id for run in blocks]), parent_seq=F("parent__seq"))


def _deadline(timeout: float | None, now: datetime) -> datetime | None:
    return None if timeout is None else now + timedelta(seconds=timeout)


def _open_blocks(
    tree: Mapping[int, _Run], blocks: Sequence[_Run], steps: Mapping[int, Step | None], now: datetime
) -> None:
    """Wait for children again, or be looked at at once; a statement for each number of children and each timeout."""
    groups: dict[tuple[int, float | None], list[int]] = {}
    for run in blocks:
        step, starting = steps[run.id], sum(not tree[pk].later for pk in run.broken)
        groups.setdefault((starting, step.timeout if step is not None else None), []).append(run.id)
    for (count, timeout), ids in groups.items():
        deadline = _deadline(timeout, now)
        PipelineRun.objects.filter(pk__in=among(ids)).update(
            **_CLEAN, **_standing(count, deadline, now), step_id=F("last_step_id"), seq=F("seq") + 1
        )


def _standing(count: int, deadline: datetime | None, now: datetime) -> dict[str, Any]:
    if count:
        return {
            "status": RunStatus.WAITING.value, "phase": RunPhase.WAIT.value, "next_step_at": deadline,
            "held_until": None, "open_children": count, "wake_at": count - 1,
        }  # fmt: skip
    return {
        "status": RunStatus.PENDING.value, "phase": RunPhase.RESUME.value, "next_step_at": now,
        "held_until": deadline, "open_children": 0, "wake_at": 0,
    }  # fmt: skip


def _enter(run_ids: Sequence[int], now: datetime) -> None:
    left = _beyond_recall(run_ids)
    PipelineRun.objects.filter(pk__in=among(left)).update(
        finished_at=None, outcome=None, reason=None, status=RunStatus.RUNNING.value, next_step_at=now
    )
    run_ids = [pk for pk in run_ids if pk not in left]
    due = Case(When(status=RunStatus.CANCELLED, held_until__gt=now, then=F("held_until")), default=Value(now))
    PipelineRun.objects.filter(pk__in=among(run_ids)).update(
        **_CLEAN,
        held_until=None,
        status=RunStatus.PENDING.value,
        phase=_phase(),
        step_id=F("last_step_id"),
        next_step_at=due,
        open_children=0,
        seq=F("seq") + 1,
    )


def _beyond_recall(run_ids: Sequence[int]) -> set[int]:
    """Those called off when what they had asked for was on its way: it is not done twice, its answer counts."""
    status = Effect.Status
    kept = (status.SENDING, status.DONE, status.FAILED, status.UNCERTAIN)
    asked = Effect.objects.filter(run_id__in=among(run_ids), seq=F("run__seq"), n=0, status__in=kept)
    return set(asked.filter(run__status=RunStatus.CANCELLED).values_list("run_id", flat=True))


def _phase() -> Case:
    """Whoever failed before the step, for its delay had no date, waits for that date when there is one now."""
    undated = StepExecution.objects.filter(
        run_id=OuterRef("pk"), seq=OuterRef("seq"), event=StepExecution.Event.FAILED, error__startswith=UNDATED
    )
    again = Q(status=RunStatus.CANCELLED, phase=RunPhase.RESCHEDULE) | Exists(undated)
    return Case(When(again, then=Value(RunPhase.RESCHEDULE.value)), default=Value(RunPhase.ENTER.value))
