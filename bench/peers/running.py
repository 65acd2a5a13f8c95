"""Installing peers, each in an environment of its own, and letting each do the job on a database of its own."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg

from bench.scratch import POSTGRES

HERE = Path(__file__).resolve().parent
HOMES = HERE.parent / ".peers"
DATABASE = f"crm_bench_peer_{os.getpid()}"
PATIENCE = 600


@dataclass(frozen=True, slots=True)
class Peer:
    """A product and a job; `share` is what part of the contacts it gets, fewer where it is slow."""

    name: str
    job: str = "steps"
    workers: int = 2
    share: float = 1

    @property
    def is_engine(self) -> bool:
        return self.name == "engine"

    @property
    def title(self) -> str:
        return "this project's engine" if self.is_engine else self.name


# The engine gets ten times as many: a thousand contacts are one of its batches, which says little.
PEERS = (
    Peer("engine", workers=1, share=10), Peer("engine", share=10), Peer("pgqueuer"), Peer("absurd", share=0.5),
    Peer("spiff", share=0.5), Peer("celery", share=0.5), Peer("django_q2", share=0.5), Peer("procrastinate", share=0.5),
    Peer("dbos", share=0.5), Peer("engine", "mail", workers=1), Peer("engine", "mail"), Peer("celery", "mail"),
    Peer("procrastinate", "mail"), Peer("drip", "mail", workers=1),
)  # fmt: skip
NAMES = tuple(dict.fromkeys(peer.name for peer in PEERS))


@dataclass(frozen=True, slots=True)
class Result:
    """The line that a peer printed."""

    name: str
    version: str
    job: str
    contacts: int
    seconds: float
    per_second: float
    workers: str
    durability: str


@dataclass(slots=True)
class Measured:
    """What came of a peer: a result for each round, or the reason why there is none."""

    peer: Peer
    results: list[Result] = field(default_factory=list)
    missing: str = ""

    @property
    def rates(self) -> list[float]:
        return [result.per_second for result in self.results]

    @property
    def rate(self) -> float:
        return median(self.rates) if self.results else 0


def measure_peers(*, contacts: int, rounds: int, names: Sequence[str] = NAMES) -> list[Measured]:
    """Rounds alternate between the peers, so that a slow minute of the machine hurts all alike."""
    found = [Measured(peer) for peer in PEERS if peer.name in names]
    reasons = {name: install(name) for name in dict.fromkeys(each.peer.name for each in found)}
    for each in found:
        each.missing = reasons[each.peer.name]
    with mail_server() as smtp:
        for _ in range(rounds):
            for each in found:
                if not each.missing:
                    _measure_once(each, contacts, smtp)
    return found


def _measure_once(measured: Measured, contacts: int, smtp: str) -> None:
    peer = measured.peer
    options = ["--contacts", str(max(1, round(contacts * peer.share))), "--workers", str(peer.workers)]
    if peer.job == "mail":
        options += ["--smtp", smtp]
    try:
        measured.results.append(run(peer.name, options))
    except RuntimeError as error:
        measured.missing = f"did not finish: {error}"


def run(name: str, options: Sequence[str]) -> Result:
    """One program, from an empty database to the line that it prints."""
    with scratch_database() as url:
        done = _finish([*_program(name), "--database", url, *options], HERE if name != "engine" else HERE.parents[1])
    if done.returncode:
        raise RuntimeError(_last_line(done.stderr))
    return Result(**json.loads(done.stdout.strip().splitlines()[-1]))


def _program(name: str) -> list[str]:
    if name == "engine":
        return [sys.executable, "-m", "bench.peers.with_engine"]
    return [str(_python(name)), f"with_{name}.py"]


def _finish(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"not through after {PATIENCE} seconds") from error


def install(name: str) -> str:
    """Make the environment of a peer, unless it is there as wanted; a sentence when that fails."""
    if name == "engine":
        return ""
    done, listed = HOMES / name / "installed", HERE / "requirements" / f"{name}.txt"
    wanted = listed.read_text("utf-8")
    if done.exists() and done.read_text("utf-8") == wanted:
        return ""
    print(f"installing {name}", file=sys.stderr, flush=True)
    try:
        venv.create(HOMES / name, with_pip=True, clear=True)
        made = _finish([str(_python(name)), "-m", "pip", "install", "-q", "-r", str(listed)], HERE)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        return f"not installed: {error}"
    if made.returncode:
        return f"not installed: {_last_line(made.stderr)}"
    done.write_text(wanted, "utf-8")
    return ""


def _python(name: str) -> Path:
    return HOMES / name / "bin" / "python"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["without a word"])[-1][:160]


@contextmanager
def scratch_database() -> Iterator[str]:
    """A database for one program; whatever it leaves connected is cut off."""
    drop = f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"
    _administer(drop, f"CREATE DATABASE {DATABASE}")
    try:
        yield f"{POSTGRES.rpartition('/')[0]}/{DATABASE}"
    finally:
        _administer(drop)


def _administer(*statements: str) -> None:
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        for statement in statements:
            server.execute(statement.encode())


@contextmanager
def mail_server() -> Iterator[str]:
    """The address of a mail server in a process of its own, which accepts everything."""
    command = [sys.executable, "-m", "bench.sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1]) as program:
        assert program.stdout is not None
        try:
            yield f"127.0.0.1:{int(program.stdout.readline())}"
        finally:
            program.terminate()
