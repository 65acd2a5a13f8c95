"""Keeps one django-q2 cluster at work: starts it, watches that it moves, replaces it when it stands still.

A cluster whose idle worker was killed looks alive and does nothing, and a signal to its whole
process group hangs it. So it runs in a session of its own, is told to stop through its main process
only, and counts as alive only while its workers execute tasks.
"""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from django.conf import settings
from django.db import close_old_connections, connection
from django.utils.module_loading import import_string
from django_q.tasks import async_task

from crm.beat import VARIABLE

LOOK_SECONDS: Final = 0.2
# A frozen cluster never ends by itself, and what it could have been doing has long timed out.
FROZEN_GRACE: Final = 3.0
# Elsewhere somebody works: our pings may have been taken there, so be slower to judge.
PATIENCE_WITH_COMPANY: Final = 4
QUICK_DEATH: Final = 10.0
LONGEST_BACKOFF: Final = 30.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds: until a silent cluster is frozen, and until one that was asked to stop is killed."""

    stale: float
    grace: float

    @property
    def ping_after(self) -> float:
        """A minute's schedule fires up to 90 seconds apart, so with the default this is no noise."""
        return self.stale * 0.6

    @property
    def read_every(self) -> float:
        return min(5.0, self.stale / 20)


@dataclass(slots=True)
class Pulse:
    """A value that shows life by changing; ages are counted on this process's monotonic clock."""

    value: object = None
    changed_at: float = field(default_factory=time.monotonic)

    def note(self, value: object) -> bool:
        """True when it has moved."""
        if value == self.value:
            return False
        self.value, self.changed_at = value, time.monotonic()
        return True

    def reset(self) -> None:
        self.changed_at = time.monotonic()

    @property
    def age(self) -> float:
        return time.monotonic() - self.changed_at


class Supervisor:
    """One cluster, whoever it is at the moment."""

    def __init__(self, *, limits: Limits, tell: Tell) -> None:
        self._limits = limits
        self._tell = tell
        self._signals = 0
        self._quick_deaths = 0

    def run(self) -> int:
        """Work until SIGTERM, SIGINT or SIGHUP; the number of restarts it took."""
        restarts = -1
        with _handling(self._count), _beat_file() as beat:
            while not self._signals:
                restarts += 1
                self._live_once(beat)
        self._tell(f"stopped after {restarts} restarts" if restarts else "stopped")
        return restarts

    def _count(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _live_once(self, beat: Path) -> None:
        """The life of one cluster, from its start until it is gone."""
        cluster = _start(beat)
        began = time.monotonic()
        self._tell(f"cluster {cluster.pid} started")
        watch = _Watch(limits=self._limits, tell=self._tell, beat=beat)
        frozen = False
        while not self._signals and cluster.poll() is None and not frozen:
            time.sleep(LOOK_SECONDS)
            frozen = watch.finds_it_frozen()
        if cluster.poll() is None:
            self._end(cluster, grace=FROZEN_GRACE if frozen else self._limits.grace)
        _kill_group(cluster)
        if not self._signals and not frozen:
            self._after_a_death(cluster, lived=time.monotonic() - began)

    def _end(self, cluster: subprocess.Popen[bytes], *, grace: float) -> None:
        """Ask the main process alone, wait with a bound, then use force; a second signal ends the wait."""
        asked = self._signals
        until = time.monotonic() + grace
        if asked:
            self._tell(f"stopping cluster {cluster.pid}: running tasks have {grace:g} s to end")
        cluster.terminate()
        while cluster.poll() is None and time.monotonic() < until and self._signals == asked:
            time.sleep(LOOK_SECONDS / 4)
        if cluster.poll() is None and asked:
            self._tell(f"cluster {cluster.pid} did not end in time and is killed")

    def _after_a_death(self, cluster: subprocess.Popen[bytes], *, lived: float) -> None:
        self._quick_deaths = self._quick_deaths + 1 if lived < QUICK_DEATH else 0
        wait = min(LONGEST_BACKOFF, 2.0**self._quick_deaths - 1)
        again = f"starting another in {wait:g} s" if wait else "starting another"
        self._tell(f"cluster {cluster.pid} ended with status {cluster.returncode}: {again}")
        until = time.monotonic() + wait
        while time.monotonic() < until and not self._signals:
            time.sleep(LOOK_SECONDS)


class _Watch:
    """What is known of the cluster that runs now; nothing of the one before is carried over."""

    def __init__(self, *, limits: Limits, tell: Tell, beat: Path) -> None:
        self._limits = limits
        self._tell = tell
        self._beat = beat
        self._work = Pulse(beat.stat().st_mtime_ns)
        self._ticks = Pulse()
        self._seen = False
        self._reachable = True
        self._said_schedule = False
        self._pinged_at: float | None = None
        self._read_at = 0.0

    def finds_it_frozen(self) -> bool:
        """True when the cluster executes nothing although it was asked to."""
        if self._work.note(self._beat.stat().st_mtime_ns) and not self._seen:
            self._seen = True
            self._tell("cluster works")
        if time.monotonic() - self._read_at >= self._limits.read_every:
            self._read_at = time.monotonic()
            self._ask_the_database()
        alone = self._ticks.age > self._limits.stale
        limit = self._limits.stale * (1 if alone else PATIENCE_WITH_COMPANY)
        if self._work.age <= limit:
            return False
        self._tell(f"cluster has done nothing for {self._work.age:.0f} s: restarting it")
        return True

    def _ask_the_database(self) -> None:
        try:
            if not connection.in_atomic_block:
                close_old_connections()
            self._ticks.note(_heartbeat())
            self._ping_when_quiet()
        except Exception as error:  # whatever database or broker raise, a supervisor outlives it
            self._lost(error)
        else:
            if not self._reachable:
                self._reachable = True
                self._tell("database answers again")

    def _lost(self, error: Exception) -> None:
        """Without the database no cluster can show life, so none is blamed for it."""
        if self._reachable:
            self._tell(f"database does not answer ({type(error).__name__}): waiting")
        self._reachable = False
        self._work.reset()
        self._ticks.reset()
        connection.close()

    def _ping_when_quiet(self) -> None:
        """One ping at the start, then whenever nothing is heard for long; also in place of a broken schedule."""
        quiet = max(self._work.age, self._ticks.age)
        if self._pinged_at is None or (
            quiet > self._limits.ping_after and time.monotonic() - self._pinged_at > self._limits.ping_after
        ):
            self._pinged_at = time.monotonic()
            async_task(settings.WORKER_PING, task_name="ping", q_options={"save": False})
        if self._ticks.age <= self._limits.stale:
            self._said_schedule = False
        elif self._work.age < self._limits.stale and not self._said_schedule:
            self._said_schedule = True
            self._tell(f"tasks run, but no tick for {self._ticks.age:.0f} s: run manage.py doctor")


def _heartbeat() -> datetime | None:
    """When the work that must go on last went on, as the app above says."""
    read: Callable[[], datetime | None] = import_string(settings.WORKER_HEARTBEAT)
    return read()


def _start(beat: Path) -> subprocess.Popen[bytes]:
    """Its settings are ours, which were checked when we started."""
    command = [sys.executable, "-m", "django", "qcluster", "--skip-checks"]
    environment = {**os.environ, VARIABLE: str(beat)}
    return subprocess.Popen(  # noqa: S603 - our own interpreter and command
        command, cwd=settings.BASE_DIR, env=environment, start_new_session=True, stdin=subprocess.DEVNULL
    )


def _kill_group(cluster: subprocess.Popen[bytes]) -> None:
    """Nothing of a cluster outlives its main process: what is left would work on as an orphan."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(cluster.pid, signal.SIGKILL)
    cluster.wait()


@contextmanager
def _beat_file() -> Iterator[Path]:
    """A file that workers touch, locked for as long as this process lives."""
    with tempfile.NamedTemporaryFile(prefix="crm-worker-") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Path(file.name)


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {name: signal.signal(name, handler) for name in names}
    try:
        yield
    finally:
        for name, old in before.items():
            signal.signal(name, old)
