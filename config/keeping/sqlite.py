"""Snapshots of SQLite: by the database itself, for a copied file of a live one is broken."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from django.db import connection

from config.keeping.refusals import Refused

SECONDS = 60


def server() -> str:
    return sqlite3.sqlite_version


def snapshot(path: Path) -> Mapping[str, int]:
    """Everything committed at one moment, in a new file, checked; rows by table."""
    with closing(sqlite3.connect(_file(), timeout=SECONDS)) as live:
        live.execute("VACUUM INTO ?", [str(path)])
    return examine(path)


def examine(path: Path) -> Mapping[str, int]:
    """Rows by table; raises Refused for a broken file."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as copy:
            (said,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                raise Refused(f"The copy of the database is broken: {said}.")
            return counts_of(copy)
    except sqlite3.DatabaseError as error:
        raise Refused(f"The copy of the database cannot be read: {error}.") from error


def counts_of(opened: sqlite3.Connection) -> Mapping[str, int]:
    names = opened.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1")
    tables = [name for (name,) in names.fetchall()]
    count = " UNION ALL ".join(f"SELECT '{name}', (SELECT count(*) FROM \"{name}\")" for name in tables)  # noqa: S608
    return dict(opened.execute(count).fetchall())


def count_rows() -> Mapping[str, int]:
    """Rows by table of the database in use."""
    with closing(sqlite3.connect(_file(), timeout=SECONDS)) as live:
        return counts_of(live)


def load(path: Path, *, also: str) -> None:
    """Put the copy in the place of the database in one transaction, with a statement that belongs to it."""
    with closing(sqlite3.connect(path)) as copy:
        copy.execute(also)
        copy.commit()
        # Whatever writes at the same time waits or is refused; readers see the old or the new one, whole.
        connection.close()
        try:
            with closing(sqlite3.connect(_file(), timeout=SECONDS)) as live:
                copy.backup(live)
        except sqlite3.OperationalError as error:
            raise Refused(f"The database is in use ({error}): stop web and worker first.") from error


def _file() -> str:
    return str(connection.settings_dict["NAME"])
