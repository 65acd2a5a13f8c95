"""Logs are partitioned by month, the hot table is tuned, and versions are immutable."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.utils import timezone

from pipelines import immutability
from pipelines.partitions import PARTITIONED, ensure_partitions

STORAGE = """
    ALTER TABLE pipelines_pipelinerun SET (
        fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000
    )
"""


def partition_logs(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Rebuild the append-only tables as partitioned ones with the key (id, time)."""
    if editor.connection.vendor != "postgresql":
        return
    for table, column in PARTITIONED.items():
        _rebuild(editor, table, column)
    ensure_partitions(timezone.now())


def _rebuild(editor: BaseDatabaseSchemaEditor, table: str, column: str) -> None:
    # Triggers of deferred foreign keys from earlier statements would block the change.
    editor.execute("SET CONSTRAINTS ALL IMMEDIATE", None)
    indexes, foreign_keys = _indexes(editor, table), _foreign_keys(editor, table)
    plain = f"{table}_plain"
    sequence = f"{table}_seq"
    statements = [
        f"ALTER TABLE {table} RENAME TO {plain}",
        f"CREATE TABLE {table} (LIKE {plain} INCLUDING DEFAULTS INCLUDING STORAGE)"
        f" PARTITION BY RANGE ({column})",
        f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT",
        f"INSERT INTO {table} SELECT * FROM {plain}",
        f"DROP TABLE {plain}",
        f"CREATE SEQUENCE {sequence} OWNED BY {table}.id",
        f"SELECT setval('{sequence}', coalesce((SELECT max(id) FROM {table}), 0) + 1, false)",
        f"ALTER TABLE {table} ALTER COLUMN id SET DEFAULT nextval('{sequence}')",
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY (id, {column})",
        *indexes,
        *(f"ALTER TABLE {table} ADD CONSTRAINT {name} {rule}" for name, rule in foreign_keys),
    ]
    for statement in statements:
        editor.execute(statement, None)
    if table == "pipelines_stepexecution":
        editor.execute(f"CREATE INDEX execution_at ON {table} USING brin ({column})", None)


def _indexes(editor: BaseDatabaseSchemaEditor, table: str) -> list[str]:
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = %s::regclass AND NOT indisprimary",
            [table],
        )
        return [row[0] for row in cursor.fetchall()]


def _foreign_keys(editor: BaseDatabaseSchemaEditor, table: str) -> list[tuple[str, str]]:
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype = 'f'",
            [table],
        )
        return cursor.fetchall()


def tune_runs(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Leave room for in-place updates and keep the statistics of the hot table fresh."""
    if editor.connection.vendor == "postgresql":
        editor.execute(STORAGE, None)


def protect_versions(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    immutability.install(editor)


def unprotect_versions(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    immutability.uninstall(editor)


class Migration(migrations.Migration):
    """Partitions, storage and the trigger; models do not change."""

    dependencies = [("pipelines", "0001_initial")]

    operations = [
        # Going back leaves the tables partitioned: 0001 drops them either way.
        migrations.RunPython(partition_logs, migrations.RunPython.noop),
        migrations.RunPython(tune_runs, migrations.RunPython.noop),
        migrations.RunPython(protect_versions, unprotect_versions),
    ]
