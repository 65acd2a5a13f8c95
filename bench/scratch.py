"""A database of its own for benchmarks, made before Django starts and dropped afterwards."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

# Of this process alone, so that two people can measure on one server.
NAME = f"crm_bench_{os.getpid()}"
POSTGRES = os.environ.get("BENCH_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")


def postgres_answers() -> bool:
    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def scratch_database() -> Iterator[str]:
    """PostgreSQL when it answers, else SQLite; yields what was chosen, with the environment pointing there."""
    os.environ.update(
        DEBUG="0", HTTPS="0", SECRET_KEY="benchmarks-only", PIPELINES_KICK="0", LOG_LEVEL="ERROR",
        EMAIL_URL="dummymail://", DJANGO_SETTINGS_MODULE="config.settings",
    )  # fmt: skip
    if not postgres_answers():
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DATABASE_URL"] = f"sqlite:///{Path(folder) / 'bench.sqlite3'}"
            yield "SQLite"
        return
    base = POSTGRES.rpartition("/")[0]
    _admin(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
    _admin(f"CREATE DATABASE {NAME}")
    os.environ["DATABASE_URL"] = f"{base}/{NAME}"
    try:
        yield "PostgreSQL"
    finally:
        _admin(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def _admin(statement: str) -> None:
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(statement)
