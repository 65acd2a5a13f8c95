"""Migrated databases for tests and for installations under test: made once for a whole test run, then copied."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.remembered import remembered

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "CRM_TEST_TEMPLATES"
SUFFIX = os.environ.get("TEST_DB_SUFFIX", "")
ORIGINAL, KEYED = f"crm_original{SUFFIX}", f"crm_keyed{SUFFIX}"
KEY = ("create_api_key", "--team", "acme", "--role", "admin", "--name", "tests", "--create-team")
_preparing: threading.Thread | None = None


def begin() -> None:
    """Called before workers of a parallel run are started, so that all of them share one folder."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="crm-templates-")


def prepare() -> None:
    """What workers of a parallel run need at once is made while they collect their tests."""
    global _preparing
    _preparing = threading.Thread(target=_keyed_postgres if connection.vendor == "postgresql" else _keyed_sqlite)
    _preparing.start()


def prepared() -> None:
    """Wait for what `prepare` has begun."""
    if _preparing is not None:
        _preparing.join()


def end() -> None:
    """Forget what was made."""
    folder = os.environ.pop(FOLDER, "")
    if not folder:
        return
    for said, database in (("postgresql", ORIGINAL), ("keyed-postgresql", KEYED)):
        if (Path(folder) / f"{said}.txt").exists():
            _drop(database)
    shutil.rmtree(folder, ignore_errors=True)


def keep_no_statements() -> None:
    """Tests and their programs often run with DEBUG on, for which Django writes down every statement, and on SQLite
    asks another to quote its values; only who counts statements needs that."""
    BaseDatabaseWrapper.queries_logged = property(lambda self: self.force_debug_cursor)  # type: ignore[assignment]


def for_tests() -> str:
    """Let Django's connection be one to a migrated copy of its own, and say what its database was called before."""
    before = str(connection.settings_dict["NAME"])
    name = connection.creation._get_test_db_name()  # type: ignore[attr-defined]
    connection.close()
    if connection.vendor == "postgresql":
        _copy_on_server(_postgres_original(), name)
        connection.ops.sql_flush = _deleting  # type: ignore[method-assign]
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with closing(sqlite3.connect(_sqlite_original())) as source:
            source.backup(connection.connection)
    return before


def sqlite_copy(target: Path) -> str:
    """The key of an admin of the team `acme` in a migrated database at this path."""
    source, token = _keyed_sqlite()
    _copy_file(source, target)
    return token


@contextmanager
def postgres_copy(name: str) -> Iterator[tuple[str, str]]:
    """(url, key of an admin of the team `acme`) of a migrated database on the server that the suite runs on."""
    token = _keyed_postgres()
    # The worker of a parallel run has a name of its own, so that none drops the database of another.
    database = f"crm_{name}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}{SUFFIX}"
    _copy_on_server(KEYED, database)
    try:
        yield f"{_beside()}/{database}", token
    finally:
        _drop(database)


def _keyed_sqlite() -> tuple[Path, str]:
    path = Path(os.environ[FOLDER]) / "keyed.sqlite3"

    def make() -> str:
        _copy_file(_sqlite_original(), path)
        return _command(f"sqlite:///{path}", *KEY).strip()

    return path, _once("keyed-sqlite", make)


def _keyed_postgres() -> str:
    def make() -> str:
        _copy_on_server(_postgres_original(), KEYED)
        return _command(f"{_beside()}/{KEYED}", *KEY).strip()

    return _once("keyed-postgresql", make)


def _sqlite_original() -> Path:
    """A file with all tables, and nothing that anybody made."""
    path = Path(os.environ[FOLDER]) / "original.sqlite3"

    def migrate() -> None:
        _command(f"sqlite:///{path}", "migrate", "--verbosity", "0")
        # A database in memory, as a copy may be, has no log beside it.
        with closing(sqlite3.connect(path)) as made:
            made.execute("PRAGMA journal_mode=DELETE")

    def make() -> str:
        remembered(path, copy=_copy_file, migrate=migrate)
        return ""

    _once("sqlite", make)
    return path


def _postgres_original() -> str:
    def make() -> str:
        _drop(ORIGINAL)
        _on_server(f"CREATE DATABASE {ORIGINAL}")
        _command(f"{_beside()}/{ORIGINAL}", "migrate", "--verbosity", "0")
        return ""

    _once("postgresql", make)
    return ORIGINAL


def _deleting(style: object, tables: Sequence[str], **how: bool) -> list[str]:
    """What empties tables that hold a few rows; TRUNCATE would make new files for all of them and their indexes."""
    assert not how.get("reset_sequences")
    names = ", ".join(f"'{table}'" for table in tables)
    return [
        "DO $$ DECLARE name text; BEGIN SET LOCAL session_replication_role = replica;"
        f" FOREACH name IN ARRAY ARRAY[{names}] LOOP EXECUTE format('DELETE FROM %I', name); END LOOP; END $$"
    ]


def _once(name: str, make: Callable[[], str]) -> str:
    """What `make` said, which is called by whoever comes first."""
    said = Path(os.environ[FOLDER]) / f"{name}.txt"
    with _alone(name):
        if not said.exists():
            said.write_text(make(), "utf-8")
    return said.read_text("utf-8")


def _copy_file(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


def _copy_on_server(source: str, target: str) -> None:
    _drop(target)
    with _alone("copying"):
        _on_server(f"CREATE DATABASE {target} TEMPLATE {source}")
    # Processes are killed here, servers are not: what they acknowledged needs no disk to survive a test.
    _on_server(f"ALTER DATABASE {target} SET synchronous_commit = off")


@contextmanager
def _alone(kind: str) -> Iterator[None]:
    with (Path(os.environ[FOLDER]) / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _command(url: str, *arguments: str) -> str:
    environment = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "1"}
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def _server() -> str:
    return os.environ["DATABASE_URL"]


def _beside() -> str:
    return _server().rpartition("/")[0]


def _drop(database: str) -> None:
    _on_server(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


def _on_server(statement: str) -> None:
    with psycopg.connect(_server(), autocommit=True) as server:
        server.execute(statement.encode())
