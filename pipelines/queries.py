"""Questions about pipelines and runs, each answered in a fixed number of statements."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Model, Q, QuerySet

from crm.models import Message, Task, Team
from pipelines.counting import RunCounts
from pipelines.models import EngineState, EngineWorker, Pipeline, PipelineRun
from pipelines.models.run import FINISHED
from pipelines.states import RunStatus

LIVE: Final = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING)
WORKER_ALIVE: Final = timedelta(minutes=2)
MOST_VERSIONS: Final = 200
# What clients see that know only the words of the first interface.
STATUS_GROUPS: Final[Mapping[int, str]] = {
    status: "paused" if status in (RunStatus.WAITING, RunStatus.PAUSED) else status.name.lower() for status in RunStatus
}


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Runs that stand at one step now."""

    waiting: int = 0
    due: int = 0
    running: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One line of the history of a pipeline."""

    pk: int
    number: int
    checksum: str
    note: str
    policy: str
    published_at: datetime
    published_by: str
    live: int
    ended: int
    is_current: bool
    published_by_name: str = ""


@dataclass(frozen=True, slots=True)
class DashboardNumbers:
    """What a person sees first in the morning."""

    active_pipelines: int
    running: int
    due: int
    late: int
    failed: int
    sent_today: int
    uncertain: int
    my_tasks: int
    my_overdue_tasks: int


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Whether the engine moves."""

    last_tick_at: datetime | None
    tick_age_seconds: float | None
    workers: int


def last_tick_at() -> datetime | None:
    """When the engine last looked for due runs, None when it never did."""
    return EngineState.objects.filter(name="tick").values_list("at", flat=True).first()


def runs_by_step(*, pipeline: Pipeline, now: datetime) -> dict[int, StepCounts]:
    """Counts by step id in one statement; steps without runs are left out, and so are tests."""
    rows = (
        PipelineRun.objects.real()
        .filter(status__in=(*LIVE, RunStatus.FAILED), pipeline=pipeline)
        .order_by()
        .values("step_id")
        .annotate(
            waiting=Count("pk", filter=Q(status=RunStatus.WAITING) | _pending(now, due=False)),
            due=Count("pk", filter=_pending(now, due=True)),
            running=Count("pk", filter=Q(status=RunStatus.RUNNING)),
            failed=Count("pk", filter=Q(status=RunStatus.FAILED)),
        )
    )
    return {
        row["step_id"]: StepCounts(waiting=row["waiting"], due=row["due"], running=row["running"], failed=row["failed"])
        for row in rows
        if row["step_id"] is not None
    }


def version_rows(*, pipeline: Pipeline, limit: int = MOST_VERSIONS) -> list[VersionRow]:
    """The newest versions first with the runs on each; two statements."""
    ended = Q(status__in=FINISHED)
    counts = {
        row["version_id"]: (row["live"], row["ended"])
        for row in PipelineRun.objects.filter(pipeline=pipeline, parent=None)
        .order_by()
        .values("version_id")
        .annotate(live=Count("pk", filter=~ended), ended=Count("pk", filter=ended))
    }
    rows = pipeline.versions.select_related("published_by").defer("document", "program").order_by("-number")
    return [
        VersionRow(
            pk=version.pk,
            number=version.number,
            checksum=version.checksum,
            note=version.note,
            policy=version.get_runs_policy_display().lower(),
            published_at=version.published_at,
            published_by=str(version.published_by or ""),
            live=counts.get(version.pk, (0, 0))[0],
            ended=counts.get(version.pk, (0, 0))[1],
            is_current=version.pk == pipeline.current_version_id,
            published_by_name=version.published_by.get_full_name() if version.published_by else "",
        )
        for version in rows[:limit]
    ]


def dashboard_numbers(
    *, team: Team | None, user: AbstractBaseUser | None, runs: RunCounts, now: datetime
) -> DashboardNumbers:
    """Four statements, whatever the team's size."""
    midnight = now.astimezone(ZoneInfo(team.timezone if team else "UTC")).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    messages = Message.objects.for_team(team)
    uncertain = messages.filter(state=Message.State.UNCERTAIN, decided_at=None)
    mine = Task.objects.for_team(team).filter(assignee_id=user.pk if user else None, status=Task.Status.OPEN)
    tasks = mine.aggregate(all=Count("pk"), overdue=Count("pk", filter=Q(due_at__lt=now)))
    active = Pipeline.objects.for_team(team).filter(status=Pipeline.Status.ACTIVE)
    return DashboardNumbers(
        active_pipelines=active.count(),
        running=runs.pending + runs.running + runs.waiting,
        due=runs.due,
        late=runs.late,
        failed=runs.failed,
        sent_today=messages.filter(sent_at__gte=midnight).count(),
        uncertain=uncertain.count(),
        my_tasks=tasks["all"] if user else 0,
        my_overdue_tasks=tasks["overdue"] if user else 0,
    )


def engine_status(*, real_now: datetime) -> EngineStatus:
    """Two statements; ticks and heartbeats are compared with the real clock."""
    ticked = last_tick_at()
    alive = EngineWorker.objects.filter(heartbeat_at__gte=real_now - WORKER_ALIVE)
    return EngineStatus(
        last_tick_at=ticked,
        tick_age_seconds=None if ticked is None else (real_now - ticked).total_seconds(),
        workers=alive.count(),
    )


def contact_runs(*, subject: Model, limit: int = 50) -> list[PipelineRun]:
    """The newest runs of one record with their pipeline and steps, in one statement."""
    return list(runs_of(subject).order_by("-id")[:limit])


def runs_of(subject: Model) -> QuerySet[PipelineRun]:
    """Root runs of one record."""
    kind = ContentType.objects.get_for_model(subject)
    return PipelineRun.objects.filter(subject_type=kind, subject_id=subject.pk, parent=None).select_related(
        "pipeline", "version", "step", "last_step", "trigger"
    )


def _pending(now: datetime, *, due: bool) -> Q:
    when = Q(next_step_at__lte=now) if due else Q(next_step_at__gt=now)
    return Q(status=RunStatus.PENDING) & when
