"""This process as a worker: its heartbeat, and a note of the lane it stands in before it enters it."""

import os
import socket
from datetime import datetime, timedelta

from pipelines.models import EngineWorker

# A note that says the same is not written again for this long; a worker counts as dead only after minutes.
FRESH = timedelta(seconds=10)


def this_host() -> str:
    """The name by which other workers know this machine."""
    return socket.gethostname()


class Presence:
    """The row by which others see that this process lives, and where it was when it died.

    A pass that finds nothing to do never writes one.
    """

    def __init__(self) -> None:
        self._row: EngineWorker | None = None

    def deliver(self, *, now: datetime) -> None:
        """Outside of every lane: a death among effects is no lane's fault."""
        self.enter(step_id=None, size=None, run_id=None, now=now)

    def enter(self, *, step_id: int | None, size: int | None, run_id: int | None, now: datetime) -> None:
        """Committed before the lane's transaction begins, so that it survives the process."""
        row = self._row
        if row is None:
            self._row = EngineWorker.objects.create(
                host=this_host(), pid=os.getpid(), started_at=now, heartbeat_at=now,
                lane_step_id=step_id, lane_size=size, lane_run_id=run_id,
            )  # fmt: skip
            return
        said = (row.lane_step_id, row.lane_size, row.lane_run_id)
        if said == (step_id, size, run_id) and now - row.heartbeat_at < FRESH:
            return
        row.lane_step_id, row.lane_size, row.lane_run_id, row.heartbeat_at = step_id, size, run_id, now
        EngineWorker.objects.filter(pk=row.pk).update(
            lane_step_id=step_id, lane_size=size, lane_run_id=run_id, heartbeat_at=now
        )

    def leave(self) -> None:
        if self._row is not None:
            EngineWorker.objects.filter(pk=self._row.pk).delete()
