"""Acts out what a new version does to runs on their way: removed steps hand them on, changed delays retime them."""

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest

from pipelines.definition.program import Program
from pipelines.engine.controls import cancel_pipeline_runs
from pipelines.engine.ending import kept_key
from pipelines.engine.rejoining import REASON
from pipelines.models import Pipeline, PipelineRun, PipelineVersion, StepExecution
from pipelines.models.run import FINISHED
from pipelines.operations.planning import BETWEEN, Move, Moved, Policy, plan, waiting_census
from pipelines.states import RunPhase, RunStatus

REPLACED: Final = "version_replaced"


def follow(*, pipeline: Pipeline, version: PipelineVersion, policy: Policy, now: datetime) -> Moved:
    """Move the runs that wait between steps, in a number of statements that depends on steps only.

    Runs inside a step finish that visit on their old version. With "pin" nobody moves, with "cancel" all end.
    """
    if policy == "pin":
        return Moved()
    if policy == "cancel":
        ended = PipelineRun.objects.filter(pipeline=pipeline, parent=None).exclude(status__in=FINISHED).count()
        cancel_pipeline_runs(pipeline=pipeline, reason=REPLACED)
        return Moved(cancelled=ended)
    moves = plan(waiting_census(pipeline), new=Program.load(version.program))
    done = {"retime": 0, "pass_on": 0, "complete": 0, "stay": 0}
    for move in moves:
        done[move.fate.kind] += _act(pipeline, version, now, move)
    return Moved(retimed=done["retime"], passed_on=done["pass_on"], completed=done["complete"])


def _act(pipeline: Pipeline, version: PipelineVersion, now: datetime, move: Move) -> int:
    match move.fate.kind:
        case "stay":
            return 0
        case "retime":
            return _retime(pipeline, version, now, move)
        case "pass_on":
            return _hand_over(pipeline, version, now, move)
        case "complete":
            return _complete(pipeline, now, move)


def _retime(pipeline: Pipeline, version: PipelineVersion, now: datetime, move: Move) -> int:
    return _waiting(pipeline, move).filter(attempt=0).update(version=version, **_when(move.fate.delta, now))


def _hand_over(pipeline: Pipeline, version: PipelineVersion, now: datetime, move: Move) -> int:
    """Pass runs on as if the removed step had never stood there; time already waited counts."""
    _log(pipeline, move.step_id, move.versions, now, move.fate.step_id)
    return _waiting(pipeline, move).update(
        version=version,
        step_id=move.fate.step_id,
        attempt=0,
        # The removed visit has its log row, so the next one needs its own number.
        seq=F("seq") + 1,
        **_when(move.fate.delta, now),
    )


def _complete(pipeline: Pipeline, now: datetime, move: Move) -> int:
    _log(pipeline, move.step_id, move.versions, now, None)
    return _waiting(pipeline, move).update(
        status=RunStatus.COMPLETED,
        reason=REASON,
        outcome="skipped",
        finished_at=now,
        next_step_at=None,
        last_step_id=move.step_id,
        dedup=kept_key(),
    )


def _when(delta: float | None, now: datetime) -> dict[str, Any]:
    if delta is None:
        return {"phase": RunPhase.RESCHEDULE, "next_step_at": now}
    return {"next_step_at": Greatest(F("next_step_at") + timedelta(seconds=delta), now)}


def _waiting(pipeline: Pipeline, move: Move) -> QuerySet[PipelineRun]:
    return PipelineRun.objects.filter(pipeline=pipeline, step_id=move.step_id, version_id__in=move.versions, **BETWEEN)


def _log(pipeline: Pipeline, step_id: int, versions: Collection[int], now: datetime, heir: int | None) -> None:
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
