"""Where a run goes after a visit: pure decisions on a cursor in memory."""

from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

from pipelines.definition.delays import Delay, DelayError, Skip
from pipelines.definition.program import Program, Step
from pipelines.engine.cursor import Cursor
from pipelines.states import ASIDE, RunPhase, RunStatus

MAX_VISITS = 1_000
TOO_MANY_VISITS = "too_many_visits"
CIRCLE = (
    "Stopped after as many visits as a run may make, which looks like a circle: see where its steps lead, or max_hops."
)


def leave(
    cursor: Cursor, *, program: Program, step: Step, outcome: str, context: Mapping[str, Any], now: datetime
) -> list[Step]:
    """Follow the edge of an outcome; returns the steps whose time had passed and that were skipped."""
    skipped: list[Step] = []
    left = step
    target = program.target(step, outcome)
    if cursor.dedup is not None and cursor.is_aside:
        status = RunStatus.FAILED if target == "fail" else RunStatus.COMPLETED
        cursor.finish(status=status, reason=ASIDE, outcome=outcome, now=now)
        return skipped
    while True:
        if isinstance(target, str):
            status = RunStatus.FAILED if target == "fail" else RunStatus.COMPLETED
            reason = "error" if target == "fail" else "end"
            cursor.step_id = left.id
            cursor.finish(status=status, reason=reason, outcome=outcome, now=now)
            return skipped
        if cursor.seq + len(skipped) >= (program.max_hops or MAX_VISITS):
            cursor.finish(status=RunStatus.FAILED, reason=TOO_MANY_VISITS, outcome=outcome, now=now)
            return skipped
        if target.delay.is_zero:
            cursor.arrive(step_id=target.id, due=now, left=left.id)
            return skipped
        try:
            due = due_at(target.delay, cursor=cursor, context=context, previous=now)
        except DelayError:
            # Looked at again when the run is moved next, which then takes the error edge of that step.
            cursor.arrive(step_id=target.id, due=now, left=left.id)
            cursor.phase = RunPhase.RESCHEDULE.value
            return skipped
        if isinstance(due, datetime):
            cursor.arrive(step_id=target.id, due=due, left=left.id)
            return skipped
        skipped.append(target)
        left, target, outcome = target, program.target(target, "skipped"), "skipped"


def due_at(delay: Delay, *, cursor: Cursor, context: Mapping[str, Any], previous: datetime) -> datetime | Skip:
    """When a step is due that is reached at `previous`, or that its rule says to skip it."""
    if delay.is_zero:
        return previous
    return delay.due_at(
        previous=previous,
        start=(context.get("run") or {}).get("started_at") or cursor.created_at,
        timezone_name=zone_of(context),
        context=context,
        rng=Random(f"{cursor.id}:{cursor.seq}"),
    )


def zone_of(context: Mapping[str, Any]) -> str:
    """The zone a delay is read in: the subject's, else the team's, else UTC."""
    subject = context.get("subject") or {}
    team = context.get("team") or {}
    return str(subject.get("timezone") or team.get("timezone") or "UTC")
