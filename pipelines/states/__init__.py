"""The closed vocabularies of runs, without Django."""

from enum import IntEnum
from typing import Final

# The reason why a run ended that did one step for a run which had passed it.
ASIDE: Final = "aside"


class RunStatus(IntEnum):
    """Where a run is in its life; a sentence each says who moves it in and out."""

    PENDING = 0  # enrolled or between steps; the engine enters its step at next_step_at
    RUNNING = 1  # an effect is in flight; its answer or the watchdog moves the run on
    WAITING = 2  # something outside must happen (a person, an event, children)
    PAUSED = 3  # an operator stopped it; only an operator resumes it
    COMPLETED = 4  # reached the end, a goal or an exit that counts as success
    FAILED = 5  # a step failed for good; an operator may retry
    CANCELLED = 6  # an operator, an exit rule or a vanished subject ended it


class RunPhase(IntEnum):
    """What the engine is to do when the run is due."""

    ENTER = 0  # enter the step
    RESUME = 1  # an obligation was met: read its signal and leave the step
    RESCHEDULE = 2  # recompute when the step is due
    WAIT = 3  # it waits for something outside; the deadline, if any, is when it is due
    ASIDE = 4  # enter the step for a run that has passed it, and end after it
    REPEAT = 5  # a block failed and is tried again: what failed inside it begins again
