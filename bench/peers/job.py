"""The job that every peer does for each contact: update a field, decide, record a message; each durable by itself.

Imported by programs in the environments of the peers, so nothing but psycopg may be asked for here.
"""

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import version

import psycopg

TABLES = """
CREATE TABLE contact (id int PRIMARY KEY, name text NOT NULL, source text NOT NULL DEFAULT '');
CREATE TABLE message (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id int NOT NULL UNIQUE, body text);
INSERT INTO contact SELECT n, 'C' || n FROM generate_series(1, %s) n;
"""
MARK = "UPDATE contact SET source = 'seen' WHERE id = %s"
READ = "SELECT name FROM contact WHERE id = %s"
RECORD = "INSERT INTO message (contact_id, body) VALUES (%s, 'Hello') ON CONFLICT DO NOTHING"


def is_wanted(name: str) -> bool:
    """The decision; everybody is."""
    return name != "x"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", required=True)
    parser.add_argument("--contacts", type=int, required=True)
    return parser.parse_args()


def prepare(url: str, contacts: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement % contacts if "%s" in statement else statement)


def report(url: str, contacts: int, package: str, work: Callable[[], None], **facts: object) -> None:
    """Time the work, check what it left behind, and print one line of JSON."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    with psycopg.connect(url) as connection:
        marked = connection.execute("SELECT count(*) FROM contact WHERE source = 'seen'").fetchone()
        recorded = connection.execute("SELECT count(*) FROM message").fetchone()
    assert marked == (contacts,) and recorded == (contacts,), (marked, recorded)
    print(json.dumps({"version": version(package), "per_second": contacts / seconds, **facts}))
