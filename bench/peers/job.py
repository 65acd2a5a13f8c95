"""The job that every peer does for each contact: update a field, decide, record a message; each durable by itself.

With `--smtp` it is another one: mail each contact and record the message. Imported by programs in the environments of
the peers, so nothing but psycopg may be asked for here.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from multiprocessing.process import BaseProcess

import psycopg

TABLES = """
CREATE TABLE contact (id int PRIMARY KEY, name text NOT NULL, source text NOT NULL DEFAULT '');
CREATE TABLE message (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id int NOT NULL UNIQUE, body text);
INSERT INTO contact SELECT n, 'C' || n FROM generate_series(1, %s) n;
"""
MARK = "UPDATE contact SET source = 'seen' WHERE id = %s"
READ = "SELECT name FROM contact WHERE id = %s"
RECORD = "INSERT INTO message (contact_id, body) VALUES (%s, 'Hello') ON CONFLICT DO NOTHING"
SUBJECT = "Welcome {name}"
TEXT = "Hello {name},\n\nthank you for joining us. Here is how to begin.\n\nYours, Acme\n"
SENDER = "hello@acme.example"
PATIENCE = 300
# A worker is given a way to say that it is ready; the call returns when everybody is.
Worker = Callable[[int, Callable[[], object]], object]


def is_wanted(name: str) -> bool:
    """The decision; everybody is."""
    return name != "x"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", required=True)
    parser.add_argument("--contacts", type=int, required=True)
    parser.add_argument("--smtp", default="", help="host:port of a mail server: send mail instead")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def prepare(url: str, contacts: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement % contacts if "%s" in statement else statement)


def race(options: argparse.Namespace, worker: Worker, **facts: str) -> None:
    """Measure workers in processes of their own, from when all of them are ready."""
    fork = multiprocessing.get_context("fork")
    ready, go = fork.Barrier(options.workers + 1), fork.Event()

    def wait() -> None:
        ready.wait(PATIENCE)
        go.wait(PATIENCE)

    processes = [fork.Process(target=worker, args=(number, wait), daemon=True) for number in range(options.workers)]
    for process in processes:
        process.start()
    try:
        ready.wait(PATIENCE)
        measure(options, go.set, processes, **facts)
    finally:
        for process in processes:
            process.kill()
            process.join()


def measure(
    options: argparse.Namespace,
    start: Callable[[], object],
    processes: Sequence[BaseProcess] | None = None,
    **facts: str,
) -> None:
    """Time from the start until every message is recorded, check what is there, and print one line of JSON."""
    started = time.perf_counter()
    start()
    with psycopg.connect(options.database, autocommit=True) as connection:
        while _count(connection, "message") < options.contacts:
            assert time.perf_counter() - started < PATIENCE, "not through in time"
            assert processes is None or any(each.is_alive() for each in processes), "all workers ended early"
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        if not options.smtp:
            assert _count(connection, "contact WHERE source = 'seen'") == options.contacts
        assert _count(connection, "message") == options.contacts
    answer(options, seconds, **facts)


def answer(options: argparse.Namespace, seconds: float, *, package: str, workers: str, durability: str) -> None:
    """The line that the bench reads; `package` is one whose version is looked up, or `name version`."""
    name, _, known = package.partition(" ")
    job = "mail" if options.smtp else "steps"
    facts = {"name": name, "version": known or version(name), "job": job, "contacts": options.contacts}
    speed = {"seconds": round(seconds, 3), "per_second": options.contacts / seconds}
    print(json.dumps({**facts, **speed, "workers": workers, "durability": durability}), flush=True)


def _count(connection: psycopg.Connection, what: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {what}".encode()).fetchone()
    assert row is not None
    return int(row[0])
