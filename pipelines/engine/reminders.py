"""Mails again those who have not answered, and tells those to whom a task was handed over."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction

from pipelines.engine.programs import pipeline_facts
from pipelines.engine.store import store
from pipelines.engine.task_mail import TaskLetter, send_letters
from pipelines.models import HumanTask
from pipelines.models.human import OPEN
from pipelines.subjects import subject_type

MOST_REMINDERS: Final = 10
REMINDED_AT_ONCE: Final = 200


def remind(*, now: datetime) -> int:
    """Mail again those who have not answered; how many."""
    with transaction.atomic():
        due = HumanTask.objects.filter(status__in=OPEN, remind_at__lte=now).order_by("remind_at")
        if connection.vendor == "postgresql":
            due = due.select_for_update(skip_locked=True, of=("self",))
        rows = list(due.select_related("task__assignee", "run")[:REMINDED_AT_ONCE])
        told = [row for row in rows if row.notify and row.task.assignee is not None and row.task.assignee.email]
        send_letters(store(), letters_for(told), now=now)
        for row in rows:
            row.mails += 1
            every = timedelta(seconds=row.remind_every or 0)
            ends = row.mails > MOST_REMINDERS or not every
            # After a standstill one reminder is enough.
            row.remind_at = None if ends else max(row.remind_at or now, now - every) + every
        HumanTask.objects.bulk_update(rows, ["mails", "remind_at"])
    return len(told)


def letters_for(rows: Sequence[HumanTask]) -> list[TaskLetter]:
    """The mail to whoever has each task now; a fixed number of statements."""
    facts = pipeline_facts({row.run.pipeline_id for row in rows}) if rows else {}
    names = _names({(row.task.subject_type_id, row.task.subject_id) for row in rows})
    letters = []
    for row in rows:
        task, pipeline = row.task, facts[row.run.pipeline_id]
        if task.assignee is None:
            continue
        letters.append(
            TaskLetter(
                team=pipeline.team,
                pipeline=pipeline.name,
                run_id=row.run_id,
                seq=row.seq,
                n=row.mails,
                step_id=row.run.step_id,
                subject_type_id=task.subject_type_id,
                subject_id=task.subject_id,
                human_id=row.pk,
                user_id=task.assignee.pk,
                recipient=task.assignee.email,
                title=task.title,
                description=task.description,
                about=names.get((task.subject_type_id, task.subject_id), ""),
                due_at=task.due_at,
                expires_at=row.expires_at,
                test=row.run.test,
            )
        )
    return letters


def _names(subjects: Collection[tuple[int | None, int | None]]) -> dict[tuple[int | None, int | None], str]:
    wanted: dict[int, set[int]] = {}
    for type_id, pk in subjects:
        if type_id is not None and pk is not None:
            wanted.setdefault(type_id, set()).add(pk)
    return {
        (type_id, pk): str(data.get("name") or "")
        for type_id, ids in wanted.items()
        for pk, data in subject_type(type_id).load(ids, relations=(), moments=()).items()
    }
