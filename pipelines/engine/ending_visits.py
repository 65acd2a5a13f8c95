"""How a visit ends: as done, by its error edge, to be tried again, or as a block whose children have ended."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pipelines.actions.base import Fail, Input, Joined
from pipelines.definition.program import Step
from pipelines.engine.assigning import NOTHING, set_by
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.engine.journal import TOO_LATE, log_visit, visit_of
from pipelines.engine.moves import CIRCLE, TOO_MANY_VISITS, leave
from pipelines.engine.plain import fits, plain, too_large
from pipelines.engine.rejoining import way_out
from pipelines.engine.trying_again import block_waits, next_try
from pipelines.models import StepExecution
from pipelines.states import RunPhase, RunStatus

Log = StepExecution.Event


def join(batch: Batch, step: Step, cursor: Cursor, visit: Input, outcome: Joined) -> None:
    """Leave a block: what its children left becomes visible, then the visit ends like any other."""
    if outcome.error and block_waits(batch, step, cursor, outcome):
        return
    reads = batch.reads(cursor)
    memory = batch.memory_of(cursor) if outcome.exported or outcome.outputs else None
    if memory is not None:
        memory.assign(plain(outcome.exported))
        for key, output in outcome.outputs.items():
            if key in reads:
                memory.keep(key, plain(output))
    seen = visit._replace(context=batch.context_of(cursor))
    if outcome.error:
        fail(batch, step, cursor, seen, Fail(outcome.error, code=outcome.code, why=outcome.why), outcome.output)
        return
    event = Log.TIMED_OUT if outcome.outcome == "timeout" else Log.COMPLETED
    end_visit(batch, step, cursor, seen, outcome=outcome.outcome, event=event, why=outcome.why, output=outcome.output)


def retry_or_fail(
    batch: Batch,
    step: Step,
    cursor: Cursor,
    visit: Input,
    failure: Fail,
    *,
    after: float | None = None,
    phase: RunPhase | None = None,
) -> None:
    """Wait for the next try, before the step or in the given phase, if its rule gives one; else `fail`."""
    if step.id == batch.trial:
        batch.spare(cursor)
        if phase is not None:
            cursor.phase = phase.value
        return
    wait = next_try(step, cursor, code=failure.code)
    if wait is None:
        fail(batch, step, cursor, visit, failure)
        return
    log_visit(batch, step, cursor, event=Log.RETRIED, outcome=None, error=failure.error, why=failure.why)
    wait = max(wait, after) if after is not None else wait
    cursor.postpone(until=batch.now + timedelta(seconds=wait), attempt=cursor.attempt + 1)
    if phase is not None:
        cursor.phase = phase.value


def fail(
    batch: Batch,
    step: Step,
    cursor: Cursor,
    visit: Input,
    failure: Fail,
    output: Mapping[str, Any] | None = None,
    logged: Mapping[str, Any] | None = None,
) -> None:
    """Follow the error edge; where it does not lead to failure the visit counts as skipped."""
    version_id, there = way_out(batch, cursor, step, "error")
    goes_on = batch.programs[version_id].program.target(there, "error") != "fail"
    wrong = {"error": {"code": failure.code, "message": failure.error}}
    end_visit(
        batch, step, cursor, visit,
        outcome="error", event=Log.SKIPPED if goes_on else Log.FAILED,
        why=failure.why, output={**(output or {}), **wrong}, error=failure.error,
        logged=None if logged is None else {**logged, **wrong},
    )  # fmt: skip


def end_visit(
    batch: Batch,
    step: Step,
    cursor: Cursor,
    visit: Input,
    *,
    outcome: str,
    event: int,
    why: Sequence[Mapping[str, Any]] = (),
    output: Mapping[str, Any] | None = None,
    error: str | None = None,
    logged: Mapping[str, Any] | None = None,
) -> None:
    """Close a visit: log it, remember its output if someone reads it, and follow its edge."""
    loaded = batch.programs[cursor.version_id]
    shown = plain(output) if output is not None else None
    read = shown is not None and step.key in batch.reads(cursor)
    context = visit.context
    if read or step.assign:
        context = dict(visit.context)
        if shown is not None:
            context["steps"] = {**context["steps"], step.key: shown}
    assigned = NOTHING
    if step.assign:
        assigned = set_by(step, loaded.program, context, brought_nothing=outcome in ("error", "skipped"))
    if assigned.wrong and outcome != "error":
        fail(batch, step, cursor, visit, Fail(assigned.wrong, code="validation", why=tuple(why)), output, logged)
        return
    log_visit(
        batch, step, cursor, event=event, outcome=outcome, why=why,
        output=shown if logged is None else plain(logged), error=error,
    )  # fmt: skip
    row = batch.visits[-1]
    if read and shown is not None:
        batch.memory_of(cursor).keep(step.key, shown)
    for note in assigned.notes:
        if note != error:
            log_visit(batch, step, cursor, event=Log.NOTE, outcome=None, error=note)
    if assigned.values:
        batch.memory_of(cursor).assign(assigned.values)
        context = {**context, **assigned.values}
    if batch.memories and not fits(batch.memories.get(cursor.id)):
        row.event, row.outcome, row.output, row.error = Log.FAILED.value, "error", None, too_large()
        cursor.finish(status=RunStatus.FAILED, reason="context_too_large", outcome="error", now=batch.now)
        return
    cursor.version_id, there = way_out(batch, cursor, step, outcome)
    program = batch.programs[cursor.version_id].program
    skipped = leave(cursor, program=program, step=there, outcome=outcome, context=context, now=batch.now)
    if cursor.reason == TOO_MANY_VISITS:
        # The visit went well; what stands beside it says why there is no other.
        batch.visits.append(visit_of(cursor, batch.now, Log.NOTE, None, error=CIRCLE, step_id=step.id))
    for past in skipped:
        batch.visits.append(visit_of(cursor, batch.now, Log.SKIPPED, "skipped", error=TOO_LATE, step_id=past.id))
