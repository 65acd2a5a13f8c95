"""Minutes of trouble: what is promised still holds. `make chaos`; CHAOS_SECONDS and CHAOS_SEED set length and seed."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import psycopg
import pytest

from tests.chaos.server import Server, binaries
from tests.chaos.storm import SECONDS, Storm, Trouble, storm
from tests.faults.scenes import Scene
from tests.project.processes import Program, descendants

CREW = {
    "cluster": ("worker",),
    "one loop": ("process_pipelines", "--loop"),
    "another loop": ("process_pipelines", "--loop"),
}
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the user of the database may enter, which those of pytest are not."""
    with TemporaryDirectory(prefix="chaos-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    made = Server(folder / "server")
    yield made
    made.end_clients()
    made.stop()


@pytest.fixture
def scene(tmp_path: Path, server: Server) -> Iterator[Storm]:
    with storm(tmp_path, server) as made:
        yield made


def test_f21_workers_killed_at_random(scene: Storm) -> None:
    scene.rage(scene.kill_a_worker, pause=(0.3, 1.5))
    scene.judged("F21 kill -9 of workers")


def test_f38_f39_the_database_stopped_at_once_and_started_again_and_again(scene: Storm, server: Server) -> None:
    def pull_the_plug(_: Random) -> None:
        server.restart()

    scene.rage(pull_the_plug, pause=(2.0, 6.0))
    scene.judged("F38/F39 immediate stops of PostgreSQL")


def test_f40_sessions_terminated_at_random(scene: Storm, server: Server) -> None:
    def terminate(random: Random) -> None:
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'crm' AND pid <> pg_backend_pid()"
            f" ORDER BY md5(pid::text || '{random.random()}') LIMIT 1"
        )

    scene.rage(terminate, pause=(0.1, 0.8))
    scene.judged("F40 sessions terminated")


def test_f40_no_connection_to_be_had(scene: Storm, server: Server) -> None:
    def exhaust(random: Random) -> None:
        with ExitStack() as held:
            with suppress(psycopg.OperationalError):
                for _ in range(80):
                    held.enter_context(psycopg.connect(server.url, connect_timeout=2))
            # Whoever connects now is refused.
            scene.kill_a_worker(random)
            scene.workers.append(scene.worker())
            time.sleep(random.uniform(0.2, 1.0))

    scene.rage(exhaust, pause=(1.0, 3.0), seconds=20)
    scene.judged("F40 connections exhausted")


def test_f41_the_disk_of_the_database_fills_up(tmp_path: Path, folder: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=755", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        server = Server(folder / "server")
        with storm(tmp_path, server) as scene:
            scene.rage(_filling(server, folder / "ballast"), pause=(2.0, 4.0))
            scene.judged("F41 disk full")
        server.stop()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _filling(server: Server, ballast: Path) -> Trouble:
    def fill(random: Random) -> None:
        with suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(b"x" * 65536)
        # Long enough for writes to fail; without room for its log the server falls over and recovers.
        time.sleep(random.uniform(0.5, 2.0))
        ballast.unlink()
        try:
            server.answers(within=10)
        except AssertionError:
            server.restart()

    return fill


def test_f28_processes_of_a_cluster_killed_beside_two_ticks(scene: Storm) -> None:
    house = scene.house
    house.made.environment["PIPELINES_KICK"] = "1"

    def crew() -> dict[str, Program]:
        return {name: house.made.start(*words) for name, words in CREW.items()}

    programs = crew()
    writer = scene.let_people_in()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(scene.random.uniform(0.5, 2.0))
        name = scene.random.choice(list(programs))
        pid = programs[name].process.pid
        # A process of the cluster, its supervisor included, or the whole of a loop.
        with suppress(ProcessLookupError):
            os.kill(
                scene.random.choice([*descendants(pid), pid]), scene.random.choice([signal.SIGKILL, signal.SIGTERM])
            )
        scene.faults += 1
        for each, program in programs.items():
            if program.process.poll() is not None:
                programs[each] = house.made.start(*CREW[each])
    scene.end(writer)
    for program in programs.values():
        program.leave_nothing()
    scene.judged("F28 processes of a cluster killed, two ticks beside it")


def test_f44_one_worker_and_a_giant_beside_small_pipelines(scene: Storm) -> None:
    nursery = scene.house.nursery
    giant, small = scene.scenes["records"], [Scene(scene.house, "records") for _ in range(10)]
    nursery.do("enter", key=giant.key, numbers=list(range(9_000)), receipts=str(giant.receipts))
    for each in small:
        each.build()
        each.enter(100)
    report = nursery.do("work_measured")
    assert report["runs"] == 10_000
    last = "SELECT p.key, max(s.id) FROM pipelines_stepexecution s JOIN pipelines_pipelinerun r ON r.id = s.run_id"
    ended = dict(nursery.do("query", sql=f"{last} JOIN pipelines_pipeline p ON p.id = r.pipeline_id GROUP BY p.key"))
    assert all(ended[each.key] < ended[giant.key] for each in small), "a giant kept the small waiting"
    # Megabytes that ten thousand runs cost over a hundred: batches end, and so does their memory.
    assert report["grown_mb"] < 60, report
