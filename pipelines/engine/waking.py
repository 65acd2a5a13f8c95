"""Wakes runs that wait: what came back is handed to the step, and whatever is stale changes nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from crm.faults import point, register
from pipelines.actions.base import Signal
from pipelines.engine.advance import Progress, process
from pipelines.engine.cursor import Answer, Cursor
from pipelines.engine.store import store
from pipelines.states import RunStatus

register("in_wake", "waiting runs were woken and moved on, nothing is committed", in_transaction=True)


def wake(
    *,
    answers: Mapping[int, tuple[int, Signal]],
    now: datetime,
    since: Mapping[int, datetime] | None = None,
) -> Progress:
    """Resume runs that still wait at that visit with what came back; `since` says when each visit began.

    Answers are by run, each with the number of the visit it belongs to. A paused run is told when an operator
    lets it go on: whoever answers keeps the answer where the store finds it (`Reading.answers`).
    """
    if not answers:
        return Progress()
    with transaction.atomic():
        cursors = [
            cursor for cursor in store().claim_runs(run_ids=sorted(answers)) if cursor.seq == answers[cursor.id][0]
        ]
        began = since or {}
        known = {cursor.id: Answer(answers[cursor.id][1], began.get(cursor.id, now)) for cursor in cursors}
        return resume(cursors, answers=known, now=now)


def resume(cursors: Sequence[Cursor], *, answers: Mapping[int, Answer], now: datetime) -> Progress:
    """Let locked runs go on with their answers, in the caller's transaction."""
    store().note_answered([cursor.id for cursor in cursors if cursor.status == RunStatus.PAUSED])
    waiting = [cursor for cursor in cursors if cursor.status == RunStatus.WAITING]
    if not waiting:
        return Progress()
    progress = process(waiting, now=now, answers={cursor.id: answers[cursor.id] for cursor in waiting})
    point("in_wake")
    return progress
