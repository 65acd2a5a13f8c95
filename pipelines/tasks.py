"""What django-q2 runs: the tick, and the schedules that call it every minute and the mailbox every five."""

import logging
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.utils import timezone
from django_q.models import Schedule

from crm.channels import mailbox
from pipelines.engine.hold import held_since
from pipelines.engine.kick import kick
from pipelines.engine.tick import process_due_runs as tick

SCHEDULE_NAME = "process-due-runs"
FUNCTION = "pipelines.tasks.process_due_runs"
WANTED = {
    "func": FUNCTION,
    "schedule_type": Schedule.MINUTES,
    "minutes": 1,
    "repeats": -1,
    "args": None,
    "kwargs": None,
    "hook": None,
    "cluster": None,
}
MAILBOX_NAME = "read-mailbox"
MAILBOX_WANTED = {**WANTED, "func": "pipelines.tasks.read_mailbox", "minutes": 5}
log = logging.getLogger(__name__)


def process_due_runs() -> dict[str, Any]:
    """One pass of the engine; a backlog wakes more workers, and what is left goes on at once."""
    report = tick(call_help=kick)
    if report.more:
        kick()
    return report.as_dict()


def read_mailbox() -> dict[str, int]:
    """Take in what came back by mail; a mailbox that cannot be read is tried again in five minutes."""
    if held_since() is not None:
        # The mailbox belongs to the installation that this one was copied from.
        return {}
    try:
        return asdict(mailbox.read_mailbox(settings.BOUNCE_MAILBOX, now=timezone.now))
    except mailbox.MailboxUnreachable as error:
        log.warning("the mailbox of bounces cannot be read: %s", error)
        return {}


def ensure_schedule() -> bool:
    """Create or mend the schedules of the tick and, where there is one, of the mailbox; True when something changed."""
    changed = _ensure(SCHEDULE_NAME, WANTED)
    if settings.BOUNCE_MAILBOX:
        return _ensure(MAILBOX_NAME, MAILBOX_WANTED) or changed
    return bool(Schedule.objects.filter(name=MAILBOX_NAME).delete()[0]) or changed


def _ensure(schedule: str, wanted: dict[str, Any]) -> bool:
    rows = list(Schedule.objects.filter(name=schedule).order_by("pk"))
    if not rows:
        Schedule.objects.create(name=schedule, **wanted)
        return True
    keep, extra = rows[0], rows[1:]
    wrong = {name: value for name, value in wanted.items() if (getattr(keep, name) or None) != (value or None)}
    if wrong:
        Schedule.objects.filter(pk=keep.pk).update(**wrong)
    Schedule.objects.filter(pk__in=[row.pk for row in extra]).delete()
    return bool(wrong or extra)
