"""This process as a worker: its heartbeat, and a note of the lane it stands in before it enters it."""

import os
import socket
from datetime import datetime

from pipelines.models import EngineState, EngineWorker

TICK = "tick"


class Presence:
    """The row by which others see that this process lives, and where it was when it died."""

    def __init__(self, *, now: datetime) -> None:
        self._row = EngineWorker.objects.create(
            host=socket.gethostname(), pid=os.getpid(), started_at=now, heartbeat_at=now
        )
        EngineState.objects.update_or_create(name=TICK, defaults={"at": now})

    def enter(self, *, step_id: int, size: int, run_id: int | None, now: datetime) -> None:
        """Committed before the lane's transaction begins, so that it survives the process."""
        EngineWorker.objects.filter(pk=self._row.pk).update(
            lane_step_id=step_id, lane_size=size, lane_run_id=run_id, heartbeat_at=now
        )

    def leave(self) -> None:
        EngineWorker.objects.filter(pk=self._row.pk).delete()
