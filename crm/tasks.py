"""Doing and finding tasks."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from crm.models import Task


def complete_task(*, task: Task, now: datetime) -> bool:
    """Mark an open task done; False when it was closed already. Saving tells whoever waits for it."""
    if task.status != Task.Status.OPEN:
        return False
    task.status, task.completed_at = Task.Status.DONE, now
    task.save(update_fields=["status", "completed_at"])
    return True


def overdue(tasks: QuerySet[Task], now: datetime) -> QuerySet[Task]:
    return tasks.filter(status=Task.Status.OPEN, due_at__lt=now)


def follow_status(*, task: Task, now: datetime) -> None:
    """Keep the time of completion true after the status was edited by hand."""
    done = task.status == Task.Status.DONE
    task.completed_at = (task.completed_at or now) if done else None


def is_overdue(*, task: Any, now: datetime) -> bool:
    return bool(task.status == Task.Status.OPEN and task.due_at and task.due_at < now)
