"""Replaying a run from a step: where it stands, or as a copy; what it sent before is sent again."""

from functools import partial
from typing import Any

from django.db import transaction

from pipelines.actions.registry import kinds
from pipelines.definition.program import Program, Step
from pipelines.definition.succession import fate
from pipelines.engine.clock import engine_now
from pipelines.engine.cursor import is_aside
from pipelines.engine.ending import call_off, end_runs, locked, locked_trees
from pipelines.engine.kick import kick
from pipelines.engine.programs import programs
from pipelines.engine.rekeying import at_no_race, reclaim_keys
from pipelines.models import Pipeline, PipelineRun, PipelineVersion, RunContext, StepExecution
from pipelines.states import RunPhase, RunStatus

MODES = ("in_place", "clone")
# They leave no message of their own, but what they begin does.
_TELLING = frozenset({"call", "enroll", "human_task", "notify"})


class CannotReplay(Exception):
    """Why a run cannot be replayed from there, in a sentence."""


class SendsAgain(CannotReplay):
    """Messages or calls would be sent again; whoever means it says so."""

    def __init__(self, steps: list[str]) -> None:
        names = ", ".join(steps)
        super().__init__(f"This sends again: {names}. Confirm that you want it.")
        self.steps = steps


def replay(
    *, run: PipelineRun, step: str, mode: str = "in_place", confirm: bool = False, by: Any = None
) -> PipelineRun:
    """Let a run go on from a step of its outermost list; the run that goes there.

    `in_place` moves the run itself and ends what it opened; `clone` starts a new run that remembers the same.
    Raises CannotReplay, and SendsAgain unless `confirm`.
    """
    if run.pipeline.status == Pipeline.Status.ARCHIVED:
        raise CannotReplay(f"{run.pipeline.name} is archived: duplicate it, and enroll the record there.")
    program = programs({run.version_id})[run.version_id].program
    target = _target(run, program, step)
    sent = [each.name or each.key for each in _coming(run, program, target) if _leaves(each)]
    if sent and not confirm:
        raise SendsAgain(sent)
    return at_no_race(partial(_go, run, target, mode))


def goes_by(run: PipelineRun) -> PipelineVersion:
    """The version that a run follows once it is replayed: the current one, unless it stays on its own."""
    current = run.pipeline.current_version
    stays = current is None or current.runs_policy == PipelineVersion.RunsPolicy.PIN or is_aside(run.dedup)
    return run.version if stays or current is None else current


def _go(run: PipelineRun, target: Step, mode: str) -> PipelineRun:
    found = _clone(run, target) if mode == "clone" else _move(run, target)
    transaction.on_commit(kick)
    return found


def _target(run: PipelineRun, program: Program, key: str) -> Step:
    if run.parent_id is not None:
        raise CannotReplay("Only a whole run can be replayed, not one of its branches.")
    step = program.by_key.get(key)
    if step is None:
        raise CannotReplay(f"There is no step '{key}' in the version of this run.")
    if step.scope:
        raise CannotReplay(f"'{key}' is inside a block; replay from the block itself.")
    return step


def _coming(run: PipelineRun, program: Program, target: Step) -> list[Step]:
    """Every step that may come from there on, in the version by which the run then goes."""
    version = goes_by(run)
    if version.pk == run.version_id:
        return _from(program, target)
    new = programs({version.pk})[version.pk].program
    there = fate(target.id, old=program, new=new).step_id
    return [] if there is None else _from(new, new.by_id[there])


def _from(program: Program, first: Step) -> list[Step]:
    """Every step that may come from here on, those inside blocks included."""
    found: dict[str, Step] = {}
    waiting = [first]
    while waiting:
        step = waiting.pop()
        if step.key in found:
            continue
        found[step.key] = step
        for outcome in ("next", *step.on):
            target = program.target(step, outcome)
            if not isinstance(target, str):
                waiting.append(target)
        if step.block is not None:
            inside = (f"{step.key}.", step.key)
            waiting += [each for each in program.steps if each.scope.startswith(inside[0]) or each.scope == inside[1]]
    return list(found.values())


def _leaves(step: Step) -> bool:
    """Whether a step does something outside that cannot be taken back, or tells people something by mail."""
    kind = kinds().get(step.kind)
    return step.kind in _TELLING or (kind is not None and kind.effects)


def _move(run: PipelineRun, target: Step) -> PipelineRun:
    now = engine_now()
    live = [pk for pk in locked_trees([run.pk]) if pk != run.pk]
    mine = locked([run.pk], [status.value for status in RunStatus]).get()
    if live:
        end_runs(live, now=now, reason="replayed")
    call_off([mine.pk], now=now)
    taken = reclaim_keys([mine.pk])
    if taken:
        raise CannotReplay(f"The record came in again since, in run {taken[mine.pk]}; replay a copy instead.")
    PipelineRun.objects.filter(pk=mine.pk).update(
        status=RunStatus.PENDING.value,
        phase=RunPhase.ENTER.value,
        step_id=target.id,
        last_step_id=mine.step_id,
        next_step_at=now,
        attempt=0,
        seq=mine.seq + 1,
        open_children=0,
        finished_at=None,
        outcome=None,
        reason=None,
        held_until=None,
    )
    _note(mine.pk, mine.seq, target, origin=None)
    return PipelineRun.objects.get(pk=mine.pk)


def _clone(run: PipelineRun, target: Step) -> PipelineRun:
    now = engine_now()
    copy = PipelineRun.objects.create(
        pipeline_id=run.pipeline_id,
        version_id=run.version_id,
        subject_type_id=run.subject_type_id,
        subject_id=run.subject_id,
        trigger_id=run.trigger_id,
        step_id=target.id,
        next_step_at=now,
        created_at=now,
        depth=run.depth,
        test=run.test,
    )
    kept = RunContext.objects.filter(run_id=run.pk).first()
    if kept is not None:
        RunContext.objects.create(run=copy, trigger=kept.trigger, vars=kept.vars, outputs=kept.outputs)
    _note(copy.pk, 0, target, origin=run.pk)
    return copy


def _note(run_id: int, seq: int, target: Step, *, origin: int | None) -> None:
    """A line of the run's story that says where it was put."""
    now = engine_now()
    why: dict[str, Any] = {"rule": "replay", "step": target.key}
    if origin is not None:
        why["origin"] = origin
    StepExecution.objects.create(
        at=now, run_id=run_id, step_id=target.id, seq=seq, event=StepExecution.Event.NOTE, started_at=now,
        finished_at=now, why=[why],
    )  # fmt: skip
