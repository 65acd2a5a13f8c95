"""What to look at: steps that fail for too many, pipelines that nobody enters, steps far slower than usual."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Sum

from crm.models import Member, Notification, Team
from crm.models.member import Role
from crm.outside import is_closed
from pipelines.definition.durations import format_duration
from pipelines.engine.clock import real_now
from pipelines.models import EngineState, Firing, Pipeline, PipelineRun, PipelineStep, StepCircuit, StepStat, Trigger

NAME: Final = "alarms"
EVERY: Final = timedelta(minutes=10)
SILENT: Final = timedelta(hours=24)
# Who usually comes less often than about once a day is not missed after a day; where so few ever came, after a week.
USUAL: Final = 7
WEEK: Final = timedelta(days=7)
SLOWER: Final = 10
COMPARED: Final = timedelta(days=14)
# Fewer visits say little about how long a step takes; less than a minute is nothing to be told of.
FEWEST_NOW, FEWEST_BEFORE, LEAST_SECONDS = 20, 100, 60
LEADERS: Final = (Role.OWNER, Role.ADMIN, Role.MANAGER)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing to look at; `key` is the same as long as it lasts."""

    key: str
    code: str
    pipeline_id: int
    team_id: int
    title: str
    sentence: str


def alarms(*, team: Team | None, now: datetime) -> list[Alarm]:
    """Everything to look at now, of one team or of all; five statements at most."""
    live = Pipeline.objects.for_team(team).filter(status=Pipeline.Status.ACTIVE)
    return [*_failing(team), *_silent(live, now), *_slow(live, now)]


def _failing(team: Team | None) -> list[Alarm]:
    """Steps whose circuit is open."""
    rows = StepCircuit.objects.for_team(team).exclude(state=StepCircuit.State.LET).select_related("step__pipeline")
    return [alarm_of(circuit) for circuit in rows.order_by("opened_at", "pk")]


def alarm_of(circuit: StepCircuit) -> Alarm:
    """What is told of a step that fails for too many."""
    step = circuit.step
    name = step.name or step.key
    return Alarm(
        key=f"alarm:failing:{step.pk}",
        code="step.failing",
        pipeline_id=step.pipeline_id,
        team_id=step.pipeline.team_id,
        title=f"“{name}” fails for too many",
        sentence=f"“{name}” of “{step.pipeline.name}” failed for {circuit.failed:,} of the last {circuit.reached:,} "
        "who reached it. Runs wait before it, and a few are tried first.",
    )


def _silent(live: QuerySet[Pipeline], now: datetime) -> list[Alarm]:
    """Active pipelines whose triggers fire by themselves, and nobody entered: as people used to, for long, or ever."""
    by_itself = Trigger.objects.filter(pipeline=OuterRef("pk"), enabled=True).exclude(kind=Trigger.Kind.MANUAL)
    entered = PipelineRun.objects.came_in().filter(pipeline=OuterRef("pk")).values("created_at")
    newest = entered.order_by("-id")
    rows = live.filter(Exists(by_itself)).annotate(
        first=Subquery(entered.order_by("id")[:1]),
        last=Subquery(newest[:1]),
        earlier=Subquery(newest[USUAL - 1 : USUAL]),
        by_schedule=~Exists(by_itself.exclude(kind=Trigger.Kind.CRON)),
    )
    stopped = Q(last__lt=now - SILENT, earlier__gte=now - SILENT - WEEK)
    seldom = Q(last__lt=now - WEEK, earlier=None)
    found = list(rows.filter(stopped | seldom | Q(last=None)).order_by("pk"))
    waits = _wait_since({row.pk: row.last for row in found if row.earlier is None or row.by_schedule})
    return [
        Alarm(
            key=f"alarm:silent:{row.pk}",
            code="pipeline.silent",
            pipeline_id=row.pk,
            team_id=row.team_id,
            title=f"Nobody enters {row.name}",
            sentence=f"“{row.name}” is active, but nobody entered for {format_duration(_hours(since))}.",
        )
        for row in found
        if (since := _silence(row, waits.get(row.pk), now)) is not None
    ]


def _silence(row: Any, waits: timedelta | None, now: datetime) -> timedelta | None:
    """How long nobody entered, where that is to be told of.

    Where few ever came it is told after a week in which triggers were open, and not before they have stayed away
    for as long as they came. Where people come by schedules alone it is told when one has fired since.
    """
    if row.last is None:
        return waits
    silence: timedelta = now - row.last
    if row.earlier is not None:
        return None if row.by_schedule and waits is None else silence
    is_long = waits is not None and waits > WEEK and silence > row.last - row.first
    return silence if is_long else None


def _wait_since(pipelines: Mapping[int, datetime | None]) -> dict[int, timedelta]:
    """How long pipelines, by when somebody came last, have had a trigger that should have fired by now; one statement.

    Triggers are open since a moment of the machine's clock, so it is the one compared with.
    """
    if not pipelines:
        return {}
    now = real_now()
    fired = Firing.objects.filter(trigger=OuterRef("pk"), state=Firing.State.DONE).order_by("-id").values("at")
    rows = Trigger.objects.filter(pipeline_id__in=pipelines, enabled=True, armed_at__lt=now - SILENT)
    found: dict[int, timedelta] = {}
    for trigger in rows.exclude(kind=Trigger.Kind.MANUAL).annotate(came=Subquery(fired[:1])):
        since = now - (trigger.armed_at or now) - timedelta(seconds=trigger.silence or 0)
        last = pipelines[trigger.pipeline_id]
        # Who waits for a schedule is not missed before its time has come, and has come again since they came.
        is_due = trigger.came is not None and (last is None or trigger.came > last)
        if since > SILENT and (is_due or trigger.kind != Trigger.Kind.CRON):
            found[trigger.pipeline_id] = max(since, found.get(trigger.pipeline_id, SILENT))
    return found


def _hours(span: timedelta) -> float:
    return span.total_seconds() // 3_600 * 3_600


def _slow(live: QuerySet[Pipeline], now: datetime) -> list[Alarm]:
    """Steps whose visits of today took ten times as long as in the two weeks before."""
    today = now.date()
    live_names = {pk: (name, team_id) for pk, name, team_id in live.values_list("pk", "name", "team_id")}
    steps = PipelineStep.objects.filter(pipeline_id__in=live_names, archived_at=None)
    figures = (
        StepStat.objects.filter(step_id__in=steps.values("pk"), day__gte=today - COMPARED, day__lte=today)
        .order_by()
        .values("step_id")
        .annotate(
            visits=Sum("n", filter=Q(day=today)),
            waited=Sum("wait_s", filter=Q(day=today)),
            before=Sum("n", filter=Q(day__lt=today)),
            waited_before=Sum("wait_s", filter=Q(day__lt=today)),
        )
    )
    slow = {
        row["step_id"]: (row["waited"] / row["visits"], row["waited_before"] / row["before"])
        for row in figures
        if (row["visits"] or 0) >= FEWEST_NOW and (row["before"] or 0) >= FEWEST_BEFORE and _is_slower(row)
    }
    if not slow:
        return []
    found = []
    for step in PipelineStep.objects.filter(pk__in=slow).order_by("pk"):
        takes, took = slow[step.pk]
        name, team_id = live_names[step.pipeline_id]
        usual = "under a second" if took < 1 else format_duration(round(took))
        found.append(
            Alarm(
                key=f"alarm:slow:{step.pk}",
                code="step.slow",
                pipeline_id=step.pipeline_id,
                team_id=team_id,
                title=f"“{step.name or step.key}” is slow",
                sentence=f"“{step.name or step.key}” of “{name}” takes {format_duration(round(takes))} today, "
                f"and took {usual} in the two weeks before.",
            )
        )
    return found


def _is_slower(row: Mapping[str, Any]) -> bool:
    takes, took = row["waited"] / row["visits"], row["waited_before"] / row["before"]
    return bool(takes >= LEAST_SECONDS and takes >= SLOWER * took)


def watch(*, now: datetime, last: datetime | None) -> int:
    """Every ten minutes, tell those who lead a team of new alarms, once for as long as each lasts; how many.

    A simulation moves a few runs alone, which says nothing about silence.
    """
    if is_closed() or (last is not None and now < last + EVERY):
        return 0
    found = {alarm.key: alarm for alarm in alarms(team=None, now=now)}
    with transaction.atomic():
        EngineState.objects.update_or_create(name=NAME, defaults={"at": now})
        known = set(EngineState.objects.filter(name__startswith="alarm:").values_list("name", flat=True))
        EngineState.objects.filter(name__in=known - found.keys()).delete()
        fresh = [alarm for key, alarm in found.items() if key not in known]
        if fresh:
            EngineState.objects.bulk_create(
                [EngineState(name=alarm.key, at=now, data={"pipeline": alarm.pipeline_id}) for alarm in fresh],
                ignore_conflicts=True,
            )
            _tell(fresh, now)
    return len(fresh)


def tell_at_once(alarm: Alarm, *, now: datetime) -> None:
    """Tell of an alarm when it begins, instead of at the next look; that one then knows it."""
    EngineState.objects.update_or_create(name=alarm.key, defaults={"at": now, "data": {"pipeline": alarm.pipeline_id}})
    _tell([alarm], now)


def _tell(fresh: Sequence[Alarm], now: datetime) -> None:
    people = Member.objects.filter(team_id__in={alarm.team_id for alarm in fresh}, role__in=LEADERS)
    leads: dict[int, list[int]] = {}
    for team_id, user_id in people.values_list("team_id", "user_id"):
        leads.setdefault(team_id, []).append(user_id)
    Notification.objects.bulk_create(
        Notification(
            team_id=alarm.team_id, user_id=user_id, title=alarm.title[:200], body=alarm.sentence, created_at=now,
            about=Pipeline(pk=alarm.pipeline_id),
        )
        for alarm in fresh
        for user_id in leads.get(alarm.team_id, ())
    )  # fmt: skip
