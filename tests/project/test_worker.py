"""`manage.py worker` with a real cluster below it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.databases import sqlite_copy
from tests.project.processes import Program, alive, children, descendants, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up in /proc"),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="always on a file: the suite on SQLite shows it"),
]

Start = Callable[..., Program]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated SQLite file, whatever the suite runs on: this is about processes."""
    path = tmp_path_factory.mktemp("worker") / "queue.sqlite3"
    sqlite_copy(path)
    return f"sqlite:///{path}"


@pytest.fixture
def start(database: str) -> Iterator[Start]:
    started: list[Program] = []

    def run(*arguments: str) -> Program:
        started.append(Program("worker", *arguments, environment=_environment(database)))
        return started[-1]

    yield run
    for program in started:
        program.leave_nothing()


def _environment(url: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.project.worker_settings"}


def _cluster(worker: Program, *, number: int = 1) -> int:
    """The main process of the nth cluster, once it has executed something."""
    worker.says("cluster works", times=number)
    return int(worker.says(r"cluster (\d+) started", times=number).group(1))


def _idle_workers(cluster: int) -> list[int]:
    """The sentinel starts its workers before anything else."""
    (sentinel,) = children(cluster)
    return sorted(children(sentinel))[:1]


def test_a_stop_of_the_whole_group_ends_cleanly_and_leaves_no_process(start: Start) -> None:
    worker = start("--grace", "20")
    cluster = _cluster(worker)
    family = [cluster, *descendants(cluster)]
    os.killpg(worker.process.pid, signal.SIGTERM)
    assert worker.ends() == 0
    assert "stopped" in worker.lines[-1]
    assert "is killed" not in worker.output
    assert not [pid for pid in family if alive(pid)]


def test_a_cluster_that_stands_still_is_replaced_by_one_that_works(start: Start) -> None:
    worker = start("--stale", "8", "--grace", "5")
    frozen = _cluster(worker)
    for pid in _idle_workers(frozen):
        os.kill(pid, signal.SIGKILL)
    worker.says(r"cluster has done nothing for \d+ s: restarting it")
    fresh = _cluster(worker, number=2)
    assert not alive(frozen)
    assert alive(fresh)


def test_a_cluster_without_work_of_its_own_answers_and_is_left_alone(start: Start) -> None:
    worker = start("--stale", "4", "--grace", "5")
    cluster = _cluster(worker)
    eventually(lambda: _seconds_of_life(cluster) > 12)
    assert "restarting" not in worker.output
    assert alive(cluster)


def test_a_cluster_that_dies_is_replaced_and_nothing_of_it_works_on(start: Start) -> None:
    worker = start("--grace", "5")
    first = _cluster(worker)
    orphans = descendants(first)
    os.kill(first, signal.SIGKILL)
    _cluster(worker, number=2)
    assert orphans
    assert not [pid for pid in orphans if alive(pid)]


def test_a_cluster_whose_supervisor_was_killed_stops_at_its_next_task(start: Start, database: str) -> None:
    worker = start()
    cluster = _cluster(worker)
    family = [cluster, *descendants(cluster)]
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    code = "from django_q.tasks import async_task; async_task('time.time')"
    assert Program("shell", "-c", code, environment=_environment(database)).ends() == 0
    try:
        eventually(lambda: not [pid for pid in family if alive(pid)])
    finally:
        for pid in filter(alive, family):
            os.kill(pid, signal.SIGKILL)


def _seconds_of_life(pid: int) -> float:
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - ticks / os.sysconf("SC_CLK_TCK")
