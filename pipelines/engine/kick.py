"""Wakes a worker right after a commit, so that a step without delay runs within a second or two."""

import logging
import threading
import time

from django.conf import settings
from django.db import connection

from crm.outside import is_closed

log = logging.getLogger(__name__)

TASK = "pipelines.tasks.process_due_runs"
EVERY_SECONDS = 0.5

_lock = threading.Lock()
_last = 0.0
_pending = False


def kick() -> None:
    """Queue a pass of the engine; many kicks in half a second become two.

    A kick is a hint: whatever is lost here, the tick of the next minute finds.
    """
    global _last, _pending
    if not settings.PIPELINES_KICK or is_closed():
        return
    with _lock:
        wait = EVERY_SECONDS - (time.monotonic() - _last)
        if wait > 0:
            if not _pending:
                _pending = True
                timer = threading.Timer(wait, _later)
                timer.daemon = True
                timer.start()
            return
        _last = time.monotonic()
    _queue()


def _later() -> None:
    global _last, _pending
    with _lock:
        _pending, _last = False, time.monotonic()
    try:
        _queue()
    finally:
        connection.close()


def _queue() -> None:
    from django_q.tasks import async_task

    try:
        async_task(TASK, task_name="kick")
    except Exception:  # a broken queue must not break the request that was just committed
        log.exception("the engine could not be woken; the next tick will find the work")
