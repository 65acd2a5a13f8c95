"""Checks of the database: the engines we know, and the options without which they break promises."""

import os
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error

KNOWN: Final = ("django.db.backends.sqlite3", "django.db.backends.postgresql")
# Locks of SQLite do not hold there, and its write-ahead log needs shared memory.
NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.glusterfs"}
)
MOUNTS: Final = Path("/proc/mounts")
IN_MEMORY: Final = (":memory:", "mode=memory")


def check_engine(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E020: the engine's statements are written for two databases."""
    engine = settings.DATABASES["default"]["ENGINE"]
    if engine in KNOWN:
        return []
    hint = "Use PostgreSQL (postgres://…), or SQLite (sqlite:///…) on one machine."
    return [Error(f"DATABASE_URL names a database that is not supported: {engine}.", hint=hint, id="crm.E020")]


def check_pool(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E021: forked workers would share the sockets of the pool."""
    if not settings.DATABASES["default"].get("OPTIONS", {}).get("pool"):
        return []
    hint = "Remove `pool` from the options: connections are kept by CONN_MAX_AGE; for more, put PgBouncer in front."
    return [Error("The connection pool of psycopg breaks the queue's workers.", hint=hint, id="crm.E021")]


def check_sqlite(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E022, crm.E023: SQLite holds with immediate transactions and on a local disk only."""
    database = settings.DATABASES["default"]
    if not database["ENGINE"].endswith("sqlite3"):
        return []
    found: list[CheckMessage] = []
    mode = database.get("OPTIONS", {}).get("transaction_mode")
    if str(mode).upper() != "IMMEDIATE":
        hint = "Leave `transaction_mode` alone: two writers would get 'database is locked' at once instead of waiting."
        found.append(Error(f"SQLite's transaction_mode is {mode}, not IMMEDIATE.", hint=hint, id="crm.E022"))
    kind = _network_file_system(str(database["NAME"]))
    if kind:
        hint = "Move the file to a local disk, or use PostgreSQL."
        found.append(Error(f"The SQLite file is on a network file system ({kind}).", hint=hint, id="crm.E023"))
    return found


def _network_file_system(name: str) -> str | None:
    """The kind of the network file system below a file, None when it is local or cannot be told."""
    if any(mark in name for mark in IN_MEMORY) or not MOUNTS.is_file():
        return None
    path = os.path.realpath(name.removeprefix("file:"))
    mounts = [line.split()[1:3] for line in MOUNTS.read_text("utf-8", "replace").splitlines()]
    above = [(len(point), kind) for point, kind in mounts if path.startswith(f"{point.rstrip('/')}/")]
    kind = max(above, default=(0, ""))[1]
    return kind if kind in NETWORK else None
