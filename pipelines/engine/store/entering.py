"""New records go into their automatic pipelines by one statement of PostgreSQL, where nothing about them decides."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID
from weakref import WeakSet
from zlib import crc32

from django.db import DatabaseError, connection, transaction

from pipelines.engine.cursor import NewRun
from pipelines.engine.store.arrays import literal, numbers
from pipelines.models import Pipeline, PipelineRun, Trigger

# Either every open way is a plain one and everybody enters, or nobody does and the caller hears of it.
ENTER = """
WITH way AS MATERIALIZED (
  SELECT t.id, t.revision, t.pipeline_id, p.current_version_id AS version_id, k.step_id,
         CASE WHEN coalesce(t."where", 'null') <> 'null' OR coalesce(t.assign, 'null') <> 'null'
                OR t.max_per_hour IS NOT NULL THEN NULL
              WHEN coalesce(t.reentry, 'null') IN ('null', '"while_active"') THEN 'freed'
              WHEN t.reentry = '"once"' THEN 'kept' WHEN t.reentry = '"always"' THEN 'none' END AS key
    FROM pipelines_trigger t JOIN pipelines_pipeline p ON p.id = t.pipeline_id
    LEFT JOIN unnest($3, $4) AS k(version_id, step_id) ON k.version_id = p.current_version_id
   WHERE t.model_id = $1 AND t.kind = {created} AND t.enabled
     AND p.team_id = $2 AND p.status = {active} AND p.current_version_id IS NOT NULL
   ORDER BY t.id),
entered AS (
  INSERT INTO pipelines_pipelinerun ({columns})
  SELECT {values} FROM way w CROSS JOIN unnest($5, $6, $7) AS s(id, freed, kept)
   WHERE NOT EXISTS (SELECT FROM way WHERE step_id IS NULL OR key IS NULL)
      ON CONFLICT DO NOTHING RETURNING id, pipeline_id, subject_id)
SELECT id, pipeline_id, subject_id, 0, true FROM entered
UNION ALL
SELECT NULL, pipeline_id, id, revision, step_id IS NOT NULL AND key IS NOT NULL FROM way
"""
TYPES = "int, int, int[], int[], bigint[], uuid[], uuid[], timestamptz, smallint"
VALUES = {
    "pipeline_id": "w.pipeline_id", "version_id": "w.version_id", "trigger_id": "w.id", "step_id": "w.step_id",
    "subject_type_id": "$1", "subject_id": "s.id", "next_step_at": "$8", "created_at": "$8", "depth": "$9",
    "dedup": "CASE w.key WHEN 'freed' THEN s.freed WHEN 'kept' THEN s.kept END",
}  # fmt: skip
# Sent in one go: the savepoint costs no round trip of its own. Numbers, keys and a time are all that is filled in.
CALL = "SAVEPOINT entering; {prepare}EXECUTE {name}({arguments}); RELEASE SAVEPOINT entering"
UNDO = "ROLLBACK TO SAVEPOINT entering; RELEASE SAVEPOINT entering"

# Connections whose server keeps the plan: planning would cost as much as all the rest.
_prepared: WeakSet[Any] = WeakSet()


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Records of one team and type; `starts` are the versions whose first step is due at once, and that step."""

    subject_type_id: int
    team_id: int
    starts: dict[int, int]
    # (id, key that is freed when the run ends, key that stays)
    subjects: Sequence[tuple[int, UUID, UUID]]
    now: datetime
    depth: int


@dataclass(frozen=True, slots=True)
class Entered:
    """The new runs (run, pipeline, subject), and the ways they came by (pipeline, trigger, its revision)."""

    runs: list[tuple[int, int, int]]
    ways: list[tuple[int, int, int]]


def enter(newcomers: Newcomers) -> Entered | None:
    """Take everybody in, within the caller's transaction; None when an open way asks for more than this.

    Raises DatabaseError when the database refuses, with nothing changed.
    """
    if connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        # A pooler hands every transaction another server process, which has not prepared anything.
        return None
    ids, freed, kept = zip(*newcomers.subjects, strict=True)
    starts = newcomers.starts
    rows = _call(
        f"{newcomers.subject_type_id:d}, {newcomers.team_id:d}, '{numbers(starts)}', '{numbers(starts.values())}', "
        f"'{numbers(ids)}', '{literal(freed)}', '{literal(kept)}', '{newcomers.now.isoformat()}', {newcomers.depth:d}"
    )
    if not all(plain for *_, plain in rows):
        return None
    return Entered(
        runs=[(run_id, pipeline_id, subject_id) for run_id, pipeline_id, subject_id, *_ in rows if run_id is not None],
        ways=[
            (pipeline_id, trigger_id, revision) for run_id, pipeline_id, trigger_id, revision, _ in rows if not run_id
        ],
    )


def _call(arguments: str) -> list[Any]:
    name, statement = _statement()
    with connection.cursor() as cursor:
        known = connection.connection in _prepared
        prepare = "" if known else f"PREPARE {name}({TYPES}) AS {statement}; "
        try:
            cursor.execute(CALL.format(prepare=prepare, name=name, arguments=arguments))
        except DatabaseError:
            _undo(cursor, name)
            raise
        _prepared.add(connection.connection)
        while cursor.description is None:
            cursor.nextset()
        return list(cursor.fetchall())


def _undo(cursor: Any, name: str) -> None:
    """Back to the savepoint; what was prepared after it stays prepared."""
    try:
        cursor.execute(UNDO)
        cursor.execute("SELECT FROM pg_prepared_statements WHERE name = %s", [name])
        if cursor.fetchone() is not None:
            _prepared.add(connection.connection)
    except DatabaseError:
        # The connection is lost, and with it what the caller has written.
        transaction.set_rollback(True)
        raise


@cache
def _statement() -> tuple[str, str]:
    """The statement, and a name that changes with it."""
    values = {field.name: VALUES.get(field.name, _shown(field.default)) for field in fields(NewRun)}
    columns = [str(field.column) for field in PipelineRun._meta.concrete_fields if field.attname in values]
    statement = ENTER.format(
        columns=", ".join(columns), values=", ".join(values[column] for column in columns),
        created=Trigger.Kind.CREATED.value, active=Pipeline.Status.ACTIVE.value,
    )  # fmt: skip
    return f"enter_{crc32(statement.encode()):08x}", statement


def _shown(default: Any) -> str:
    return "NULL" if default is None else str(default)
