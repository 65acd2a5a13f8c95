"""Where the engine reads and writes: one interface, set-based on PostgreSQL and portable elsewhere."""

from django.db import connection

from pipelines.engine.store.portable import PortableStore
from pipelines.engine.store.postgres import PostgresStore

__all__ = ["PortableStore", "PostgresStore", "store"]

_postgres, _portable = PostgresStore(), PortableStore()


def store() -> PortableStore:
    """The store of the default database."""
    return _postgres if connection.vendor == "postgresql" else _portable
