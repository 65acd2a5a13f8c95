"""Runs that nothing will move, that should have moved, or that were set aside."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from crm.models import Task
from pipelines.doctor.findings import Clocks, Finding, some
from pipelines.engine.ending import locked
from pipelines.engine.rescue import note_strikes, settle_expired
from pipelines.models import Effect, EventWait, LaneStrike, Pipeline, PipelineRun, StepExecution
from pipelines.states import RunPhase, RunStatus

IN_FLIGHT: Final = (Effect.Status.QUEUED, Effect.Status.LEASED, Effect.Status.SENDING)
# The tick settles an expired lease within a minute; what is older was not looked at.
LEASE_PATIENCE: Final = timedelta(minutes=3)
SET_ASIDE: Final = "Set aside:"


def stuck_runs(clocks: Clocks) -> Sequence[Finding]:
    """Unfinished runs with no due time whose effect, task and children are all gone."""
    abandoned = _abandoned()

    def repair() -> str:
        moved = PipelineRun.objects.filter(pk__in=abandoned.values("pk")).update(next_step_at=clocks.now)
        return f"{moved} made due: the next tick decides what becomes of their step"

    return some(
        abandoned,
        code="runs.stuck",
        problem="{count} run{s} {are} not finished, and nothing will ever move them.",
        advice="doctor --fix makes them due; or retry or cancel each in the admin.",
        repair=repair,
    )


def _abandoned() -> QuerySet[PipelineRun]:
    effects = Effect.objects.filter(run=OuterRef("pk"), seq=OuterRef("seq"), status__in=IN_FLIGHT)
    tasks = Task.objects.filter(run_id=OuterRef("pk"), run_seq=OuterRef("seq"), status=Task.Status.OPEN)
    waits = EventWait.objects.filter(run=OuterRef("pk"), seq=OuterRef("seq"), status=EventWait.Status.OPEN)
    children = PipelineRun.objects.filter(parent=OuterRef("pk"), parent_seq=OuterRef("seq"), finished_at=None)
    return PipelineRun.objects.filter(
        ~Exists(effects),
        ~Exists(tasks),
        ~Exists(waits),
        ~Exists(children),
        status__in=(RunStatus.RUNNING, RunStatus.WAITING),
        next_step_at=None,
    )


def overdue_runs(clocks: Clocks) -> Sequence[Finding]:
    """Runs whose time has long come; runs of paused pipelines wait on purpose."""
    late = PipelineRun.objects.filter(
        ~Q(pipeline__status=Pipeline.Status.PAUSED),
        status__in=(RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING),
        next_step_at__lt=clocks.now - timedelta(minutes=clocks.minutes),
    )
    return some(
        late,
        code="runs.overdue",
        problem=f"{{count}} run{{s}} should have moved more than {clocks.minutes} minutes ago.",
        advice="See that `manage.py worker` runs; `manage.py process_pipelines` works through them at once.",
    )


def expired_leases(clocks: Clocks) -> Sequence[Finding]:
    """Outside work that its worker left behind."""
    lost = Effect.objects.filter(
        Q(lease_until=None) | Q(lease_until__lt=clocks.real_now - LEASE_PATIENCE),
        status__in=(Effect.Status.LEASED, Effect.Status.SENDING),
    )

    def repair() -> str:
        # A lease without an end would never expire.
        Effect.objects.filter(pk__in=lost.values("pk"), lease_until=None).update(lease_until=clocks.real_now)
        settle_expired(now=clocks.now)
        note_strikes(now=clocks.real_now)
        return "settled: work that had begun is uncertain or repeated, the rest is queued again"

    return some(
        lost,
        code="effects.expired",
        problem="{count} message{s} or call{s} {are} held by a worker that is gone.",
        advice="A tick settles them: see that `manage.py worker` runs, or use doctor --fix.",
        repair=repair,
    )


def miscounted_children(clocks: Clocks) -> Sequence[Finding]:
    """Runs whose count of open children is not the number of children that are open in their visit."""
    wrong = _miscounted()

    def repair() -> str:
        with transaction.atomic():
            rows = list(locked(list(wrong.values_list("pk", flat=True))).values_list("pk", "status"))
            counts = dict(_miscounted().filter(pk__in=[pk for pk, _ in rows]).values_list("pk", "really_open"))
            for count in set(counts.values()):
                ids = [pk for pk, found in counts.items() if found == count]
                PipelineRun.objects.filter(pk__in=ids).update(open_children=count)
            waiting = [pk for pk, status in rows if pk in counts and status == RunStatus.WAITING]
            # The block itself decides whether it is over.
            PipelineRun.objects.filter(pk__in=waiting).update(
                status=RunStatus.PENDING.value,
                phase=RunPhase.RESUME.value,
                held_until=F("next_step_at"),
                next_step_at=clocks.now,
            )
        return f"{len(counts)} counted anew: the next tick looks whether their blocks are over"

    return some(
        wrong,
        code="runs.miscounted",
        problem="{count} run{s} {are} counting children wrongly, and may wait for ever.",
        advice="doctor --fix counts anew and lets the next tick look at them.",
        repair=repair,
    )


def _miscounted() -> QuerySet[Any]:
    children = (
        PipelineRun.objects.filter(parent=OuterRef("pk"), parent_seq=OuterRef("seq"), finished_at=None)
        .order_by()
        .values("parent")
        .annotate(n=Count("pk"))
        .values("n")
    )
    live = PipelineRun.objects.filter(
        Q(open_children__gt=0) | Q(status=RunStatus.WAITING),
        finished_at=None,
    )
    really = Coalesce(Subquery(children, output_field=IntegerField()), Value(0))
    return live.annotate(really_open=really).exclude(open_children=really)


def quarantined_runs(clocks: Clocks) -> Sequence[Finding]:
    """Runs that stopped their worker again and again."""
    verdict = StepExecution.objects.filter(
        run_id=OuterRef("pk"), seq=OuterRef("seq"), error__startswith=SET_ASIDE, event=StepExecution.Event.FAILED
    )
    return some(
        PipelineRun.objects.filter(Exists(verdict), status=RunStatus.FAILED),
        code="runs.quarantined",
        problem="{count} run{s} {are} set aside because they kept stopping their worker.",
        advice="Read their log, mend the step or its data, then retry them in the admin.",
    )


def suspicious_steps(clocks: Clocks) -> Sequence[Finding]:
    """Steps in which workers died within the last hour."""
    return some(
        LaneStrike.objects.filter(updated_at__gt=clocks.real_now - timedelta(hours=1)),
        code="steps.deadly",
        problem="In the last hour workers died in {count} step{s}.",
        advice="Look for memory and time limits of the worker, and at what these steps do.",
    )
