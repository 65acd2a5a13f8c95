"""The schedule that calls the tick, and others that keep it from firing."""

import ast
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from django.utils import timezone
from django_q.models import Failure, Schedule

from pipelines.doctor.findings import SHOWN, Clocks, Finding
from pipelines.tasks import FUNCTION, MAILBOX_NAME, SCHEDULE_NAME, WANTED, ensure_schedule

OVERDUE: Final = timedelta(minutes=5)


def schedule_of_the_tick(clocks: Clocks) -> Sequence[Finding]:
    """There is one, it is right, and its time is near."""
    rows = list(Schedule.objects.filter(name=SCHEDULE_NAME).order_by("pk"))
    problem = _problem(rows)
    if not problem:
        return []
    return [
        Finding(
            code="schedule.tick",
            problem=problem,
            count=len(rows),
            ids=tuple(row.pk for row in rows[:SHOWN]),
            advice="doctor --fix or `manage.py migrate` mends it; until then the worker asks for ticks by itself.",
            repair=_mend,
        )
    ]


def _problem(rows: Sequence[Any]) -> str:
    if not rows:
        return "The schedule that calls the engine every minute is missing."
    if len(rows) > 1:
        return f"The schedule that calls the engine exists {len(rows)} times."
    wrong = sorted(name for name, value in WANTED.items() if (getattr(rows[0], name) or None) != (value or None))
    if wrong:
        return f"The schedule that calls the engine was changed: {', '.join(wrong)}."
    if rows[0].next_run > timezone.now() + OVERDUE:
        return f"The schedule that calls the engine waits until {rows[0].next_run:%Y-%m-%d %H:%M} UTC."
    return ""


def _mend() -> str:
    ensure_schedule()
    Schedule.objects.filter(name=SCHEDULE_NAME, next_run__gt=timezone.now() + OVERDUE).update(next_run=timezone.now())
    return "there is one schedule again, and it fires within a minute"


def malformed_schedules(clocks: Clocks) -> Sequence[Finding]:
    """The cluster reads all due schedules in one go: one that it cannot read stops every other."""
    others = Schedule.objects.exclude(name__in=[SCHEDULE_NAME, MAILBOX_NAME]).exclude(repeats=0).order_by("pk")
    broken = tuple(row.pk for row in others if _cannot_be_read(row))
    if not broken:
        return []

    def repair() -> str:
        Schedule.objects.filter(pk__in=broken).update(repeats=0)
        return "switched off (repeats=0): correct their arguments, then set repeats again"

    return [
        Finding(
            code="schedule.malformed",
            problem=f"{len(broken)} other schedules cannot be read and keep every schedule from firing.",
            count=len(broken),
            ids=broken[:SHOWN],
            advice="doctor --fix switches them off; or correct or delete these rows of django_q_schedule.",
            repair=repair,
        )
    ]


def _cannot_be_read(row: Any) -> bool:
    readings: tuple[Callable[[], Any], ...] = (
        lambda: ast.literal_eval(row.args) if row.args else (),
        lambda: _keywords(row.kwargs) if row.kwargs else {},
        lambda: row.calculate_next_run(row.next_run) if row.schedule_type != Schedule.ONCE else None,
    )
    try:
        for read in readings:
            read()
    except Exception:  # as broad as the cluster's own, which gives the whole round up
        return True
    return False


def _keywords(text: str) -> None:
    """Anything but a dictionary breaks the round; text that is no literal counts as no keywords there."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return
    if not isinstance(value, dict):
        raise TypeError("not a dictionary")


def failed_ticks(clocks: Clocks) -> Sequence[Finding]:
    """Ticks that ended in an error within the last hour."""
    failures = Failure.objects.filter(func=FUNCTION, stopped__gt=timezone.now() - timedelta(hours=1))
    count = failures.count()
    if not count:
        return []
    return [
        Finding(
            code="tick.failed",
            problem=f"The tick ended in an error {count} times in the last hour.",
            count=count,
            ids=tuple(failures.order_by("-stopped").values_list("pk", flat=True)[:SHOWN]),
            advice="`manage.py process_pipelines` shows the error; the worker's log has it too.",
        )
    ]
