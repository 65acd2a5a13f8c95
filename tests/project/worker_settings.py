"""Settings of the workers that tests start: the queue is real, what it runs is as small as can be."""

from tests.settings import *  # noqa: F403

WORKER_PING = "time.time"
WORKER_HEARTBEAT = "tests.project.worker_settings.no_tick"


def no_tick() -> None:
    """No engine here: the cluster is judged by its work alone."""
