"""`python -m bench.peers [--contacts N] [--rounds N] [--only NAME]`: peers beside the engine, a table with medians."""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from bench.scratch import POSTGRES, postgres_answers

HERE = Path(__file__).resolve().parent
HOMES = HERE.parent / ".peers"
PEERS = ("pgqueuer", "procrastinate", "dbos", "celery", "django_q2")
DATABASE = "crm_bench_peer"
PATIENCE = 600


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", default=[], choices=PEERS)
    options = parser.parse_args()
    if not postgres_answers():
        sys.exit("The peers need PostgreSQL; set BENCH_DATABASE_URL to one that may be written to.")
    print(measure_peers(contacts=options.contacts, rounds=options.rounds, names=options.only or PEERS))


def measure_peers(*, contacts: int, rounds: int, names: Any = PEERS) -> str:
    """Rounds alternate between the peers; one that cannot be installed is named with the reason."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    missing = {name: reason for name in names if (reason := _install(name))}
    for _ in range(rounds):
        for name in names:
            if name not in missing:
                results[name].append(_run(name, contacts))
    lines = [f"## Peers: {contacts:,} contacts through three durable steps", "",
             "| peer | version | workers | workflows/s (median) |", "|---|---|---|---:|"]  # fmt: skip
    for name, found in results.items():
        if name in missing:
            lines.append(f"| {name} | not installed: {missing[name]} | | |")
        else:
            rate = median(each["per_second"] for each in found)
            lines.append(f"| {name} | {found[0]['version']} | {found[0]['workers']} | {rate:,.0f} |")
    return "\n".join([*lines, ""])


def _python(name: str) -> Path:
    return HOMES / name / "bin" / "python"


def _install(name: str) -> str:
    """Make the environment of a peer; a sentence when that fails."""
    done = HOMES / name / "installed"
    wanted = (HERE / "requirements" / f"{name}.txt").read_text("utf-8")
    if done.exists() and done.read_text("utf-8") == wanted:
        return ""
    venv.create(HOMES / name, with_pip=True, clear=True)
    command = [str(_python(name)), "-m", "pip", "install", "-q", "-r", str(HERE / "requirements" / f"{name}.txt")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        return made.stderr.strip().splitlines()[-1][:120]
    done.write_text(wanted, "utf-8")
    return ""


def _run(name: str, contacts: int) -> dict[str, Any]:
    url = f"{POSTGRES.rpartition('/')[0]}/{DATABASE}"
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
    try:
        done = subprocess.run(
            [str(_python(name)), f"with_{name}.py", "--database", url, "--contacts", str(contacts)],
            cwd=HERE, capture_output=True, text=True, check=False, timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


if __name__ == "__main__":
    main()
