# mypy: ignore-errors
"""Celery over a Redis of its own: three tasks, each sends the next; or one task for each mail.

Redis writes every command to disk before it answers (`appendfsync always`) and tasks are acknowledged when they are
done (`acks_late`), so that a crash loses as little as with PostgreSQL. Tuned: two processes, each with 64 tasks
prefetched, results ignored, no gossip, connections kept open, for mail too (by default there would be one a message).
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import psycopg
from celery import Celery
from job import MARK, READ, RECORD, SENDER, SUBJECT, TEXT, arguments, is_wanted, measure, prepare

app = Celery("with_celery", broker=os.environ.get("BENCH_PEER_BROKER", "redis://"))
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=64, task_ignore_result=True,
                broker_connection_retry_on_startup=True)  # fmt: skip
_open = {}


def database() -> psycopg.Connection:
    if "database" not in _open:
        _open["database"] = psycopg.connect(os.environ["BENCH_PEER_DATABASE"], autocommit=True)
    return _open["database"]


def mailer():
    if "mailer" not in _open:
        from django.conf import settings
        from django.core.mail import get_connection

        host, port = os.environ["BENCH_PEER_SMTP"].split(":")
        settings.configure(EMAIL_HOST=host, EMAIL_PORT=int(port))
        _open["mailer"] = get_connection()
        _open["mailer"].open()
    return _open["mailer"]


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


@app.task
def letter(contact: int) -> None:
    from django.core.mail import EmailMessage

    name, connection = database().execute(READ, [contact]).fetchone()[0], mailer()
    to = [f"c{contact}@x.example"]
    EmailMessage(SUBJECT.format(name=name), TEXT.format(name=name), SENDER, to, connection=connection).send()
    database().execute(RECORD, [contact])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_redis(port: int, folder: str) -> subprocess.Popen:
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "",
               "--appendonly", "yes", "--appendfsync", "always"]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.1)
    raise RuntimeError("redis-server did not start")


def start_worker(workers: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "celery", "-A", "with_celery", "worker", "-c", str(workers), "-l", "ERROR",
               "--without-gossip", "--without-mingle"]  # fmt: skip
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not app.control.ping(timeout=0.5):
        assert worker.poll() is None, "the worker of Celery ended"
    return worker


def main() -> None:
    options = arguments()
    if not shutil.which("redis-server"):
        sys.exit("redis-server is not installed")
    prepare(options.database, options.contacts)
    port, folder = free_port(), tempfile.mkdtemp(prefix="bench-redis-")
    broker = f"redis://127.0.0.1:{port}/0"
    os.environ.update(BENCH_PEER_BROKER=broker, BENCH_PEER_DATABASE=options.database, BENCH_PEER_SMTP=options.smtp)
    app.conf.broker_url = broker
    running = [start_redis(port, folder)]
    try:
        running.append(start_worker(options.workers))
        # The queue is filled while nobody listens to it.
        app.control.cancel_consumer("celery", reply=True)
        first = letter if options.smtp else mark
        for number in range(1, options.contacts + 1):
            first.delay(number)
        measure(options, lambda: app.control.add_consumer("celery"), package="celery",
                workers=f"{options.workers} processes, Redis beside them",
                durability="Redis syncs each command; a commit for each step")  # fmt: skip
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
