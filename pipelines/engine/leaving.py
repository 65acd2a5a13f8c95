"""Exit rules and goals: events that end a run wherever it is, and events that count as success."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from pipelines.definition.conditions import Condition
from pipelines.definition.values import ParameterError
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor, Visit
from pipelines.engine.ending import end_trees
from pipelines.engine.journal import visit_of
from pipelines.engine.listening import Listening
from pipelines.engine.matching import with_event
from pipelines.engine.rules import ExitRule, Goal, Rules
from pipelines.models import Event, GoalHit, StepExecution
from pipelines.states import RunStatus


def apply_rules(listening: Listening, batch: Batch, *, now: datetime) -> set[int]:
    """End the runs that an event ends, note the goals that one reaches; the ids of all that ended."""
    endings: dict[tuple[RunStatus, str], list[tuple[Cursor, Event]]] = {}
    goals: list[GoalHit] = []
    for cursor in batch.cursors:
        for event in listening.events.get(cursor.id, ()):
            ending = _ending(listening.rules[cursor.id], batch, cursor, event, goals)
            if ending is not None and cursor.finished_at is None and cursor.status < RunStatus.COMPLETED:
                endings.setdefault(ending, []).append((cursor, event))
                break
    if goals:
        GoalHit.objects.bulk_create(goals, ignore_conflicts=True, batch_size=1000)
    ended: set[int] = set()
    for (status, reason), found in endings.items():
        ids = [cursor.id for cursor, _ in found]
        ended.update(end_trees(ids, now=now, status=status, reason=reason))
        visits = [_note(cursor, event, reason, now) for cursor, event in found if cursor.step_id is not None]
        batch.store.insert_visits(visits, at=now, batch=uuid.uuid4())
    return ended


def _ending(
    rules: Rules, batch: Batch, cursor: Cursor, event: Event, goals: list[GoalHit]
) -> tuple[RunStatus, str] | None:
    """How an event ends a run; goals it reaches are added on the way."""
    context = with_event(batch.context_of(cursor), event)
    ending: tuple[RunStatus, str] | None = None
    live = cursor.status < RunStatus.COMPLETED
    for goal in rules.goals:
        if goal.event == event.type and _reached(goal, cursor, event, context, live=live):
            # The passed run reaches it, too: what was only given a step beside it does not count twice.
            if not cursor.test and not cursor.is_aside:
                goals.append(_hit(goal, cursor, event, context))
            if goal.exits:
                ending = (RunStatus.COMPLETED, f"goal: {goal.key}"[:60])
    for rule in rules.exits:
        if rule.event == event.type and event.occurred_at >= cursor.created_at and _leaves(rule, event, context):
            return (rule.status, rule.reason)
    return ending


def _leaves(rule: ExitRule, event: Event, context: Mapping[str, Any]) -> bool:
    try:
        same = all(event.payload.get(name) == value.evaluate(context) for name, value in rule.match.items())
    except ParameterError:
        return False
    return same and _met(rule.where, context)


def _reached(goal: Goal, cursor: Cursor, event: Event, context: Mapping[str, Any], *, live: bool) -> bool:
    if event.occurred_at < cursor.created_at or (goal.within is None and not live):
        return False
    if goal.within is not None and event.occurred_at > cursor.created_at + timedelta(seconds=goal.within):
        return False
    return _met(goal.where, context)


def _met(where: Condition | None, context: Mapping[str, Any]) -> bool:
    if where is None:
        return True
    verdict = where.evaluate(context)
    return verdict.met and not verdict.error


def _hit(goal: Goal, cursor: Cursor, event: Event, context: Mapping[str, Any]) -> GoalHit:
    return GoalHit(
        run_id=cursor.id, goal=goal.key, event_id=event.pk, at=event.occurred_at, value=_value(goal, context)
    )


def _value(goal: Goal, context: Mapping[str, Any]) -> Decimal | None:
    """What the goal is worth; what is no number of sixteen digits is worth nothing."""
    if goal.value is None:
        return None
    try:
        found = Decimal(str(goal.value.evaluate(context))).quantize(Decimal("0.0001"))
    except (ParameterError, InvalidOperation):
        return None
    return found if abs(found) < Decimal(10) ** 14 else None


def _note(cursor: Cursor, event: Event, reason: str, now: datetime) -> Visit:
    visit = visit_of(cursor, now, StepExecution.Event.NOTE, None)
    visit.why = [{"rule": "exit", "event": event.type, "event_id": event.pk, "reason": reason}]
    return visit
