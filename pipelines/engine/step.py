"""One group of visits at one step: plan them, and apply what each decided."""

from collections.abc import Sequence
from datetime import timedelta
from typing import assert_never

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
from pipelines.definition.program import Program, Step
from pipelines.definition.variables import MisfitError
from pipelines.engine.assigning import written
from pipelines.engine.batch import Batch
from pipelines.engine.blocks import Impossible, decided, spawn, start, with_children
from pipelines.engine.cause import caused_by
from pipelines.engine.cursor import Cursor
from pipelines.engine.ending_visits import end_visit, fail, join, retry_or_fail
from pipelines.engine.fitting_parameters import held, misfit
from pipelines.engine.journal import log_visit
from pipelines.engine.patching import judge, load_related, patch
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
    parameters = [] if resuming else held(kind, step)
    for cursor in cursors:
        visit = _input(batch, cursor, team_id)
        undated = batch.undated.pop(cursor.id, None) if batch.undated else None
        if cursor.id in batch.errors:
            # Once: where the error path leads is visited like any other step.
            # What had come back is not asked for again: a visit that was to be left is not tried again.
            _apply(
                batch, step, cursor, visit, Fail(batch.errors.pop(cursor.id), code="database"),
                resuming=resuming or batch.final,
            )  # fmt: skip
        elif undated is not None:
            retry_or_fail(batch, step, cursor, visit, Fail(undated, code="expression"), phase=RunPhase.RESCHEDULE)
        elif visit.subject is None and cursor.subject_id is not None:
            cursor.finish(status=RunStatus.CANCELLED, reason="subject_deleted", outcome=None, now=batch.now)
        elif not guarded or not _guarded(batch, step, cursor, visit):
            wrong = misfit(parameters, visit) if parameters else ""
            if wrong:
                _apply(batch, step, cursor, visit, Fail(wrong, code="validation"), resuming=resuming)
            else:
                entering.append((cursor, visit))
    with caused_by(max((cursor.depth for cursor, _ in entering), default=0), cursors[0].pipeline_id):
        if kind.opens_scopes and resuming and entering:
            entering = with_children(batch, step, entering)
        if kind.searches and not resuming:
            entering = searched(batch, kind, step, entering)
        outcomes = _outcomes(kind, step, [visit for _, visit in entering], resuming=resuming)
        if kind.opens_scopes and resuming:
            entering, outcomes = decided(batch, kind, step, entering, outcomes)
        outcomes = make_records(batch, entering, _whole(batch, step, cursors[0], outcomes))
    load_related(batch, outcomes)
    for (cursor, visit), outcome in zip(entering, outcomes, strict=True):
        _apply(batch, step, cursor, visit, outcome, resuming=resuming)


def _whole(batch: Batch, step: Step, cursor: Cursor, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Of several changes of one visit all are made, or none: it may be tried again."""
    program = batch.programs[cursor.version_id].program
    return [
        _judged(step, program, outcome) if isinstance(outcome, Done) and len(outcome.changes) > 1 else outcome
        for outcome in outcomes
    ]


def _judged(step: Step, program: Program, outcome: Done) -> Outcome:
    try:
        for change in outcome.changes:
            if isinstance(change, Set):
                written(step, program, change.values)
            elif isinstance(change, Update):
                judge(change)
    except (MisfitError, ValueError) as error:
        return Fail(str(error), code="validation")
    return outcome


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
        end_visit(batch, step, cursor, visit, outcome="skipped", event=Log.SKIPPED, why=why)
    return True


def _apply(batch: Batch, step: Step, cursor: Cursor, visit: Input, outcome: Outcome, *, resuming: bool) -> None:
    if resuming and (cursor.status == RunStatus.WAITING or cursor.phase == RunPhase.RESUME):
        batch.released.append((cursor.id, cursor.seq))
    match outcome:
        case Done():
            _done(batch, step, cursor, visit, outcome, resuming=resuming)
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
                _apply(batch, step, cursor, visit, Fail(str(error), code="validation"), resuming=resuming)
        case Joined():
            join(batch, step, cursor, visit, outcome)
        case Retry():
            retry_or_fail(batch, step, cursor, visit, Fail(outcome.error, outcome.code), after=outcome.after)
        case Fail():
            if resuming:
                fail(batch, step, cursor, visit, outcome)
            else:
                retry_or_fail(batch, step, cursor, visit, outcome)
        case Exit():
            log_visit(batch, step, cursor, event=Log.COMPLETED, outcome=outcome.status, why=outcome.why)
            label = TERMINATE if outcome.terminate else outcome.status
            cursor.finish(status=RunStatus[outcome.status.upper()], reason=outcome.reason, outcome=label, now=batch.now)
        case _:
            assert_never(outcome)


def _done(batch: Batch, step: Step, cursor: Cursor, visit: Input, outcome: Done, *, resuming: bool) -> None:
    try:
        _change(batch, step, cursor, visit, outcome)
        if outcome.started:
            start(batch, cursor, visit, outcome.started)
    except (MisfitError, ValueError, Impossible) as error:
        _apply(batch, step, cursor, visit, Fail(str(error), code="validation"), resuming=resuming)
        return
    event = Log.SKIPPED if outcome.outcome == "skipped" else Log.COMPLETED
    if outcome.outcome == "timeout" and visit.signal is not None and visit.signal.status == "timeout":
        event = Log.TIMED_OUT
    end_visit(
        batch, step, cursor, visit,
        outcome=outcome.outcome, event=event, why=outcome.why, output=outcome.output, error=outcome.note or None,
        logged=outcome.shown,
    )  # fmt: skip


def _change(batch: Batch, step: Step, cursor: Cursor, visit: Input, outcome: Done) -> None:
    """Plan the changes of a visit; raises MisfitError or ValueError with a sentence."""
    program = batch.programs[cursor.version_id].program
    for change in outcome.changes:
        match change:
            case Set():
                batch.memory_of(cursor).assign(written(step, program, change.values))
            case Update():
                patch(batch, change)
                batch.updates.append((visit.team_id, change))
            case Create():
                # The cursor goes on within the batch; what is made belongs to this visit.
                batch.creates.append((cursor, cursor.seq, change))
            case MakeSegment():
                batch.segments.append((visit.team_id, change))
            case Member():
                batch.members.append((cursor, change))
            case Enroll() | Unenroll():
                batch.enrollments.append((cursor, (step.id, cursor.seq), change))


def _leave_for_newer_code(batch: Batch, step: Step, cursors: Sequence[Cursor]) -> None:
    """An action this process does not know is left for a process that does, not failed."""
    for cursor in cursors:
        cursor.postpone(until=batch.now + timedelta(seconds=RETRY_UNKNOWN))
        cursor.phase = RunPhase.ENTER.value
