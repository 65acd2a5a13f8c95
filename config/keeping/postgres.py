"""Snapshots of PostgreSQL by its own programs, which must be installed beside the product."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from django.db import connection, transaction
from psycopg.conninfo import make_conninfo

from config.keeping.refusals import Refused

# What a program needs to reach the server; the password goes by the environment, where no list of processes shows it.
REACHED_BY: Final = ("host", "port", "user", "dbname", "service", "sslmode", "sslrootcert", "sslcert", "sslkey")
BLOCK: Final = 1 << 20
# Everything of ours in the schema, but what extensions own; roles keep what they were granted on the schema itself.
EMPTY: Final = """
SET client_min_messages = warning;
SET lock_timeout = '15s';
DO $$ DECLARE found record; BEGIN
  FOR found IN SELECT c.oid::regclass AS name FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
      AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
  LOOP EXECUTE format('DROP TABLE %s CASCADE', found.name); END LOOP;
  FOR found IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
  LOOP EXECUTE format('DROP ROUTINE %s CASCADE', found.name); END LOOP;
END $$;
"""


def server() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0])


def snapshot(path: Path) -> Mapping[str, int]:
    """A dump in the custom format, checked, and the rows by table that it holds."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # The dump may take longer than an idle transaction is borne.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_export_snapshot()")
        (name,) = cursor.fetchone()
        _run("pg_dump", "--format=custom", "--no-owner", f"--snapshot={name}", f"--file={path}", f"--dbname={_reach()}")
        counts = count_rows()
    path.chmod(0o600)
    examine(path)
    return counts


def examine(path: Path) -> None:
    """Read the whole dump: a list of its contents is also found in one that is broken off."""
    _run("pg_restore", f"--file={os.devnull}", str(path))


def count_rows() -> Mapping[str, int]:
    """Rows by table, with the months of partitioned tables together."""
    with connection.cursor() as cursor:
        tables = sorted(connection.introspection.table_names(cursor))
        if not tables:
            return {}
        quoted = connection.ops.quote_name
        counts = (f"SELECT '{name}', (SELECT count(*) FROM {quoted(name)})" for name in tables)  # noqa: S608 - tables
        cursor.execute(" UNION ALL ".join(counts))
        return dict(cursor.fetchall())


def load(path: Path, *, also: str) -> None:
    """Put the dump in the place of what is there, with a statement that belongs to it: all of it or nothing."""
    connection.close()
    psql = _start(
        "psql", "--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-",
        f"--output={os.devnull}", f"--dbname={_reach()}", stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    reading = _start(
        "pg_restore",
        "--no-owner",
        "--no-privileges",
        "--file=-",
        str(path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert psql.stdin and reading.stdout  # noqa: S101 - both were asked for
    try:
        psql.stdin.write(EMPTY.encode())
        while block := reading.stdout.read(BLOCK):
            psql.stdin.write(block)
        if reading.wait() != 0:
            # Without its end the transaction is rolled back.
            psql.kill()
            psql.wait()
            raise Refused("The dump cannot be read to its end: the archive cannot be trusted.")
        psql.stdin.write(f"RESET search_path;\n{also};\n".encode())
        psql.stdin.close()
    except BrokenPipeError:
        reading.kill()
    finally:
        reading.stdout.close()
        reading.wait()
    assert psql.stderr  # noqa: S101
    said = psql.stderr.read().decode(errors="replace").strip()
    if psql.wait() != 0:
        raise Refused(f"The database refused the backup, and is as it was: {_last_line(said)}")


def _run(program: str, *arguments: str) -> None:
    running = _start(program, *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, said = running.communicate()
    if running.returncode != 0:
        raise Refused(f"{program} failed: {_last_line(said.decode(errors='replace'))}")


def _start(program: str, *arguments: str, **streams: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PGPASSWORD": str(connection.settings_dict.get("PASSWORD") or "")}
    if not environment["PGPASSWORD"]:
        del environment["PGPASSWORD"]
    try:
        command = [program, *arguments]
        return subprocess.Popen(command, env=environment, **streams)  # type: ignore[call-overload, no-any-return]  # noqa: S603
    except FileNotFoundError:
        major = server().split(".")[0]
        raise Refused(
            f"{program} is not installed here: install the client programs of PostgreSQL {major} or newer."
        ) from None


def _reach() -> str:
    params = connection.get_connection_params()
    known = {name: params[name] for name in REACHED_BY if params.get(name)}
    return make_conninfo("", **known)


def _last_line(said: str) -> str:
    errors = [line for line in said.splitlines() if "ERROR" in line or "error:" in line or "FATAL" in line]
    return (errors or said.splitlines() or ["it said nothing"])[0]
