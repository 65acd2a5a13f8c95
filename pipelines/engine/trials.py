"""Trials of steps whose circuit is open: a few runs are let through, and their answers decide."""

from dataclasses import dataclass, field
from datetime import datetime

from pipelines.engine.advance import Progress, advance_lane
from pipelines.engine.circuits import begin_trial, due_circuits


@dataclass(slots=True)
class Tried:
    """What the trials of a pass moved."""

    progress: Progress = field(default_factory=Progress)
    moved: bool = False


def try_circuits(*, now: datetime) -> Tried:
    """Begin every trial that is due."""
    tried = Tried()
    for step_id in list(due_circuits(now).order_by("retry_at", "pk").values_list("pk", flat=True)):
        tried.moved = True
        room = begin_trial(step_id, now=now)
        if room:
            tried.progress.add(advance_lane(step_id=step_id, now=now, limit=room, trial=True))
    return tried
