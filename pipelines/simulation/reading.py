"""The real database, opened for reading alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def read_only() -> Iterator[None]:
    """The database itself refuses every write in here, also inside a transaction of the caller."""
    if connection.vendor != "postgresql":
        with _query_only():
            yield
        return
    with transaction.atomic():
        # A setting of a savepoint ends when the savepoint is rolled back; there is nothing in it to lose.
        mark = transaction.savepoint()
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL transaction_read_only = on")
        try:
            yield
        finally:
            if not connection.needs_rollback:
                transaction.savepoint_rollback(mark)


@contextmanager
def _query_only() -> Iterator[None]:
    connection.ensure_connection()
    with connection.cursor() as cursor:
        before = cursor.execute("PRAGMA query_only").fetchone()[0]
        cursor.execute("PRAGMA query_only = 1")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA query_only = {int(before)}")
