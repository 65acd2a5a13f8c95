# mypy: ignore-errors
"""django-q2 on PostgreSQL, one task per step: what a straightforward project on our own substrate does."""

import os
import signal
import subprocess
import sys
import time

import psycopg
from job import MARK, READ, RECORD, arguments, is_wanted, prepare, report

URL = os.environ.get("BENCH_PEER_DATABASE", "")


def configure(url: str) -> None:
    import django
    from django.conf import settings

    at = psycopg.conninfo.conninfo_to_dict(url)
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": at["dbname"], "USER": at["user"], "HOST": at["host"]}
    settings.configure(
        SECRET_KEY="bench", INSTALLED_APPS=["django.contrib.contenttypes", "django_q"], USE_TZ=True,
        DATABASES={"default": {**database, "PORT": at.get("port", "5432"), "CONN_MAX_AGE": 600}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        Q_CLUSTER={"name": "bench", "orm": "default", "workers": 2, "bulk": 10, "poll": 0.01, "queue_limit": 100,
                   "timeout": 60, "retry": 120, "save_limit": -1, "max_attempts": 1, "log_level": "ERROR"},
    )  # fmt: skip
    django.setup()


def _execute(statement, contact):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, [contact])
        return cursor.fetchone() if cursor.description else None


def mark(contact):
    from django_q.tasks import async_task

    _execute(MARK, contact)
    async_task("with_django_q2.decide", contact)


def decide(contact):
    from django_q.tasks import async_task

    if is_wanted(_execute(READ, contact)[0]):
        async_task("with_django_q2.record", contact)


def record(contact):
    _execute(RECORD, contact)


def main() -> None:
    options = arguments()
    prepare(options.database, options.contacts)
    os.environ["BENCH_PEER_DATABASE"] = options.database
    configure(options.database)
    from django.core.management import call_command
    from django_q.tasks import async_task

    call_command("migrate", verbosity=0)
    command = [sys.executable, "with_django_q2.py", "cluster"]
    cluster = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(4)

    def work() -> None:
        for number in range(1, options.contacts + 1):
            async_task("with_django_q2.mark", number)
        with psycopg.connect(options.database, autocommit=True) as watching:
            while watching.execute("SELECT count(*) FROM message").fetchone()[0] < options.contacts:
                time.sleep(0.05)

    try:
        report(options.database, options.contacts, "django-q2", work, workers="2 processes, ORM broker")
    finally:
        os.killpg(cluster.pid, signal.SIGKILL)
        cluster.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["cluster"]:
        configure(URL)
        from django.core.management import call_command

        call_command("qcluster")
    else:
        main()
