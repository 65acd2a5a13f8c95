"""One group of visits at one step: plan them, and apply what each decided."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any, assert_never

from django.db import transaction

from pipelines.actions.base import (
    TERMINATE,
    Await,
    Create,
    Done,
    Enroll,
    Exit,
    Fail,
    Input,
    Joined,
    Kind,
    MakeSegment,
    Member,
    Outcome,
    Retry,
    Set,
    Spawn,
    Unenroll,
    Update,
    WaitFor,
    WaitUntil,
)
from pipelines.actions.registry import kinds
from pipelines.definition.program import Step
from pipelines.definition.retries import retry_after
from pipelines.definition.variables import MisfitError
from pipelines.engine.assigning import NOTHING, set_by, written
from pipelines.engine.batch import Batch
from pipelines.engine.blocks import Impossible, decided, spawn, start, with_children
from pipelines.engine.cause import caused_by
from pipelines.engine.cursor import Cursor
from pipelines.engine.journal import TOO_LATE, log_visit, visit_of
from pipelines.engine.moves import CIRCLE, TOO_MANY_VISITS, leave
from pipelines.engine.patching import load_related, patch
from pipelines.engine.plain import TOO_LARGE, fits, plain
from pipelines.engine.searching import searched
from pipelines.engine.writing.making import make_records
from pipelines.models import StepExecution
from pipelines.states import RunPhase, RunStatus

Log = StepExecution.Event
# A running step is looked at again after this long if no answer came back.
WATCHDOG = timedelta(minutes=10)
RETRY_UNKNOWN = 60.0


def run_step(batch: Batch, step: Step, cursors: Sequence[Cursor], *, resuming: bool) -> None:
    """Visit one step with many runs: enter it, or leave it with the answers that came back."""
    kind = kinds().get(step.kind)
    if kind is None:
        _leave_for_newer_code(batch, step, cursors)
        return
    entering: list[tuple[Cursor, Input]] = []
    # Runs of one group have one version, so one pipeline and one team.
    team_id = batch.facts[cursors[0].pipeline_id].team.id
    guarded = step.guard is not None and step.kind != "condition" and not resuming
    for cursor in cursors:
        visit = _input(batch, cursor, team_id)
        if cursor.id in batch.errors:
            # Once: where the error path leads is visited like any other step.
            _apply(batch, step, cursor, visit, Fail(batch.errors.pop(cursor.id), code="database"), resuming=True)
        elif visit.subject is None and cursor.subject_id is not None:
            cursor.finish(status=RunStatus.CANCELLED, reason="subject_deleted", outcome=None, now=batch.now)
        elif not guarded or not _guarded(batch, step, cursor, visit):
            entering.append((cursor, visit))
    with caused_by(max((cursor.depth for cursor, _ in entering), default=0), cursors[0].pipeline_id):
        if kind.opens_scopes and resuming and entering:
            entering = with_children(batch, step, entering)
        if kind.searches and not resuming:
            entering = searched(batch, kind, step, entering)
        outcomes = _outcomes(kind, step, [visit for _, visit in entering], resuming=resuming)
        if kind.opens_scopes and resuming:
            entering, outcomes = decided(batch, kind, step, entering, outcomes)
        outcomes = make_records(batch, entering, outcomes)
    load_related(batch, outcomes)
    for (cursor, visit), outcome in zip(entering, outcomes, strict=True):
        _apply(batch, step, cursor, visit, outcome, resuming=resuming)


def _outcomes(kind: Kind, step: Step, visits: Sequence[Input], *, resuming: bool) -> Sequence[Outcome]:
    """Plan all at once; when one visit breaks the plan, plan one by one so that only it fails."""
    if not visits:
        return []
    try:
        return _decided(kind, step, visits, resuming=resuming)
    except Exception:
        return [_alone(kind, step, visit, resuming=resuming) for visit in visits]


def _decided(kind: Kind, step: Step, visits: Sequence[Input], *, resuming: bool) -> list[Outcome]:
    """Actions of a project may write; what one wrote before it broke is undone, and the batch goes on."""
    decide = kind.resume if resuming else kind.plan
    if not kind.code.startswith("custom."):
        return decide(step, visits)
    with transaction.atomic():
        outcomes = list(decide(step, visits))
        if len(outcomes) != len(visits):
            raise ValueError(f"{kind.code} gave {len(outcomes)} outcomes for {len(visits)} visits.")
        return outcomes


def _alone(kind: Kind, step: Step, visit: Input, *, resuming: bool) -> Outcome:
    try:
        return _decided(kind, step, [visit], resuming=resuming)[0]
    except Exception as error:  # an action of a project may raise anything; its run fails, no other
        return Fail(f"{type(error).__name__}: {error}"[:400], code="action")


def _input(batch: Batch, cursor: Cursor, team_id: int) -> Input:
    context = batch.context_of(cursor)
    answer = batch.answers.get(cursor.id) if batch.answers else None
    # By position, which every visit of every run notices.
    return Input(
        cursor.id, cursor.seq, cursor.attempt, team_id, context["subject"], context, batch.now,
        batch.resources[team_id], answer.signal if answer else None,
    )  # fmt: skip


def _guarded(batch: Batch, step: Step, cursor: Cursor, visit: Input) -> bool:
    """True when the step's `if` said no; the visit is then over as skipped."""
    if step.guard is None:
        return False
    verdict = step.guard.evaluate(visit.context)
    if verdict.met and not verdict.error:
        return False
    why = tuple(leaf.as_dict() for leaf in verdict.why)
    if verdict.error:
        _apply(batch, step, cursor, visit, Fail(verdict.error, code="expression", why=why), resuming=False)
    else:
        _end(batch, step, cursor, visit, outcome="skipped", event=Log.SKIPPED, why=why)
    return True


def _apply(batch: Batch, step: Step, cursor: Cursor, visit: Input, outcome: Outcome, *, resuming: bool) -> None:
    if resuming and (cursor.status == RunStatus.WAITING or cursor.phase == RunPhase.RESUME):
        batch.released.append((cursor.id, cursor.seq))
    match outcome:
        case Done():
            _done(batch, step, cursor, visit, outcome)
        case WaitUntil():
            cursor.postpone(until=outcome.at)
        case Await():
            batch.effects.append((cursor, step, outcome.effect))
            cursor.depart(watchdog=batch.now + WATCHDOG)
        case WaitFor():
            batch.waits.append((cursor, outcome))
            cursor.wait(deadline=outcome.deadline)
        case Spawn():
            try:
                spawn(batch, step, cursor, visit, outcome)
            except Impossible as error:
                _fail(batch, step, cursor, visit, Fail(str(error), code="validation"))
        case Joined():
            _joined(batch, step, cursor, visit, outcome)
        case Retry():
            _retry_or_fail(batch, step, cursor, visit, Fail(outcome.error, outcome.code), after=outcome.after)
        case Fail():
            if resuming:
                _fail(batch, step, cursor, visit, outcome)
            else:
                _retry_or_fail(batch, step, cursor, visit, outcome)
        case Exit():
            log_visit(batch, step, cursor, event=Log.COMPLETED, outcome=outcome.status, why=outcome.why)
            label = TERMINATE if outcome.terminate else outcome.status
            cursor.finish(status=RunStatus[outcome.status.upper()], reason=outcome.reason, outcome=label, now=batch.now)
        case _:
            assert_never(outcome)


def _done(batch: Batch, step: Step, cursor: Cursor, visit: Input, outcome: Done) -> None:
    for change in outcome.changes:
        match change:
            case Set():
                try:
                    kept = written(step, batch.programs[cursor.version_id].program, change.values)
                except MisfitError as misfit:
                    _fail(batch, step, cursor, visit, Fail(str(misfit), code="validation"))
                    return
                batch.memory_of(cursor).assign(kept)
            case Update():
                try:
                    patch(batch, change)
                except ValueError as error:
                    _fail(batch, step, cursor, visit, Fail(str(error), code="validation"))
                    return
                batch.updates.append((visit.team_id, change))
            case Create():
                # The cursor goes on within the batch; what is made belongs to this visit.
                batch.creates.append((cursor, cursor.seq, change))
            case MakeSegment():
                batch.segments.append((visit.team_id, change))
            case Member():
                batch.members.append((cursor, change))
            case Enroll() | Unenroll():
                batch.enrollments.append((cursor, change))
    if outcome.started:
        try:
            start(batch, cursor, visit, outcome.started)
        except Impossible as error:
            _fail(batch, step, cursor, visit, Fail(str(error), code="validation"))
            return
    event = Log.SKIPPED if outcome.outcome == "skipped" else Log.COMPLETED
    if outcome.outcome == "timeout" and visit.signal is not None and visit.signal.status == "timeout":
        event = Log.TIMED_OUT
    _end(
        batch, step, cursor, visit,
        outcome=outcome.outcome, event=event, why=outcome.why, output=outcome.output, error=outcome.note or None,
        logged=outcome.shown,
    )  # fmt: skip


def _joined(batch: Batch, step: Step, cursor: Cursor, visit: Input, outcome: Joined) -> None:
    """Leave a block: what its children left becomes visible, then the visit ends like any other."""
    reads = batch.programs[cursor.version_id].program.reads_steps
    memory = batch.memory_of(cursor) if outcome.exported or outcome.outputs else None
    if memory is not None:
        memory.assign(plain(outcome.exported))
        for key, output in outcome.outputs.items():
            if key in reads:
                memory.keep(key, plain(output))
    seen = visit._replace(context=batch.context_of(cursor))
    if outcome.error:
        _fail(batch, step, cursor, seen, Fail(outcome.error, code=outcome.code, why=outcome.why), outcome.output)
        return
    event = Log.TIMED_OUT if outcome.outcome == "timeout" else Log.COMPLETED
    _end(batch, step, cursor, seen, outcome=outcome.outcome, event=event, why=outcome.why, output=outcome.output)


def _retry_or_fail(
    batch: Batch, step: Step, cursor: Cursor, visit: Input, failure: Fail, *, after: float | None = None
) -> None:
    if step.id == batch.trial:
        batch.spare(cursor)
        return
    rng = Random(f"{cursor.id}:{cursor.seq}:{cursor.attempt}")
    wait = retry_after(step.retry, error_class=failure.code, attempt=cursor.attempt, rng=rng)
    if wait is None:
        _fail(batch, step, cursor, visit, failure)
        return
    log_visit(batch, step, cursor, event=Log.RETRIED, outcome=None, error=failure.error, why=failure.why)
    wait = max(wait, after) if after is not None else wait
    cursor.postpone(until=batch.now + timedelta(seconds=wait), attempt=cursor.attempt + 1)


def _fail(
    batch: Batch,
    step: Step,
    cursor: Cursor,
    visit: Input,
    failure: Fail,
    output: Mapping[str, Any] | None = None,
    logged: Mapping[str, Any] | None = None,
) -> None:
    """Follow the error edge; where it does not lead to failure the visit counts as skipped."""
    program = batch.programs[cursor.version_id].program
    goes_on = program.target(step, "error") != "fail"
    wrong = {"error": {"code": failure.code, "message": failure.error}}
    _end(
        batch, step, cursor, visit,
        outcome="error", event=Log.SKIPPED if goes_on else Log.FAILED,
        why=failure.why, output={**(output or {}), **wrong}, error=failure.error,
        logged=None if logged is None else {**logged, **wrong},
    )  # fmt: skip


def _end(
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
    read = shown is not None and step.key in loaded.program.reads_steps
    context = visit.context
    if read or step.assign:
        context = dict(visit.context)
        if shown is not None:
            context["steps"] = {**context["steps"], step.key: shown}
    assigned = NOTHING
    if step.assign:
        assigned = set_by(step, loaded.program, context, brought_nothing=outcome in ("error", "skipped"))
    if assigned.wrong and outcome != "error":
        _fail(batch, step, cursor, visit, Fail(assigned.wrong, code="validation", why=tuple(why)), output, logged)
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
        row.event, row.outcome, row.output, row.error = Log.FAILED.value, "error", None, TOO_LARGE
        cursor.finish(status=RunStatus.FAILED, reason="context_too_large", outcome="error", now=batch.now)
        return
    skipped = leave(cursor, program=loaded.program, step=step, outcome=outcome, context=context, now=batch.now)
    if cursor.reason == TOO_MANY_VISITS:
        # The visit went well; what stands beside it says why there is no other.
        batch.visits.append(visit_of(cursor, batch.now, Log.NOTE, None, error=CIRCLE, step_id=step.id))
    for past in skipped:
        batch.visits.append(visit_of(cursor, batch.now, Log.SKIPPED, "skipped", error=TOO_LATE, step_id=past.id))


def _leave_for_newer_code(batch: Batch, step: Step, cursors: Sequence[Cursor]) -> None:
    """An action this process does not know is left for a process that does, not failed."""
    for cursor in cursors:
        cursor.postpone(until=batch.now + timedelta(seconds=RETRY_UNKNOWN))
        cursor.phase = RunPhase.ENTER.value
