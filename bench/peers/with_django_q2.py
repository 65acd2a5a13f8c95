# mypy: ignore-errors
"""django-q2 with its ORM broker on PostgreSQL, one task for each step: what a simple Django project does.

Tuned: two workers, tasks taken 50 at a time, looked for every 10 ms, connections kept open, successes not stored.
"""

import os
import signal
import subprocess
import sys
import time

import psycopg
from job import MARK, READ, RECORD, arguments, is_wanted, measure, prepare


def configure(url: str, workers: int) -> None:
    import django
    from django.conf import settings

    at = psycopg.conninfo.conninfo_to_dict(url)
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    database = {key: at.get(name, "") for key, name in names.items()}
    settings.configure(
        SECRET_KEY="bench", INSTALLED_APPS=["django.contrib.contenttypes", "django_q"], USE_TZ=True,
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 600, **database}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        Q_CLUSTER={"name": "bench", "orm": "default", "workers": workers, "bulk": 50, "poll": 0.01,
                   "queue_limit": 200, "timeout": 60, "retry": 120, "save_limit": -1, "max_attempts": 1,
                   "log_level": "ERROR"},
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


def wait_until_somebody_waits(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as watching:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        for _ in range(300):
            if watching.execute(asked).fetchone()[0]:
                return
            time.sleep(0.1)
    raise RuntimeError("the cluster of django-q2 did not start")


def main() -> None:
    options = arguments()
    prepare(options.database, options.contacts)
    configure(options.database, options.workers)
    from django.core.management import call_command
    from django_q.tasks import async_task

    call_command("migrate", verbosity=0)
    for number in range(1, options.contacts + 1):
        async_task("with_django_q2.mark", number)
    # The queue is locked until the cluster stands before it, so that its start is not measured.
    gate = psycopg.connect(options.database)
    gate.execute("LOCK TABLE django_q_ormq IN ACCESS EXCLUSIVE MODE")
    command = [sys.executable, "with_django_q2.py", "cluster", options.database, str(options.workers)]
    cluster = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_somebody_waits(options.database)
        time.sleep(1)
        measure(options, gate.commit, package="django-q2", workers=f"{options.workers} processes and three beside them",
                durability="a commit for each step, for its successor and for its end")  # fmt: skip
    finally:
        os.killpg(cluster.pid, signal.SIGKILL)
        cluster.wait()


if __name__ == "__main__":
    if sys.argv[1] == "cluster":
        configure(sys.argv[2], int(sys.argv[3]))
        from django.core.management import call_command

        call_command("qcluster")
    else:
        main()
