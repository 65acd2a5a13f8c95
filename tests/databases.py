"""Migrated databases for installations under test: made once for a whole test run, then copied."""

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "CRM_TEST_TEMPLATES"
SUFFIX = os.environ.get("TEST_DB_SUFFIX", "")
ORIGINAL = f"crm_original{SUFFIX}"
KEY = ("create_api_key", "--team", "acme", "--role", "admin", "--name", "tests", "--create-team")


def begin() -> None:
    """Called before workers of a parallel run are started, so that all of them share one folder."""
    os.environ.setdefault(FOLDER, tempfile.mkdtemp(prefix="crm-templates-"))


def end() -> None:
    """Forget what was made."""
    folder = os.environ.pop(FOLDER, "")
    if not folder:
        return
    if (Path(folder) / "postgresql.json").exists():
        _drop(os.environ["DATABASE_URL"], ORIGINAL)
    shutil.rmtree(folder, ignore_errors=True)


def sqlite_copy(target: Path) -> str:
    """The key of an admin of the team `acme` in a migrated database at this path."""
    made = _made("sqlite", lambda folder: f"sqlite:///{folder / 'original.sqlite3'}")
    with (
        closing(sqlite3.connect(made["folder"] / "original.sqlite3")) as source,
        closing(sqlite3.connect(target)) as to,
    ):
        source.backup(to)
    return str(made["token"])


@contextmanager
def postgres_copy(name: str) -> Iterator[tuple[str, str]]:
    """(url, key of an admin of the team `acme`) of a migrated database on the server that the suite runs on."""
    server = os.environ["DATABASE_URL"]
    beside = server.rpartition("/")[0]

    def fresh(folder: Path) -> str:
        _drop(server, ORIGINAL)
        _on(server, f"CREATE DATABASE {ORIGINAL}")
        return f"{beside}/{ORIGINAL}"

    made = _made("postgresql", fresh)
    # The worker of a parallel run has a name of its own, so that none drops the database of another.
    database = f"crm_{name}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}{SUFFIX}"
    _drop(server, database)
    with _alone("postgresql"):
        _on(server, f"CREATE DATABASE {database} TEMPLATE {ORIGINAL}")
    try:
        yield f"{beside}/{database}", str(made["token"])
    finally:
        _drop(server, database)


def _made(kind: str, url_of: Any) -> Mapping[str, Any]:
    """Facts about the original, which whoever comes first makes."""
    folder = Path(os.environ[FOLDER])
    facts = folder / f"{kind}.json"
    with _alone(kind):
        if not facts.exists():
            url = url_of(folder)
            _command(url, "migrate", "--verbosity", "0")
            facts.write_text(json.dumps({"token": _command(url, *KEY).strip()}), "utf-8")
    return {**json.loads(facts.read_text("utf-8")), "folder": folder}


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


def _drop(server: str, database: str) -> None:
    _on(server, f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


def _on(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())
