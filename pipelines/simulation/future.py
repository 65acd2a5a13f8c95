"""What the database in memory holds once the live runs of a contact were played on, read once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from django.db.models import Q

from crm.models import Message
from pipelines.engine.listening import ABOUT_CHANGES
from pipelines.models import Effect, EventWait, HumanTask, PipelineRun, PipelineStep, StepExecution
from pipelines.simulation.standing import Standing

ASKING: Final = (Effect.Kind.HTTP, Effect.Kind.CUSTOM)
Key = tuple[int, int]


class Awaited(NamedTuple):
    """What a visit waits for, in words, and since when."""

    what: str
    since: datetime


@dataclass(slots=True)
class Future:
    """Rows of the play; visits are those that ended in it, messages those that had not left before."""

    standing: Standing
    first_id: int
    begins: datetime
    runs: Mapping[int, PipelineRun]
    steps: Mapping[int, PipelineStep]
    visits: Sequence[StepExecution]
    messages: Sequence[Message]
    # By run and visit.
    effects: Mapping[Key, Effect]
    awaited: Mapping[Key, Awaited]
    # What was taken for granted from a moment on: (run, moment, sentence).
    premises: list[tuple[int, datetime, str]] = field(default_factory=list)

    def line(self, run_id: int) -> list[int]:
        """A run and the runs around it, from the inside out."""
        found = [run_id]
        while (parent := self.runs[found[-1]].parent_id) is not None and parent in self.runs:
            found.append(parent)
        return found

    def granted(self, run_id: int, at: datetime) -> list[str]:
        """What was taken for granted before this moment, by the run itself and by runs around and inside it."""
        mine = self.line(run_id)
        found = [
            sentence
            for other, moment, sentence in self.premises
            if moment <= at and (other in mine or run_id in self.line(other))
        ]
        return list(dict.fromkeys(found))

    def step_key(self, step_id: int | None) -> str:
        step = self.steps.get(step_id or 0)
        return step.key if step is not None else ""

    def step_name(self, step_id: int | None) -> str:
        step = self.steps.get(step_id or 0)
        return step.name or step.key if step is not None else ""


def read_future(standing: Standing, *, first_id: int, begins: datetime) -> Future:
    """A statement for each kind of row."""
    fresh = Q(pk__gte=first_id) | Q(pk__in=standing.queued)
    future = Future(
        standing=standing,
        first_id=first_id,
        begins=begins,
        runs={run.pk: run for run in PipelineRun.objects.select_related("pipeline")},
        steps={step.pk: step for step in PipelineStep.objects.only("pk", "key", "name", "action_type")},
        visits=list(StepExecution.objects.filter(pk__gte=first_id).order_by("id")),
        messages=list(Message.objects.filter(fresh, run_id__isnull=False).order_by("created_at", "pk")),
        effects={(effect.run_id, effect.seq): effect for effect in Effect.objects.order_by("pk")},
        awaited=_awaited(),
    )
    future.premises += _calls(future)
    return future


def _awaited() -> dict[Key, Awaited]:
    names: dict[Key, list[str]] = {}
    found: dict[Key, Awaited] = {}
    for wait in EventWait.objects.order_by("n"):
        mine = names.setdefault((wait.run_id, wait.seq), [])
        mine.append("its condition to hold" if wait.event in ABOUT_CHANGES else wait.event)
        found[wait.run_id, wait.seq] = Awaited(" or ".join(dict.fromkeys(mine)), wait.created_at)
    for row in HumanTask.objects.select_related("task"):
        found[row.run_id, row.seq] = Awaited(f"an answer to “{row.task.title}”", row.created_at)
    return found


def _calls(future: Future) -> Iterator[tuple[int, datetime, str]]:
    """Calls of other systems in the play: nobody knows what they will answer."""
    stood = {(visit.run_id, visit.seq): visit.step_id for visit in future.visits}
    for (run_id, seq), effect in future.effects.items():
        at = effect.finished_at
        if effect.kind in ASKING and effect.status == Effect.Status.DONE and at is not None and at >= future.begins:
            name = future.step_name(stood.get((run_id, seq), future.runs[run_id].step_id))
            yield run_id, at, f"the call of “{name}” goes well"
