"""The clock of a simulation: it stands still while the engine works and then jumps to the next thing to happen."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Min

from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.models import Effect, HumanTask, Pipeline, PipelineRun, Quiet
from pipelines.models.human import OPEN

MAX_JUMPS = 20_000
# The same moment may be worked at this often before the simulation gives up on it.
MAX_AT_ONCE = 5


@dataclass(slots=True)
class Outside:
    """Things the scenario makes happen: each is due at a time and then done once, inside the engine's time."""

    due: list[tuple[datetime, Callable[[datetime], None]]] = field(default_factory=list)

    def at(self, moment: datetime, do: Callable[[datetime], None]) -> None:
        self.due.append((moment, do))

    def happen(self, now: datetime) -> None:
        """Do everything that is due, in order; what is done may add more."""
        while ready := sorted((each for each in self.due if each[0] <= now), key=lambda each: each[0]):
            self.due = [each for each in self.due if each not in ready]
            for _, do in ready:
                do(now)

    def following(self) -> datetime | None:
        return min((moment for moment, _ in self.due), default=None)


def play(
    *,
    start: datetime,
    until: datetime,
    outside: Outside,
    after_each: Callable[[datetime], None],
    seconds: float,
    grain: timedelta = timedelta(0),
) -> list[str]:
    """Work from `start` to `until`; the warnings that came up.

    `after_each` looks at what the engine did at a moment, such as tasks that now wait for an answer. `seconds`
    of real time are allowed. With a `grain`, moments are rounded up to it, as by a worker that looks that often.
    """
    ends, now, here = time.monotonic() + seconds, start, 0
    for _ in range(MAX_JUMPS):
        with pretend(now):
            outside.happen(now)
            while process_due_runs().more:
                pass
            after_each(now)
        following = _next_moment(outside)
        if following is None:
            return []
        following = max(_rounded(following, start, grain), now)
        here = here + 1 if following == now else 0
        if here > MAX_AT_ONCE:
            return ["The simulation stopped: something is due again and again at the same moment."]
        if following > until:
            return [not_over(until)]
        if time.monotonic() > ends:
            return [f"The simulation ran out of time and ends at {now:%Y-%m-%d %H:%M} UTC."]
        now = following
    return [f"The simulation ended after {MAX_JUMPS:,} moments."]


def not_over(until: datetime) -> str:
    """What is said when there is more to come than was played."""
    return f"The simulation ends at {until:%Y-%m-%d %H:%M} UTC, before everything was over."


def _next_moment(outside: Outside) -> datetime | None:
    """When anything is due next: a run, an effect that waits, a reminder, what waits for quiet, or the outside.

    Runs of a paused pipeline stand still, however long they have been due.
    """
    run = PipelineRun.objects.exclude(pipeline__status=Pipeline.Status.PAUSED).aggregate(at=Min("next_step_at"))["at"]
    effect = Effect.objects.filter(status=Effect.Status.QUEUED).aggregate(at=Min("available_at"))["at"]
    mail = HumanTask.objects.filter(status__in=OPEN).aggregate(at=Min("remind_at"))["at"]
    quiet = Quiet.objects.aggregate(at=Min("due_at"))["at"]
    return min(
        (moment for moment in (run, effect, mail, quiet, outside.following()) if moment is not None), default=None
    )


def _rounded(moment: datetime, start: datetime, grain: timedelta) -> datetime:
    if not grain:
        return moment
    beyond = (moment - start) % grain
    return moment + (grain - beyond) if beyond else moment
