"""What django-q2 runs: the tick, and the one schedule that calls it every minute."""

from typing import Any

from django_q.models import Schedule

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


def process_due_runs() -> dict[str, Any]:
    """One pass of the engine; a backlog wakes more workers, and what is left goes on at once."""
    report = tick(call_help=kick)
    if report.more:
        kick()
    return report.as_dict()


def ensure_schedule() -> bool:
    """Create or mend the schedule of the tick; True when something was changed."""
    rows = list(Schedule.objects.filter(name=SCHEDULE_NAME).order_by("pk"))
    if not rows:
        Schedule.objects.create(name=SCHEDULE_NAME, **WANTED)
        return True
    keep, extra = rows[0], rows[1:]
    wrong = {name: value for name, value in WANTED.items() if (getattr(keep, name) or None) != (value or None)}
    if wrong:
        Schedule.objects.filter(pk=keep.pk).update(**wrong)
    Schedule.objects.filter(pk__in=[row.pk for row in extra]).delete()
    return bool(wrong or extra)
