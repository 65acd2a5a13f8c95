"""Questions about pipelines and runs, each answered in a fixed number of statements."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Model, Q, QuerySet

from crm.models import Message, Task, Team
from pipelines.counting import RunCounts
from pipelines.models import (
    Effect,
    EngineState,
    EngineWorker,
    Pipeline,
    PipelineRun,
    PipelineStep,
    StepExecution,
)
from pipelines.models.run import FINISHED
from pipelines.personal import personal_names, reasons_without_personal, without_personal
from pipelines.states import RunStatus

Row = TypeVar("Row", bound=Model)

LIVE: Final = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING)
WORKER_ALIVE: Final = timedelta(minutes=2)
LONGEST_STORY: Final = 1_000
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


@dataclass(frozen=True, slots=True)
class StoryVisit:
    """One row of a run's log with what it caused."""

    id: int
    at: datetime
    started_at: datetime
    seq: int
    attempt: int
    step_id: int
    step_key: str
    step_name: str
    action_type: str
    event: str
    outcome: str | None
    why: Any
    output: Any
    error: str | None
    messages: tuple[Message, ...] = ()
    effects: tuple[Effect, ...] = ()
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to a run, and what comes next."""

    visits: tuple[StoryVisit, ...]
    # Effects and messages of the visit that has not ended yet.
    open_messages: tuple[Message, ...] = ()
    open_effects: tuple[Effect, ...] = ()
    next_step: PipelineStep | None = None
    next_step_at: datetime | None = None
    # Names under which the page tells no values.
    personal: frozenset[str] = frozenset()


def last_tick_at() -> datetime | None:
    """When the engine last looked for due runs, None when it never did."""
    return EngineState.objects.filter(name="tick").values_list("at", flat=True).first()


def runs_by_step(*, pipeline: Pipeline, now: datetime) -> dict[int, StepCounts]:
    """Counts by step id in one statement; steps without runs are left out."""
    rows = (
        PipelineRun.objects.filter(status__in=(*LIVE, RunStatus.FAILED), pipeline=pipeline)
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


def run_story(run: PipelineRun) -> Story:
    """The visits with what and why, oldest first; seven statements beside the run's own."""
    newest = StepExecution.objects.filter(run_id=run.pk).order_by("-id")[:LONGEST_STORY]
    log = sorted(newest, key=lambda row: row.pk)
    steps = _steps_of(run, log)
    names = personal_names(team_id=run.pipeline.team_id)
    messages = _by_seq(Message.objects.filter(run_id=run.pk).order_by("pk"), "run_seq")
    effects = _by_seq(Effect.objects.filter(run=run).order_by("pk"), "seq")
    tasks = _by_seq(Task.objects.filter(run_id=run.pk).order_by("pk"), "run_seq")
    last = {row.seq: row.pk for row in log}
    visits = tuple(
        _visit(
            row,
            steps.get(row.step_id),
            names,
            # A retried visit has several rows; what it caused is told once, with the last.
            messages=messages.get(row.seq, ()) if last[row.seq] == row.pk else (),
            effects=effects.get(row.seq, ()) if last[row.seq] == row.pk else (),
            tasks=tasks.get(row.seq, ()) if last[row.seq] == row.pk else (),
        )
        for row in log
    )
    return Story(
        visits=visits,
        open_messages=messages.get(run.seq, ()) if run.seq not in last else (),
        open_effects=effects.get(run.seq, ()) if run.seq not in last else (),
        next_step=steps.get(run.step_id or 0) if run.next_step_id else None,
        next_step_at=run.next_step_at if run.next_step_id else None,
        personal=names,
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


def _steps_of(run: PipelineRun, log: Iterable[StepExecution]) -> dict[int, PipelineStep]:
    ids = {row.step_id for row in log} | {run.step_id or 0, run.last_step_id or 0}
    return PipelineStep.objects.in_bulk(ids)


def _by_seq(rows: Iterable[Row], column: str) -> dict[int, tuple[Row, ...]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[getattr(row, column)].append(row)
    return {seq: tuple(group) for seq, group in found.items()}


def _visit(
    row: StepExecution,
    step: PipelineStep | None,
    names: frozenset[str],
    *,
    messages: Sequence[Message],
    effects: Sequence[Effect],
    tasks: Sequence[Task],
) -> StoryVisit:
    return StoryVisit(
        id=row.pk,
        at=row.at,
        started_at=row.started_at,
        seq=row.seq,
        attempt=row.attempt,
        step_id=row.step_id,
        step_key=step.key if step else "",
        step_name=str(step.name or step.key) if step else "a step that was removed",
        action_type=step.action_type if step else "",
        event=StepExecution.Event(row.event).label,
        outcome=row.outcome,
        why=reasons_without_personal(row.why, names=names) if row.why else row.why,
        output=without_personal(row.output, names=names),
        error=row.error,
        messages=tuple(messages),
        effects=tuple(effects),
        tasks=tuple(tasks),
    )
