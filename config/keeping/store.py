"""The database of the installation as backups see it: which kind, whether anything is in it, how to copy it."""

from types import ModuleType
from typing import Final

from django.db import connection

from config.keeping import postgres, sqlite
from config.keeping.refusals import Refused

KINDS: Final[dict[str, ModuleType]] = {"sqlite": sqlite, "postgresql": postgres}
# A migrated database in which nobody has done anything is empty.
FILLED: Final = ("auth_user", "crm_team", "contacts_contact")


def kind() -> str:
    return str(connection.vendor)


def copier() -> ModuleType:
    """What takes and loads snapshots of the database in use; raises Refused for kinds without one."""
    if kind() not in KINDS:
        raise Refused(f"Backups of {kind()} are not made here.")
    return KINDS[kind()]


def is_filled() -> bool:
    """Whether somebody's rows, or tables of something else, would be lost."""
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        if tables and "django_migrations" not in tables:
            return True
        for name in tables.intersection(FILLED):
            cursor.execute(f"SELECT 1 FROM {connection.ops.quote_name(name)} LIMIT 1")  # noqa: S608 - a name of ours
            if cursor.fetchone():
                return True
    return False
