"""The database trigger that refuses to change a published version."""

from typing import Final

from django.db import connection
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

NAME: Final = "pipeline_version_is_immutable"
REFUSAL: Final = "A published version never changes: publish a new one."

POSTGRESQL: Final = [
    f"""
    CREATE OR REPLACE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$
    """,
    f"DROP TRIGGER IF EXISTS {NAME} ON pipelines_pipelineversion",
    f"""
    CREATE TRIGGER {NAME} BEFORE UPDATE ON pipelines_pipelineversion FOR EACH ROW
    WHEN (OLD.document IS DISTINCT FROM NEW.document OR OLD.program IS DISTINCT FROM NEW.program
          OR OLD.checksum IS DISTINCT FROM NEW.checksum OR OLD.number IS DISTINCT FROM NEW.number)
    EXECUTE FUNCTION {NAME}()
    """,
]
SQLITE: Final = [
    f"DROP TRIGGER IF EXISTS {NAME}",
    f"""
    CREATE TRIGGER {NAME} BEFORE UPDATE ON pipelines_pipelineversion FOR EACH ROW
    WHEN OLD.document IS NOT NEW.document OR OLD.program IS NOT NEW.program
         OR OLD.checksum IS NOT NEW.checksum OR OLD.number IS NOT NEW.number
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END
    """,
]


def install(editor: BaseDatabaseSchemaEditor) -> None:
    """(Re-)create the trigger; SQLite loses it whenever a migration rebuilds the table."""
    statements = {"postgresql": POSTGRESQL, "sqlite": SQLITE}.get(editor.connection.vendor, [])
    for statement in statements:
        editor.execute(statement, None)


def uninstall(editor: BaseDatabaseSchemaEditor) -> None:
    """Remove the trigger and its function."""
    if editor.connection.vendor == "postgresql":
        editor.execute(f"DROP TRIGGER IF EXISTS {NAME} ON pipelines_pipelineversion", None)
        editor.execute(f"DROP FUNCTION IF EXISTS {NAME}()", None)
    elif editor.connection.vendor == "sqlite":
        editor.execute(f"DROP TRIGGER IF EXISTS {NAME}", None)


def is_installed() -> bool:
    """Whether the trigger stands in the current database."""
    catalog = {
        "postgresql": "SELECT count(*) FROM pg_trigger WHERE tgname = %s AND NOT tgisinternal",
        "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name = %s",
    }.get(connection.vendor)
    if catalog is None:
        return False
    with connection.cursor() as cursor:
        cursor.execute(catalog, [NAME])
        return bool(cursor.fetchone()[0])
