"""What a new version will do to the runs on their way: read once, decided purely, shared by preview and act."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from django.db.models import Case, Count, IntegerField, Max, Min, Q, Value, When

from pipelines.definition.program import Program
from pipelines.definition.succession import Fate, fate
from pipelines.engine.programs import programs
from pipelines.models import Pipeline, PipelineRun
from pipelines.models.run import FINISHED
from pipelines.states import RunPhase, RunStatus

Policy = Literal["follow", "pin", "cancel"]
Standing = Literal["between", "retrying", "inside", "paused", "child"]
BETWEEN: Final[Mapping[str, Any]] = {
    "status": RunStatus.PENDING,
    "phase__in": (RunPhase.ENTER, RunPhase.RESCHEDULE),
    "parent__isnull": True,
    # Always so for a pending run; said again because the index of lanes is partial.
    "next_step_at__isnull": False,
}
_STANDINGS: Final[Sequence[Standing]] = ("between", "retrying", "paused", "child", "inside")


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one version that stand at one step in the same way."""

    version_id: int
    step_id: int | None
    standing: Standing
    count: int
    first_due: datetime | None = None
    last_due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """How many runs a publish touches, and how."""

    retimed: int = 0
    passed_on: int = 0
    completed: int = 0
    cancelled: int = 0

    def as_details(self) -> dict[str, int]:
        """For the audit; what did not happen at all is said as 0."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Move:
    """Runs of some versions that wait before one step, and what becomes of them."""

    step_id: int
    fate: Fate
    versions: frozenset[int]


def census(pipeline: Pipeline) -> list[Group]:
    """Where every run on its way stands: one grouped statement."""
    standing = Case(
        When(parent__isnull=False, then=Value(3)),
        When(status=RunStatus.PAUSED, then=Value(2)),
        When(Q(**BETWEEN, attempt=0), then=Value(0)),
        When(Q(**BETWEEN), then=Value(1)),
        default=Value(4),
        output_field=IntegerField(),
    )
    rows = (
        PipelineRun.objects.filter(pipeline=pipeline)
        .exclude(status__in=FINISHED)
        .order_by()
        .values_list("version_id", "step_id", standing)
        .annotate(count=Count("pk"), first=Min("next_step_at"), last=Max("next_step_at"))
    )
    return [Group(row[0], row[1], _STANDINGS[row[2]], *row[3:]) for row in rows]


def waiting_census(pipeline: Pipeline) -> list[Group]:
    """Only the runs that wait between steps, over the index of lanes: one grouped statement."""
    steps = list(pipeline.steps.values_list("pk", flat=True))
    standing = Case(When(attempt=0, then=Value(0)), default=Value(1), output_field=IntegerField())
    rows = (
        PipelineRun.objects.filter(**BETWEEN, pipeline=pipeline, step_id__in=steps)
        .order_by()
        .values_list("version_id", "step_id", standing)
        .annotate(count=Count("pk"))
    )
    return [Group(row[0], row[1], _STANDINGS[row[2]], row[3]) for row in rows]


def plan(groups: Sequence[Group], *, new: Program) -> list[Move]:
    """The moves that a version brings about, one for each step and kind of change; at most one statement."""
    waiting = [group for group in groups if group.standing in ("between", "retrying")]
    old = programs({group.version_id for group in waiting})
    found: dict[tuple[int, Fate], set[int]] = defaultdict(set)
    for group in waiting:
        if group.step_id is not None and group.version_id in old:
            what = fate(group.step_id, old=old[group.version_id].program, new=new)
            found[group.step_id, what].add(group.version_id)
    return [Move(step_id, what, frozenset(versions)) for (step_id, what), versions in found.items()]


def default_policy(pipeline: Pipeline) -> Policy:
    """What becomes of runs when nobody says otherwise, as the pipeline's settings have it."""
    return "follow" if pipeline.versioning == Pipeline.Versioning.FOLLOW else "pin"


def counted(groups: Sequence[Group], moves: Sequence[Move], *, policy: Policy) -> Moved:
    """The totals of a plan, before anything has happened."""
    if policy == "pin":
        return Moved()
    if policy == "cancel":
        return Moved(cancelled=sum(group.count for group in groups if group.standing != "child"))
    totals = {"retimed": 0, "passed_on": 0, "completed": 0}
    for name, group in _touched(groups, moves):
        totals[name] += group.count
    return Moved(**totals)


def _touched(groups: Sequence[Group], moves: Sequence[Move]) -> Iterator[tuple[str, Group]]:
    names = {"retime": "retimed", "pass_on": "passed_on", "complete": "completed"}
    for group in groups:
        move = move_of(group, moves)
        if move is not None and move.fate.kind in names:
            yield names[move.fate.kind], group


def move_of(group: Group, moves: Sequence[Move]) -> Move | None:
    """The move that a group takes part in; runs that retry a step keep the time of their retry."""
    if group.standing not in ("between", "retrying"):
        return None
    for move in moves:
        if move.step_id == group.step_id and group.version_id in move.versions:
            return None if group.standing == "retrying" and move.fate.kind == "retime" else move
    return None
