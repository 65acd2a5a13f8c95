"""Blocks: a run opens child runs, waits for them and goes on with what they left."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pipelines.actions.base import (
    SKIPPED,
    Child,
    ChildResult,
    Exit,
    Fail,
    Input,
    Joined,
    Kind,
    Outcome,
    Spawn,
)
from pipelines.actions.inside import MOST_TOLD, broken
from pipelines.definition.blocks import Loop, Parallel
from pipelines.definition.delays import Delay, DelayError
from pipelines.definition.program import Program, Step
from pipelines.definition.variables import MisfitError, held
from pipelines.engine.batch import Batch
from pipelines.engine.cause import MAX_DEPTH
from pipelines.engine.cursor import Cursor, Family, NewRun
from pipelines.engine.ending import CALLED_OFF
from pipelines.engine.entry import first_due
from pipelines.engine.plain import fits, plain, too_large
from pipelines.engine.programs import is_read
from pipelines.states import RunPhase, RunStatus

TOO_DEEP = f"Stopped: more than {MAX_DEPTH} pipelines in a row have called each other."


class Impossible(Exception):
    """A child cannot be started, and why."""


def with_children(batch: Batch, step: Step, visits: Sequence[tuple[Cursor, Input]]) -> list[tuple[Cursor, Input]]:
    """Visits that come back to a block, with how their children stand: two statements, three with what they left."""
    families = batch.store.families({cursor.id: cursor.seq for cursor, _ in visits})
    found = [(cursor, _seen(cursor, visit, families.get(cursor.id))) for cursor, visit in visits]
    batch.began.update({cursor.id: visit.children[0].started_at for cursor, visit in found if visit.children})
    wanted = [run_id for _, visit in found for run_id in _read_before_the_end(step, visit)]
    return _filled(batch, found, wanted) if wanted else found


def decided(
    batch: Batch, kind: Kind, step: Step, visits: Sequence[tuple[Cursor, Input]], outcomes: Sequence[Outcome]
) -> tuple[list[tuple[Cursor, Input]], list[Outcome]]:
    """Blocks that end are decided again with all that their children left; the open ones are called off.

    Blocks that fail are decided once more, with what failed inside them.

    A visit whose open child is just being moved by another worker is left for the next pass.
    """
    ending = [pair for pair, outcome in zip(visits, outcomes, strict=True) if isinstance(outcome, Joined)]
    kept = {cursor.id: outcome for (cursor, _), outcome in zip(visits, outcomes, strict=True)}
    inputs = {cursor.id: visit for cursor, visit in visits}
    if ending and _is_read(batch, step, ending[0][0]):
        wanted = [child.run_id for _, visit in ending for child in visit.children if child.finished]
        again = _filled(batch, ending, wanted)
        inputs.update({cursor.id: visit for cursor, visit in again})
        fresh = kind.resume(step, [visit for _, visit in again])
        kept.update({cursor.id: outcome for (cursor, _), outcome in zip(again, fresh, strict=True)})
    _tell_failures(batch, kind, step, inputs, kept)
    busy = _call_off(batch, [(cursor, inputs[cursor.id]) for cursor, _ in visits if _leaves_open(kept[cursor.id])])
    batch.held |= busy
    left = [(cursor, inputs[cursor.id]) for cursor, _ in visits if cursor.id not in busy]
    for cursor, visit in left:
        if visit.children:
            # Whoever goes on waiting counts anew.
            cursor.counts = (0, 0)
    return left, [kept[cursor.id] for cursor, _ in left]


def _is_read(batch: Batch, step: Step, cursor: Cursor) -> bool:
    loaded = batch.programs[cursor.version_id]
    return step.key in loaded.read_blocks or (
        bool(loaded.template_keys) and is_read(step, loaded.program, batch.reads(cursor))
    )


def spawn(batch: Batch, step: Step, cursor: Cursor, visit: Input, outcome: Spawn) -> None:
    """Plan the rows of new children; raises Impossible with a sentence."""
    children = [_given(batch, cursor, child) for child in outcome.children]
    rows = [(child, _row(batch, cursor, visit, child)) for child in children]
    memory = batch.memory_of(cursor) if outcome.exported or outcome.kept else None
    if memory is not None:
        memory.assign(plain(outcome.exported))
        memory.name(plain(outcome.kept))
        if not fits(memory):
            raise Impossible(too_large())
    started = sum(1 for child in outcome.children if not child.skipped)
    still_open = len(outcome.again) + sum(1 for child in visit.children if child.running)
    batch.spawned.extend(rows)
    batch.again.extend(outcome.again)
    cursor.counts = (still_open + started, outcome.wake_at)
    cursor.wait(deadline=outcome.deadline)


def start(batch: Batch, cursor: Cursor, visit: Input, children: Sequence[Child]) -> None:
    """Plan the rows of pipelines that go on alone; raises Impossible with a sentence."""
    for child in [_given(batch, cursor, child) for child in children]:
        row = _row(batch, cursor, visit, child)
        row.parent_id = row.root_id = None
        row.parent_seq, row.slot = 0, len(batch.spawned)
        batch.spawned.append((child, row))


def _seen(cursor: Cursor, visit: Input, family: Family | None) -> Input:
    if family is None:
        return visit
    # Who was woken keeps the deadline aside; who still waits is due at it.
    deadline = cursor.next_step_at if cursor.status == RunStatus.WAITING else family.deadline
    return visit._replace(children=tuple(family.children), deadline=deadline)


def _read_before_the_end(step: Step, visit: Input) -> list[int]:
    """Children whose variables decide whether the block goes on: all, or in a row the last."""
    block = step.block
    finished = [child for child in visit.children if child.finished]
    if block is None or not finished:
        return []
    ordered = isinstance(block, Parallel) and any(branch.after for branch in block.branches)
    if ordered or not isinstance(block.join, str | int):
        return [child.run_id for child in finished]
    if isinstance(block, Loop) and (_asks_its_rounds(block) or (block.export and block.concurrency == 1)):
        return [max(finished, key=lambda child: child.slot).run_id]
    return []


def _asks_its_rounds(block: Loop) -> bool:
    """Whether its condition may read the output of a step, which may be one of its own."""
    asked = [condition for condition in (block.while_, block.until) if condition is not None]
    return any(path[0] == "steps" for condition in asked for path in condition.paths)


def _filled(batch: Batch, visits: Sequence[tuple[Cursor, Input]], wanted: Sequence[int]) -> list[tuple[Cursor, Input]]:
    memories = batch.store.load_memories(wanted)
    filled = []
    for cursor, visit in visits:
        children = tuple(
            replace(child, vars=memory.vars, outputs=memory.outputs)
            if (memory := memories.get(child.run_id)) is not None
            else child
            for child in visit.children
        )
        filled.append((cursor, visit._replace(children=children)))
    return filled


def _tell_failures(batch: Batch, kind: Kind, step: Step, inputs: Mapping[int, Input], kept: dict[int, Outcome]) -> None:
    """Blocks that fail say what failed inside them: one statement for all."""
    failing = [run_id for run_id, outcome in kept.items() if isinstance(outcome, Joined) and outcome.error]
    named = {run_id: broken(inputs[run_id].children)[:MOST_TOLD] for run_id in failing}
    wanted = [child.run_id for children in named.values() for child in children]
    if not wanted:
        return
    found = batch.store.failures(wanted)
    visits = [inputs[run_id]._replace(children=_with_failures(inputs[run_id], found)) for run_id in failing]
    kept.update(zip(failing, kind.resume(step, visits), strict=True))


def _with_failures(visit: Input, found: Mapping[int, tuple[str, str]]) -> tuple[ChildResult, ...]:
    return tuple(
        replace(child, failed_at=found[child.run_id][0], error=found[child.run_id][1])
        if child.run_id in found
        else child
        for child in visit.children
    )


def _leaves_open(outcome: Outcome) -> bool:
    return isinstance(outcome, Exit | Fail) or (isinstance(outcome, Joined) and outcome.cancel_rest)


def _call_off(batch: Batch, visits: Sequence[tuple[Cursor, Input]]) -> set[int]:
    """End the open children of these visits; the visits of which one cannot be locked now."""
    families = {cursor.id: [child.run_id for child in visit.children if child.running] for cursor, visit in visits}
    families = {run_id: ids for run_id, ids in families.items() if ids}
    if not families:
        return set()
    locked, busy = batch.store.lock_descendants(families)
    if locked:
        batch.store.end_runs(locked, reason=CALLED_OFF, now=batch.now)
    return busy


def _row(batch: Batch, cursor: Cursor, visit: Input, child: Child) -> NewRun:
    program, version_id, pipeline_id, depth = _target(batch, cursor, child)
    first = program.scopes[child.scope][0]
    if child.skipped:
        return _skipped(batch, cursor, child, first)
    due, phase = _first_due(first.delay, visit, child, now=batch.now)
    row = _new(batch, cursor, child, first, pipeline_id, version_id, depth, due)
    row.phase = phase
    return row


def _first_due(delay: Delay, visit: Input, child: Child, *, now: datetime) -> tuple[datetime, int]:
    """When the first step of a child is due; where only the child knows that, it looks as soon as it is there.

    A delay that cannot be worked out is an error of that step, so that only this child takes its error edge.
    """
    later = now, RunPhase.RESCHEDULE.value
    if delay.paths and (child.pipeline or child.vars or child.outputs):
        return later
    try:
        return first_due(delay, context={**visit.context, **child.locals}, now=now)
    except DelayError:
        return later


def _given(batch: Batch, cursor: Cursor, child: Child) -> Child:
    """A child as it begins: a called pipeline is held to the variables it declares."""
    if not child.pipeline:
        return child
    program = _target(batch, cursor, child)[0]
    try:
        values = held(program.types, child.vars)
    except MisfitError as error:
        raise Impossible(f"with.set.{error}") from None
    missing = next((name for name in program.required if values.get(name) is None), None)
    if missing is not None:
        raise Impossible(f"with.set.{missing}: '{child.pipeline}' needs a value for it")
    return replace(child, vars=values)


def _skipped(batch: Batch, cursor: Cursor, child: Child, first: Step) -> NewRun:
    """A branch that never runs is a row that has ended, so that nobody decides about it twice."""
    row = _new(batch, cursor, child, first, cursor.pipeline_id, cursor.version_id, cursor.depth, None)
    row.status, row.outcome, row.reason = RunStatus.COMPLETED.value, SKIPPED, child.skipped
    row.finished_at = batch.now
    return row


def _new(
    batch: Batch,
    cursor: Cursor,
    child: Child,
    first: Step,
    pipeline_id: int,
    version_id: int,
    depth: int,
    due: datetime | None,
) -> NewRun:
    return NewRun(
        pipeline_id=pipeline_id,
        version_id=version_id,
        subject_type_id=cursor.subject_type_id,
        subject_id=cursor.subject_id,
        trigger_id=cursor.trigger_id,
        dedup=None,
        step_id=first.id,
        next_step_at=due,
        created_at=batch.now,
        depth=depth,
        test=cursor.test,
        parent_seq=cursor.seq,
        slot=child.slot,
        parent_id=cursor.id,
        root_id=cursor.root_id or cursor.id,
    )


def _target(batch: Batch, cursor: Cursor, child: Child) -> tuple[Program, int, int, int]:
    """Program, version, pipeline and depth of a child: a scope of this program, or another pipeline as it is now."""
    if not child.pipeline:
        return batch.programs[cursor.version_id].program, cursor.version_id, cursor.pipeline_id, cursor.depth
    called = batch.called(cursor, child.pipeline)
    if called is None or called.current_version_id is None:
        raise Impossible(f"There is no published pipeline '{child.pipeline}' in this team.")
    if cursor.depth + 1 > MAX_DEPTH:
        raise Impossible(TOO_DEEP)
    version_id = called.current_version_id
    return batch.programs[version_id].program, version_id, called.id, cursor.depth + 1
