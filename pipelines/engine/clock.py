"""The engine's clock: the database's on PostgreSQL, the machine's on SQLite, the tester's when asked for."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from pipelines.models import EngineState

TEST_CLOCK = "test-clock"
SAMPLE_SECONDS = 30.0

_sample = threading.local()
_pretended: ContextVar[datetime | None] = ContextVar("pretended", default=None)


def engine_now() -> datetime:
    """The time that due dates are compared with."""
    pretended = _pretended.get()
    if pretended is not None:
        return pretended
    if settings.PIPELINES_TEST_CLOCK:
        frozen = EngineState.objects.filter(name=TEST_CLOCK).values_list("at", flat=True).first()
        if frozen is not None:
            return frozen
    return real_now()


def real_now() -> datetime:
    """The time that leases and heartbeats are compared with, also under a test clock.

    On PostgreSQL the server's clock is read every half minute and carried on by the
    monotonic clock, so a machine whose wall clock is wrong steals no lease.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    tick = time.monotonic()
    taken: tuple[float, datetime] | None = getattr(_sample, "value", None)
    if taken is None or tick - taken[0] > SAMPLE_SECONDS:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            row = cursor.fetchone()
        taken = (tick, row[0])
        _sample.value = taken
    return taken[1] + timedelta(seconds=tick - taken[0])


def set_test_clock(now: datetime) -> None:
    """Stop the engine's clock at `now`; it never goes back."""
    if not settings.PIPELINES_TEST_CLOCK:
        raise RuntimeError("The test clock is off: set PIPELINES_TEST_CLOCK=1 with DEBUG=1.")
    EngineState.objects.update_or_create(name=TEST_CLOCK, defaults={"at": now})


@contextmanager
def pretend(now: datetime) -> Iterator[None]:
    """Let the engine of this thread believe that it is `now`; every other process keeps its own clock."""
    token = _pretended.set(now)
    try:
        yield
    finally:
        _pretended.reset(token)
