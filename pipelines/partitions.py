"""Monthly partitions of the append-only tables on PostgreSQL; a no-op elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

PARTITIONED: Final = {
    "pipelines_stepexecution": "at",
    "pipelines_event": "occurred_at",
    "pipelines_enrollmentdecision": "at",
}
MONTHS_AHEAD: Final = 2
# Any fixed number: two processes must not create the same partition at once.
ADVISORY_LOCK: Final = 7_203_451


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One month of one table; `start` is included, `end` is not."""

    table: str
    column: str
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        return f"{self.table}_{self.start:%Y_%m}"


def ensure_partitions(now: datetime) -> list[str]:
    """Create what is missing of this month and the next two; the names of those created."""
    missing = missing_partitions(now)
    if not missing:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        # Attaching waits for writers of the default partition; give up rather than queue everyone.
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        created = [p for p in missing if p.name not in _existing(cursor)]
        for partition in created:
            _create(cursor, partition)
    return [partition.name for partition in created]


def missing_partitions(now: datetime) -> list[Partition]:
    """Partitions of this month and the next two that do not exist yet."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        existing = _existing(cursor)
    return [partition for partition in _wanted(now) if partition.name not in existing]


def _wanted(now: datetime) -> Iterator[Partition]:
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    months = [_months_later(first, n) for n in range(MONTHS_AHEAD + 2)]
    for table, column in PARTITIONED.items():
        for start, end in pairwise(months):
            yield Partition(table=table, column=column, start=start, end=end)


def _months_later(first: datetime, months: int) -> datetime:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return first.replace(year=year, month=month + 1)


def _existing(cursor: CursorWrapper) -> set[str]:
    cursor.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = ANY"
        " (SELECT oid FROM pg_class WHERE relname = ANY(%s) AND relkind = 'p')",
        [list(PARTITIONED)],
    )
    return {name.split(".")[-1].strip('"') for (name,) in cursor.fetchall()}


def _create(cursor: CursorWrapper, partition: Partition) -> None:
    """Make the month beside the table, move what waited in the default partition, attach it."""
    month = [partition.start, partition.end]
    default = f"{partition.table}_default"
    cursor.execute(f"CREATE TABLE {partition.name} (LIKE {partition.table} INCLUDING DEFAULTS INCLUDING STORAGE)")
    cursor.execute(
        f"WITH moved AS (DELETE FROM {default} WHERE {partition.column} >= %s"  # noqa: S608 - names of tables only
        f" AND {partition.column} < %s RETURNING *)"
        f" INSERT INTO {partition.name} SELECT * FROM moved",
        month,
    )
    cursor.execute(
        f"ALTER TABLE {partition.table} ATTACH PARTITION {partition.name} FOR VALUES FROM (%s) TO (%s)",
        month,
    )
