"""What happened to a run and inside its blocks: every visit with what and why, and what it caused."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Q

from crm.models import Message, Task
from pipelines.lineage import Places, newest_first, places_of, runs_inside, some_step, spelled, steps_of
from pipelines.models import Effect, PipelineRun, PipelineStep, StepExecution
from pipelines.personal import personal_names, reasons_without_personal, without_personal
from pipelines.states import RunStatus
from pipelines.subjects import among

LONGEST_STORY: Final = 1_000
# What failed inside is told beyond these, too.
MOST_FAILURES: Final = 200
MOST_OPEN: Final = 500
_FAILED: Final = Q(event=StepExecution.Event.FAILED) | Q(outcome="error")


@dataclass(frozen=True, slots=True)
class StoryVisit:
    """One row of the log of a run, or of one inside it, with what it caused."""

    id: int
    at: datetime
    started_at: datetime
    run_id: int
    # Where inside the run it was, such as "fork.left/each.2"; empty for the run's own.
    branch: str
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
class OpenVisit:
    """Where a run stands that has not ended, with what this visit has caused so far."""

    run: PipelineRun
    messages: tuple[Message, ...] = ()
    effects: tuple[Effect, ...] = ()
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to a run and to those inside it, oldest first, and what comes next."""

    run_id: int
    visits: tuple[StoryVisit, ...]
    # Where the run, and each one inside it, is, by its id, from the outside in.
    places: Places
    # Its own first, then those inside it.
    open: tuple[OpenVisit, ...] = ()
    inside: tuple[PipelineRun, ...] = ()
    # Whether there are more visits inside than these.
    is_cut: bool = False
    next_step: PipelineStep | None = None
    next_step_at: datetime | None = None
    # Names under which the page tells no values.
    personal: frozenset[str] = frozenset()

    @property
    def own(self) -> tuple[StoryVisit, ...]:
        """The visits of the run itself."""
        return tuple(visit for visit in self.visits if visit.run_id == self.run_id)

    def failure(self, run: PipelineRun) -> str | None:
        """What the last visit of a failed run said; None where it did not fail, or nothing was said."""
        if run.status != RunStatus.FAILED:
            return None
        last = [visit.error for visit in self.own if visit.seq == run.seq and visit.error]
        return last[-1] if last else None


def run_story(run: PipelineRun) -> Story:
    """The newest visits of the run and of all inside it, and every failure; in eight statements, or ten with these."""
    inside = runs_inside(run)
    log, is_cut = _log(run, inside)
    live = [each for each in (run, *inside) if not each.is_finished][:MOST_OPEN]
    steps = steps_of({row.step_id for row in log} | {some_step(each) for each in (run, *inside)})
    for each in inside:
        if not each.is_finished and each.step_id in steps:
            each.step = steps[each.step_id]
    places = places_of(run, inside, steps)
    names = personal_names(team_id=run.pipeline.team_id)
    caused = _caused({run.pk, *(row.run_id for row in log), *(each.pk for each in live)})
    last = {(row.run_id, row.seq): row.pk for row in log}
    return Story(
        run_id=run.pk,
        visits=tuple(
            # A retried visit has several rows; what it caused is told once, with the last.
            _visit(
                row,
                steps.get(row.step_id),
                names,
                branch=spelled(places.get(row.run_id, ())),
                caused=caused.get((row.run_id, row.seq)) if last[row.run_id, row.seq] == row.pk else None,
            )
            for row in log
        ),
        open=tuple(_open(each, {} if (each.pk, each.seq) in last else caused) for each in live),
        inside=tuple(inside),
        places=places,
        is_cut=is_cut,
        next_step=steps.get(run.step_id or 0) if run.next_step_id else None,
        next_step_at=run.next_step_at if run.next_step_id else None,
        personal=names,
    )


def _log(run: PipelineRun, inside: Sequence[PipelineRun]) -> tuple[list[StepExecution], bool]:
    """The newest visits over all, with all of the run's own and what failed; and whether more are left out."""
    own = list(newest_first(StepExecution.objects.filter(run_id=run.pk))[:LONGEST_STORY])
    if not inside:
        return own[::-1], False
    within = newest_first(StepExecution.objects.filter(run_id__in=among([each.pk for each in inside])))
    others = list(within[: LONGEST_STORY + 1])
    newest = sorted((*own, *others), key=lambda row: row.pk)[-LONGEST_STORY:]
    kept = {row.pk: row for row in (*newest, *own, *within.filter(_FAILED)[:MOST_FAILURES])}
    return sorted(kept.values(), key=lambda row: row.pk), len(own) + len(others) > LONGEST_STORY


@dataclass(slots=True)
class _Caused:
    """What one visit caused."""

    messages: tuple[Message, ...] = ()
    effects: tuple[Effect, ...] = ()
    tasks: tuple[Task, ...] = ()


def _caused(run_ids: set[int]) -> dict[tuple[int, int], _Caused]:
    """What the visits of these runs caused, by (run, visit); three statements."""
    runs = among(run_ids)
    found: dict[tuple[int, int], _Caused] = defaultdict(_Caused)
    for message in Message.objects.filter(run_id__in=runs).order_by("pk"):
        found[message.run_id or 0, message.run_seq or 0].messages += (message,)
    for effect in Effect.objects.filter(run__in=runs).order_by("pk"):
        found[effect.run_id, effect.seq].effects += (effect,)
    for task in Task.objects.filter(run_id__in=runs).order_by("pk"):
        found[task.run_id or 0, task.run_seq or 0].tasks += (task,)
    return found


def _open(run: PipelineRun, caused: Mapping[tuple[int, int], _Caused]) -> OpenVisit:
    found = caused.get((run.pk, run.seq), _Caused())
    return OpenVisit(run, messages=found.messages, effects=found.effects, tasks=found.tasks)


def _visit(
    row: StepExecution, step: PipelineStep | None, names: frozenset[str], *, branch: str, caused: _Caused | None
) -> StoryVisit:
    found = caused or _Caused()
    return StoryVisit(
        id=row.pk,
        at=row.at,
        started_at=row.started_at,
        run_id=row.run_id,
        branch=branch,
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
        messages=found.messages,
        effects=found.effects,
        tasks=found.tasks,
    )
