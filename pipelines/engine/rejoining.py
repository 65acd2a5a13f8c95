"""Runs between two steps take over the pipeline's current version at their claim, and keep their place in time."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from pipelines.definition.delays import DelayError, Skip
from pipelines.definition.program import Step
from pipelines.definition.succession import Fate, fate, standing
from pipelines.engine.cursor import Cursor, Visit
from pipelines.engine.journal import TOO_LATE, visit_of
from pipelines.engine.moves import due_at, leave
from pipelines.models import StepExecution
from pipelines.states import RunPhase, RunStatus

if TYPE_CHECKING:
    from pipelines.engine.batch import Batch

REASON: Final = "step_removed"
# How the error of a step begins whose delay cannot be worked out.
UNDATED: Final = "The delay of this step"
_PENDING: Final = RunStatus.PENDING.value
_BETWEEN: Final = frozenset({RunPhase.ENTER.value, RunPhase.RESCHEDULE.value})


def is_between(cursor: Cursor) -> bool:
    """Whether a run waits before a step, rather than inside one."""
    return cursor.status == _PENDING and cursor.phase in _BETWEEN


def rejoin(batch: "Batch", cursor: Cursor) -> None:
    """Take over the current version, if the pipeline's runs follow it and this one waits between steps.

    Mostly a publish has moved the run already; this is for those that arrived since, were paused or were
    inside a step. Child runs stay on the version of their parent.
    """
    current = _followed(batch, cursor) if is_between(cursor) else None
    if current is None:
        return
    newest = batch.programs[current].program
    old, cursor.version_id = batch.programs[cursor.version_id].program, current
    if cursor.step_id is not None:
        _apply(batch, cursor, fate(cursor.step_id, old=old, new=newest))


def way_out(batch: "Batch", cursor: Cursor, step: Step, outcome: str) -> tuple[int, Step]:
    """The version by whose edges a run leaves a step, and the step as it stands there.

    That is the current one, if the run follows it and the step is still there: nobody passes what was put behind it
    meanwhile. An outcome that only the older version names, such as an answer of its form, leads where that one says.
    """
    current = _followed(batch, cursor)
    if current is None:
        return cursor.version_id, step
    old, new = batch.programs[cursor.version_id].program, batch.programs[current].program
    there = standing(new, step.id)
    if there is None or (outcome in step.on and outcome not in there.on):
        return cursor.version_id, step
    ends = old.target(step, outcome)
    if isinstance(ends, str) and ends == new.target(there, outcome):
        return cursor.version_id, step
    return current, there


def _followed(batch: "Batch", cursor: Cursor) -> int | None:
    """The current version, if it is another one and the run follows it."""
    current = batch.facts[cursor.pipeline_id].current_version_id
    if current is None or current == cursor.version_id or cursor.parent_id is not None or cursor.is_aside:
        return None
    return None if batch.programs[current].pins else current


def reschedule(batch: "Batch") -> None:
    """Work out again when runs are due whose delay is more than a fixed wait; one statement more for a batch."""
    waiting = [cursor for cursor in batch.cursors if cursor.phase == RunPhase.RESCHEDULE and is_between(cursor)]
    if not waiting:
        return
    arrived = batch.store.last_ends([cursor.id for cursor in waiting])
    for cursor in waiting:
        _reschedule(batch, cursor, previous=arrived.get(cursor.id) or cursor.created_at)


def keep_undated(batch: "Batch") -> None:
    """Who did not come to its step, for it waits for a place, is asked for its date again before it does."""
    for cursor in batch.cursors if batch.undated else ():
        if cursor.id in batch.undated:
            cursor.phase = RunPhase.RESCHEDULE.value


def _apply(batch: "Batch", cursor: Cursor, found: Fate) -> None:
    match found.kind:
        case "stay":
            return
        case "complete":
            batch.visits.append(_moved(cursor, batch.now, to=None))
            cursor.finish(status=RunStatus.COMPLETED, reason=REASON, outcome="skipped", now=batch.now)
        case "pass_on":
            batch.visits.append(_moved(cursor, batch.now, to=found.step_id))
            cursor.step_id, cursor.attempt = found.step_id, 0
            cursor.seq += 1
            _shift(cursor, found.delta, batch.now)
        case "retime" if cursor.attempt == 0:
            _shift(cursor, found.delta, batch.now)


def _shift(cursor: Cursor, delta: float | None, now: datetime) -> None:
    if delta is None:
        cursor.phase, cursor.next_step_at = RunPhase.RESCHEDULE.value, now
    elif cursor.next_step_at is not None:
        cursor.next_step_at = max(cursor.next_step_at + timedelta(seconds=delta), now)


def _reschedule(batch: "Batch", cursor: Cursor, *, previous: datetime) -> None:
    program = batch.programs[cursor.version_id].program
    step = program.by_id.get(cursor.step_id or 0)
    cursor.phase = RunPhase.ENTER.value
    if step is None:
        return
    context = batch.context_of(cursor)
    try:
        due = due_at(step.delay, cursor=cursor, context=context, previous=previous)
    except DelayError as error:
        batch.undated[cursor.id] = f"{UNDATED}: {error}"
        return
    if isinstance(due, Skip):
        batch.visits.append(_too_late(cursor, step, batch.now))
        passed = leave(cursor, program=program, step=step, outcome="skipped", context=context, now=batch.now)
        batch.visits += [_too_late(cursor, each, batch.now) for each in passed]
    else:
        cursor.next_step_at = max(due, batch.now)


def _moved(cursor: Cursor, now: datetime, *, to: int | None) -> Visit:
    visit = visit_of(cursor, now, StepExecution.Event.MOVED, "skipped")
    visit.why = [{"rule": REASON, "to": to}]
    return visit


def _too_late(cursor: Cursor, step: Step, now: datetime) -> Visit:
    return visit_of(cursor, now, StepExecution.Event.SKIPPED, "skipped", error=TOO_LATE, step_id=step.id)
