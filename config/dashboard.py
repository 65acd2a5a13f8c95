"""The first page: what runs, what is late, what failed and what waits for me."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from crm.models import Message, Notification, Task, Team
from crm.permissions import allows
from pipelines.admin.links import from_now, subject_words
from pipelines.alarms import alarms
from pipelines.counting import StateCount, run_counts, state_counts
from pipelines.engine.clock import engine_now, real_now
from pipelines.engine.outage import outage_words, outages
from pipelines.models import Pipeline, PipelineRun
from pipelines.queries import DashboardNumbers, dashboard_numbers, last_tick_at
from pipelines.states import RunStatus

LISTED: Final = 5
MOST_PIPELINES: Final = 25
RUNS: Final = "admin:pipelines_pipelinerun_changelist"
MESSAGES: Final = "admin:crm_message_changelist"


@dataclass(frozen=True, slots=True)
class Tile:
    """One number that leads to its list."""

    label: str
    number: int
    address: str
    icon: str
    tone: str = ""
    detail: str = ""


@dataclass(slots=True)
class Line:
    """One pipeline with its runs by status."""

    pipeline: Pipeline
    address: str
    runs_address: str
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The word of the list's filter, and how many runs it shows."""
        live = sum(count for name, count in self.counts.items() if name != "failed")
        return [("live", live), *((name, self.counts.get(name, 0)) for name in ("running", "paused", "failed"))]


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the admin's first page; the number of statements does not grow with rows."""
    team: Team | None = getattr(request, "team", None)
    user: Any = request.user
    now = engine_now()
    states = state_counts(team=team, now=now)
    numbers = dashboard_numbers(team=team, user=user, runs=run_counts(states), now=now)
    lines = _lines(team, states)
    return {
        **context,
        "title": "Dashboard",
        "engine": _engine(lines),
        "tiles": _tiles(numbers),
        "lines": lines,
        "failures": _failures(team, now) if numbers.failed else [],
        "uncertain": _uncertain(team) if numbers.uncertain else [],
        "alarms": _alarms(team, now),
        "my_tasks": _tasks(team, user, now) if numbers.my_tasks else [],
        "notes": _notes(team, user),
        "may_add": bool(getattr(user, "is_superuser", False)) or _may_add(request),
    }


def _alarms(team: Team | None, now: datetime) -> list[dict[str, str]]:
    """What is wrong though nothing failed."""
    found = alarms(team=team, now=now)[:LISTED]
    page = "admin:pipelines_pipeline_change"
    told = [{"sentence": each.sentence, "address": reverse(page, args=(each.pipeline_id,))} for each in found]
    waiting = f"{reverse(MESSAGES)}?state__exact=queued"
    away = [
        {
            "sentence": outage_words(each),
            "address": waiting if each.team_id is None else f"{waiting}&channel__exact={each.channel}",
        }
        for each in outages(team=team, now=now)
    ]
    return [*away[:LISTED], *told]


@require_POST
def read_notifications(request: HttpRequest) -> HttpResponse:
    """The notes on the dashboard were seen."""
    user: Any = request.user
    unread = Notification.objects.for_team(getattr(request, "team", None)).filter(user_id=user.pk, read_at=None)
    unread.update(read_at=timezone.now())
    messages.success(request, "Your notes are marked as read.")
    return HttpResponseRedirect(reverse("admin:index"))


def _engine(lines: Iterable[Line]) -> dict[str, Any]:
    """Whether the engine moves, in words."""
    ticked, now = last_tick_at(), real_now()
    age = None if ticked is None else (now - ticked).total_seconds()
    active = any(line.pipeline.status == Pipeline.Status.ACTIVE for line in lines)
    return {
        "stands": age is None or age > settings.WORKER_STALE_SECONDS,
        "last": "never" if ticked is None else from_now(ticked, now),
        "matters": active,
    }


def _tiles(numbers: DashboardNumbers) -> list[Tile]:
    runs = reverse(RUNS)
    sent = reverse(MESSAGES)
    overdue = f"{numbers.my_overdue_tasks:,} overdue" if numbers.my_overdue_tasks else ""
    return [
        Tile("On the way", numbers.running, f"{runs}?state=live", "conversion_path"),
        Tile("Due now", numbers.due, f"{runs}?state=due", "schedule"),
        Tile("Late", numbers.late, f"{runs}?state=late", "timer_off", "warn" if numbers.late else ""),
        Tile("Failed", numbers.failed, f"{runs}?state=failed", "error", "bad" if numbers.failed else ""),
        Tile("Sent today", numbers.sent_today, f"{sent}?state__exact=sent", "outgoing_mail"),
        Tile(
            "To decide", numbers.uncertain, f"{sent}?decision=needed", "help",
            "warn" if numbers.uncertain else "", "uncertain messages" if numbers.uncertain else "",
        ),
        Tile(
            "My tasks", numbers.my_tasks, reverse("inbox"), "task_alt",
            "warn" if overdue else "", overdue,
        ),
    ]  # fmt: skip


def _lines(team: Team | None, states: Iterable[StateCount]) -> list[Line]:
    shown = Pipeline.objects.for_team(team).exclude(status=Pipeline.Status.ARCHIVED)
    # Active ones first, then what was paused, then drafts.
    rows = list(shown.order_by((F("status") + 2) % 3, "name")[:MOST_PIPELINES])
    lines = {
        row.pk: Line(
            row,
            reverse("admin:pipelines_pipeline_change", args=(row.pk,)),
            f"{reverse(RUNS)}?pipeline__id__exact={row.pk}",
        )
        for row in rows
    }
    for each in states:
        if each.pipeline_id in lines:
            lines[each.pipeline_id].counts[RunStatus(each.status).name.lower()] = each.runs
    return list(lines.values())


def _failures(team: Team | None, now: datetime) -> list[dict[str, str]]:
    failed = PipelineRun.objects.for_team(team).entered().filter(status=RunStatus.FAILED.value)
    newest = failed.select_related("pipeline", "step", "last_step", "subject_type").prefetch_related("subject")
    return [
        {
            "who": subject_words(run),
            "where": f"{run.pipeline}, {run.last_step or run.step or 'before its first step'}",
            "when": from_now(run.finished_at, now) if run.finished_at else "",
            "address": reverse("admin:pipelines_pipelinerun_change", args=(run.pk,)),
        }
        for run in newest.order_by("-finished_at")[:LISTED]
    ]


def _uncertain(team: Team | None) -> list[dict[str, str]]:
    rows = Message.objects.for_team(team).filter(state=Message.State.UNCERTAIN, decided_at=None)
    listed = rows.only("subject", "recipient").order_by("-id")[:LISTED]
    return [
        {
            "subject": row.subject or "(no subject)",
            "recipient": row.recipient,
            "address": reverse("admin:crm_message_change", args=(row.pk,)),
        }
        for row in listed
    ]


def _tasks(team: Team | None, user: Any, now: datetime) -> list[dict[str, Any]]:
    mine = Task.objects.for_team(team).filter(assignee_id=user.pk, status=Task.Status.OPEN)
    return [
        {
            "title": task.title,
            "when": from_now(task.due_at, now) if task.due_at else "",
            "overdue": bool(task.due_at and task.due_at < now),
            "address": f"{reverse('inbox')}?task={task.pk}",
        }
        for task in mine.order_by(F("due_at").asc(nulls_last=True), "id")[:LISTED]
    ]


def _notes(team: Team | None, user: Any) -> list[Notification]:
    unread = Notification.objects.for_team(team).filter(user_id=user.pk, read_at=None)
    return list(unread.order_by("-id")[:LISTED])


def _may_add(request: HttpRequest) -> bool:
    member = getattr(request, "member", None)
    return member is not None and allows(role=member.role, resource="pipelines", verb="add")
