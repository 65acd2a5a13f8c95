"""What a new version does to runs that wait: removed steps hand them on, changed delays retime them."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Case, CharField, F, QuerySet, UUIDField, Value, When
from django.db.models.functions import Cast, Greatest, Substr
from django.db.models.lookups import Exact

from pipelines.definition.delays import Delay, parse_delay
from pipelines.engine.cursor import KEPT_VERSION
from pipelines.models import Pipeline, PipelineRun, PipelineVersion, StepExecution
from pipelines.states import RunPhase, RunStatus

REASON: Final = "step_removed"
_PENDING: Final = {
    "status": RunStatus.PENDING,
    "phase__in": (RunPhase.ENTER, RunPhase.RESCHEDULE),
    "parent__isnull": True,
    # Always so for a pending run; said again because the index of lanes is partial.
    "next_step_at__isnull": False,
}
Plan = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Moved:
    """How many waiting runs a publish touched, and how."""

    retimed: int = 0
    passed_on: int = 0
    completed: int = 0

    def as_details(self) -> dict[str, int]:
        return asdict(self)


def follow(*, pipeline: Pipeline, version: PipelineVersion, now: datetime) -> Moved:
    """Move the runs that wait between steps, in a number of statements that depends on steps only.

    Runs inside a step finish that visit on their old version. A pinned pipeline moves nothing.
    """
    if pipeline.versioning != Pipeline.Versioning.FOLLOW:
        return Moved()
    new = {step["id"]: step for step in version.program["steps"]}
    places = _waiting_places(pipeline, version)
    programs = dict(PipelineVersion.objects.filter(pk__in=places).values_list("pk", "program"))
    retimes: dict[tuple[int, float | None], set[int]] = defaultdict(set)
    handovers: dict[tuple[int, int | None, float | None], set[int]] = defaultdict(set)
    for version_id, step_ids in places.items():
        old = {step["id"]: step for step in programs[version_id]["steps"]}
        for step_id in step_ids & old.keys():
            if step_id not in new:
                heir = _heir(old[step_id], programs[version_id]["steps"], new)
                delta = None if heir is None else _difference(old[step_id], new[heir])
                handovers[step_id, heir, delta].add(version_id)
            elif old[step_id]["delay"] != new[step_id]["delay"]:
                retimes[step_id, _difference(old[step_id], new[step_id])].add(version_id)
    return Moved(
        retimed=sum(_retime(pipeline, version, now, *key, ids) for key, ids in retimes.items()),
        passed_on=sum(
            _hand_over(pipeline, version, now, *key, ids) for key, ids in handovers.items() if key[1] is not None
        ),
        completed=sum(_complete(pipeline, now, key[0], ids) for key, ids in handovers.items() if key[1] is None),
    )


def _waiting_places(pipeline: Pipeline, version: PipelineVersion) -> dict[int, set[int]]:
    """Steps where runs wait, by version: one grouped statement over the lane index."""
    steps = list(pipeline.steps.values_list("pk", flat=True))
    pairs = (
        PipelineRun.objects.filter(**_PENDING, pipeline=pipeline, step_id__in=steps)
        .exclude(version=version)
        .order_by()
        .values_list("version_id", "step_id")
        .distinct()
    )
    found: dict[int, set[int]] = defaultdict(set)
    for version_id, step_id in pairs:
        found[version_id].add(step_id)
    return found


def _heir(gone: Plan, steps: list[Plan], new: Collection[int]) -> int | None:
    """The nearest surviving step after a removed one, along the edges of the old version."""
    order = [step["key"] for step in steps]
    by_key = {step["key"]: step for step in steps}
    seen: set[str] = set()
    step = gone
    while step["key"] not in seen:
        seen.add(step["key"])
        target = step["next"] or step["on"].get("next") or "next"
        if target == "next":
            position = order.index(step["key"]) + 1
            target = order[position] if position < len(order) else "end"
        if target not in by_key:
            return None
        step = by_key[target]
        if step["id"] in new:
            return int(step["id"])
    return None


def _difference(old: Plan, new: Plan) -> float | None:
    """Seconds to add to a due time; None when the engine must work the delay out again."""
    before, after = _plain(parse_delay(old["delay"])), _plain(parse_delay(new["delay"]))
    return None if before is None or after is None else after - before


def _plain(delay: Delay) -> float | None:
    return delay.seconds if delay.is_plain_seconds else None


def _retime(
    pipeline: Pipeline,
    version: PipelineVersion,
    now: datetime,
    step_id: int,
    delta: float | None,
    versions: set[int],
) -> int:
    return _waiting(pipeline, step_id, versions).filter(attempt=0).update(version=version, **_when(delta, now))


def _hand_over(
    pipeline: Pipeline,
    version: PipelineVersion,
    now: datetime,
    step_id: int,
    heir: int | None,
    delta: float | None,
    versions: set[int],
) -> int:
    """Pass runs on as if the removed step had never stood there; time already waited counts."""
    _log(pipeline, step_id, versions, now, heir)
    return _waiting(pipeline, step_id, versions).update(
        version=version,
        step_id=heir,
        attempt=0,
        # The removed visit has its log row, so the next one needs its own number.
        seq=F("seq") + 1,
        **_when(delta, now),
    )


def _complete(pipeline: Pipeline, now: datetime, step_id: int, versions: set[int]) -> int:
    _log(pipeline, step_id, versions, now, None)
    return _waiting(pipeline, step_id, versions).update(
        status=RunStatus.COMPLETED,
        reason=REASON,
        outcome="skipped",
        finished_at=now,
        next_step_at=None,
        last_step_id=step_id,
        dedup=_kept_key(),
    )


def _when(delta: float | None, now: datetime) -> dict[str, Any]:
    if delta is None:
        return {"phase": RunPhase.RESCHEDULE, "next_step_at": now}
    return {"next_step_at": Greatest(F("next_step_at") + timedelta(seconds=delta), now)}


def _waiting(pipeline: Pipeline, step_id: int, versions: set[int]) -> QuerySet[PipelineRun]:
    return PipelineRun.objects.filter(pipeline=pipeline, step_id=step_id, version_id__in=versions, **_PENDING)


def _kept_key() -> Case:
    """The re-entry key stays where its policy says so, which its UUID version tells."""
    text = Cast("dedup", CharField())
    digit = Substr(text, 15 if connection.vendor == "postgresql" else 13, 1)
    return Case(
        When(Exact(digit, Value(str(KEPT_VERSION))), then=F("dedup")),
        default=Value(None),
        output_field=UUIDField(null=True),
    )


def _log(pipeline: Pipeline, step_id: int, versions: set[int], now: datetime, heir: int | None) -> None:
    """One row per run that leaves a removed step, copied inside the database."""
    table, runs = StepExecution._meta.db_table, PipelineRun._meta.db_table
    at = connection.ops.adapt_datetimefield_value(now)
    cast = "::jsonb" if connection.vendor == "postgresql" else ""
    marks = ", ".join(["%s"] * len(versions))
    why = json.dumps([{"rule": REASON, "to": heir}])
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (at, run_id, root_id, step_id, seq, attempt, event, outcome,"  # noqa: S608 - names of tables only
            f" started_at, finished_at, why) SELECT %s, id, root_id, step_id, seq, attempt, %s,"
            f" %s, %s, %s, %s{cast} FROM {runs} WHERE pipeline_id = %s AND step_id = %s"
            f" AND version_id IN ({marks}) AND status = %s AND phase IN (%s, %s)"
            f" AND parent_id IS NULL AND next_step_at IS NOT NULL",
            [
                *(at, StepExecution.Event.MOVED, "skipped", at, at, why, pipeline.pk, step_id),
                *(*versions, RunStatus.PENDING, RunPhase.ENTER, RunPhase.RESCHEDULE),
            ],
        )
