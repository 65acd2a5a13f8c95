"""How many runs there are in which state: one statement, which reads an index of open and failed runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, Q

from crm.models import Team
from pipelines.models import Pipeline, PipelineRun
from pipelines.models.run import COUNTED
from pipelines.states import RunStatus

LATE_AFTER: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class StateCount:
    """Whole runs of one pipeline in one state."""

    pipeline_id: int
    status: int
    pipeline_status: int
    runs: int
    due: int
    late: int


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Runs of a team by what they need."""

    pending: int
    due: int
    late: int
    running: int
    waiting: int
    paused: int
    failed: int


def state_counts(*, team: Team | None, now: datetime) -> list[StateCount]:
    """Whole runs that are open or failed, by pipeline and state; tests are not counted."""
    rows = (
        PipelineRun.objects.for_team(team)
        .entered()
        .filter(status__in=COUNTED)
        .order_by()
        .values_list("pipeline_id", "status", "pipeline__status")
        .annotate(
            runs=Count("*"),
            due=Count("status", filter=Q(next_step_at__lte=now)),
            late=Count("status", filter=Q(next_step_at__lte=now - LATE_AFTER)),
        )
    )
    return [StateCount(*row) for row in rows]


def run_counts(states: Sequence[StateCount]) -> RunCounts:
    """All pipelines together; paused ones are never late."""
    pending = [each for each in states if each.status == RunStatus.PENDING]
    active = [each for each in pending if each.pipeline_status == Pipeline.Status.ACTIVE]
    return RunCounts(
        pending=_sum(states, RunStatus.PENDING),
        due=sum(each.due for each in pending),
        late=sum(each.late for each in active),
        running=_sum(states, RunStatus.RUNNING),
        waiting=_sum(states, RunStatus.WAITING),
        paused=_sum(states, RunStatus.PAUSED),
        failed=_sum(states, RunStatus.FAILED),
    )


def _sum(states: Sequence[StateCount], status: RunStatus) -> int:
    return sum(each.runs for each in states if each.status == status)
