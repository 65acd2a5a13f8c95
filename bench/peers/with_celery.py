# mypy: ignore-errors
"""Celery over a Redis that writes every command to disk: three tasks, each sends the next; two worker processes."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

import psycopg
from celery import Celery
from job import MARK, READ, RECORD, arguments, is_wanted, prepare, report

PORT = os.environ.get("BENCH_REDIS_PORT", "6399")
app = Celery("with_celery", broker=f"redis://127.0.0.1:{PORT}/0")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, task_ignore_result=True)
_open: list[psycopg.Connection] = []


def database() -> psycopg.Connection:
    if not _open:
        _open.append(psycopg.connect(os.environ["BENCH_PEER_DATABASE"], autocommit=True))
    return _open[0]


@app.task
def mark(contact: int) -> None:
    database().execute(MARK, [contact])
    decide.delay(contact)


@app.task
def decide(contact: int) -> None:
    if is_wanted(database().execute(READ, [contact]).fetchone()[0]):
        record.delay(contact)


@app.task
def record(contact: int) -> None:
    database().execute(RECORD, [contact])


def main() -> None:
    options = arguments()
    prepare(options.database, options.contacts)
    folder = tempfile.mkdtemp()
    redis = subprocess.Popen(
        ["redis-server", "--port", PORT, "--appendonly", "yes", "--appendfsync", "always", "--dir", folder],
        stdout=subprocess.DEVNULL,
    )
    time.sleep(1)
    environment = {**os.environ, "BENCH_PEER_DATABASE": options.database}
    command = [sys.executable, "-m", "celery", "-A", "with_celery", "worker", "-c", "2", "-l", "ERROR"]
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not app.control.ping(timeout=0.5):
        pass

    def work() -> None:
        for number in range(1, options.contacts + 1):
            mark.delay(number)
        with psycopg.connect(options.database, autocommit=True) as watching:
            while watching.execute("SELECT count(*) FROM message").fetchone()[0] < options.contacts:
                time.sleep(0.05)

    try:
        report(options.database, options.contacts, "celery", work, workers="2 processes, Redis with fsync always")
    finally:
        worker.terminate()
        worker.wait()
        redis.terminate()
        redis.wait()
        with suppress(OSError):
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
