"""A step for those who have passed its place: opt-in, previewed, in batches, and for each run at most once.

For each of them a run of its own is made that does only this step ("aside"): with the same subject and a copy of
what the passed run remembers, on the current version. The passed run is not touched and goes on its way.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from pipelines.definition.passing import Came, Way, came_to, still_ahead
from pipelines.definition.program import Program, Step
from pipelines.engine.clock import engine_now
from pipelines.engine.keys import side_key
from pipelines.engine.kick import kick
from pipelines.engine.programs import programs
from pipelines.models import Pipeline, PipelineRun, RunContext, StepExecution
from pipelines.models.run import FINISHED
from pipelines.operations.records import audit
from pipelines.operations.refusals import Refused
from pipelines.states import RunPhase, RunStatus

BATCH: Final = 1_000
MOST_AT_ONCE: Final = 20_000
ENDED_WELL: Final = ("end", "goal")
_LOG: Final = StepExecution.objects.filter(run_id=OuterRef("pk"))


@dataclass(frozen=True, slots=True)
class Passed:
    """How many runs have passed a step they never visited: still on their way, and completed."""

    step: str
    name: str
    on_the_way: int
    completed: int


@dataclass(frozen=True, slots=True)
class Backfilled:
    """How many got the step, and whether some are left for another call."""

    done: int
    left: bool


def preview_backfill(*, pipeline: Pipeline, step: str) -> Passed:
    """Who would get a step that they have passed; two statements beside the programs. Raises Refused."""
    found, program = _step(pipeline, step)
    live = _passed(pipeline, found, program, completed=False)
    done = _passed(pipeline, found, program, completed=True)
    return Passed(found.key, found.name or found.key, live.count(), done.count())


def backfill(
    *, pipeline: Pipeline, step: str, completed: bool = False, by: object = None, now: datetime | None = None
) -> Backfilled:
    """Let runs on their way that have passed a step do it now; with `completed` also those that came to the end.

    Up to 20,000 in a call, each thousand in a transaction of its own; calling again goes on where it ended.
    """
    if pipeline.status not in (Pipeline.Status.ACTIVE, Pipeline.Status.PAUSED):
        raise Refused("Only an active pipeline can give a step to those who have passed it.")
    found, program = _step(pipeline, step)
    moment = now or engine_now()
    total = sum(_pass(pipeline, found, program, done, moment) for done in ((False, True) if completed else (False,)))
    left = any(
        _passed(pipeline, found, program, completed=done).exists()
        for done in ((False, True) if completed else (False,))
    )
    audit(pipeline, "backfill", by, step=found.key, runs=total, completed=completed)
    return Backfilled(total, left)


def _step(pipeline: Pipeline, key: str) -> tuple[Step, Program]:
    version = pipeline.current_version_id
    if version is None:
        raise Refused("Nothing is published yet.")
    program = programs({version})[version].program
    step = program.by_key.get(key)
    if step is None or step.scope:
        raise Refused(f"The current version has no step '{key}' outside of its blocks.")
    return step, program


def _passed(pipeline: Pipeline, step: Step, program: Program, *, completed: bool) -> QuerySet[PipelineRun]:
    """Root runs that came by the place of the step, never visited it, and will not come to it any more."""
    runs = PipelineRun.objects.came_in().filter(pipeline=pipeline)
    if completed:
        runs = runs.filter(status=RunStatus.COMPLETED, reason__in=ENDED_WELL)
    else:
        runs = runs.exclude(status__in=FINISHED).exclude(step_id__in=still_ahead(step, program=program))
    came = came_to(step, program=program, oldest=_oldest(pipeline))
    # Who was passed on when the step went away for a while has never done it.
    done = _LOG.filter(step_id=step.id).exclude(event=StepExecution.Event.MOVED)
    return runs.filter(_came(came)).exclude(Exists(done))


def _oldest(pipeline: Pipeline) -> frozenset[int]:
    """The steps of the first version there is: no run is older than they are."""
    first = pipeline.versions.order_by("number").values_list("program", flat=True).first()
    return frozenset(step["id"] for step in (first or {}).get("steps", ()))


def _came(came: Came) -> Q:
    if came.at_start:
        return Q()
    led = Q(pk__in=[])
    for way in came.ways:
        led |= Q(Exists(_LOG.filter(_by(way))))
    for step_id, earlier in came.past:
        led |= ~Q(Exists(_LOG.filter(step_id=step_id, outcome__isnull=False))) & _came(earlier)
    return led


def _by(way: Way) -> Q:
    ended = Q(step_id=way.step_id, outcome__isnull=False)
    return ended & (Q(outcome__in=way.named) if way.named else ~Q(outcome__in=way.others))


def _pass(pipeline: Pipeline, step: Step, program: Program, completed: bool, now: datetime) -> int:
    total = 0
    while total < MOST_AT_ONCE:
        with transaction.atomic():
            rows = list(_passed(pipeline, step, program, completed=completed).order_by("pk")[:BATCH])
            total += _make(pipeline, step, rows, now)
            transaction.on_commit(kick)
        if len(rows) < BATCH:
            break
    return total


def _make(pipeline: Pipeline, step: Step, passed: list[PipelineRun], now: datetime) -> int:
    """One run aside for each, its memory copied, and a note in the story of both; five statements."""
    keys = {side_key(run_id=run.pk, step_id=step.id): run for run in passed}
    PipelineRun.objects.bulk_create(
        [_aside(pipeline, step, run, key, now) for key, run in keys.items()], ignore_conflicts=True
    )
    rows = PipelineRun.objects.filter(pipeline=pipeline, dedup__in=keys).values_list("dedup", "pk")
    made = {key: pk for key, pk in rows if key is not None}
    memories = {memory.run_id: memory for memory in RunContext.objects.filter(run_id__in=[run.pk for run in passed])}
    copies = [_copied(memories[keys[key].pk], pk) for key, pk in made.items() if keys[key].pk in memories]
    RunContext.objects.bulk_create(copies, ignore_conflicts=True)
    StepExecution.objects.bulk_create(
        [
            note
            for key, pk in made.items()
            for note in (
                _note(keys[key].pk, keys[key].seq, step, now, f"This step was added later: run {pk} does it."),
                _note(pk, 1, step, now, f"Does only this step, for run {keys[key].pk}, which has passed it."),
            )
        ]
    )
    return len(made)


def _aside(pipeline: Pipeline, step: Step, run: PipelineRun, key: uuid.UUID, now: datetime) -> PipelineRun:
    return PipelineRun(
        pipeline=pipeline,
        version=pipeline.current_version,
        subject_type_id=run.subject_type_id,
        subject_id=run.subject_id,
        trigger_id=run.trigger_id,
        dedup=key,
        step_id=step.id,
        next_step_at=now,
        phase=RunPhase.ASIDE,
        depth=run.depth,
        created_at=now,
    )


def _copied(memory: RunContext, run_id: int) -> RunContext:
    return RunContext(run_id=run_id, trigger=memory.trigger, vars=memory.vars, outputs=memory.outputs)


def _note(run_id: int, seq: int, step: Step, now: datetime, sentence: str) -> StepExecution:
    return StepExecution(
        at=now,
        run_id=run_id,
        step_id=step.id,
        seq=seq,
        attempt=0,
        event=StepExecution.Event.NOTE,
        started_at=now,
        finished_at=now,
        batch=uuid.uuid4(),
        error=sentence,
    )
