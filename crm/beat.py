"""The sign of life that a cluster's worker processes give to the supervisor above them."""

import fcntl
import os
import signal
import subprocess
from typing import Any, Final

from django_q.signals import post_execute_in_worker, pre_execute

VARIABLE: Final = "CRM_WORKER_BEAT"
GRACE_SECONDS: Final = 20
_ending = False


def connect() -> None:
    """Beat before and after each task, where a supervisor has said into which file."""
    if os.environ.get(VARIABLE):
        pre_execute.connect(_beat)
        post_execute_in_worker.connect(_beat)


def _beat(**_: Any) -> None:
    path = os.environ[VARIABLE]
    if os.path.exists(path):
        os.utime(path)
    if not _is_watched(path):
        _end_cluster()


def _end_cluster() -> None:
    """Ask the cluster to stop, and see to it that it does: a stop of django-q2 can hang."""
    global _ending
    if _ending:
        return
    _ending = True
    # The cluster leads its own process group, so its main process has the group's number.
    group = os.getpgrp()
    subprocess.Popen(  # noqa: S603 - a fixed command and a number of ours
        ["/bin/sh", "-c", f"sleep {GRACE_SECONDS}; kill -KILL -{group}"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.kill(group, signal.SIGTERM)


def _is_watched(path: str) -> bool:
    """The supervisor locks the file while it lives; the lock goes with it, however it ends."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
