"""The hot statements as set-based SQL for PostgreSQL."""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection, models
from django.utils import timezone
from psycopg import adapters
from psycopg.pq import Format
from psycopg.types.json import Jsonb

from pipelines.actions.base import TERMINATE
from pipelines.engine.cursor import COLUMNS, Cursor, NewRun, Visit
from pipelines.engine.store.arrays import group, literal, numbers
from pipelines.engine.store.entering import Entered, Newcomers, enter
from pipelines.engine.store.portable import NEW_CHILD, NEW_RUN, PortableStore
from pipelines.engine.store.stats import StatCell
from pipelines.models import Effect, PipelineRun
from pipelines.states import RunPhase, RunStatus

RUN = "pipelines_pipelinerun"

# One index entry per step that has any scheduled run, instead of a scan over all of them.
LANES = f"""
WITH RECURSIVE lane AS (
  (SELECT step_id, next_step_at FROM {RUN} WHERE next_step_at IS NOT NULL
    ORDER BY step_id, next_step_at LIMIT 1)
  UNION ALL
  SELECT n.* FROM lane CROSS JOIN LATERAL (
    SELECT step_id, next_step_at FROM {RUN}
     WHERE next_step_at IS NOT NULL AND step_id > lane.step_id
     ORDER BY step_id, next_step_at LIMIT 1) n)
SELECT step_id, next_step_at FROM lane WHERE next_step_at <= %s ORDER BY next_step_at
"""  # noqa: S608 - names only

HORIZON = """
SELECT pg_snapshot_xmin(now.seen)::text, pg_snapshot_xmax(now.seen)::text FROM (SELECT pg_current_snapshot()) now(seen)
"""

CLAIM = f"""
SELECT {", ".join(COLUMNS)} FROM {RUN}
 WHERE step_id = %s AND next_step_at <= %s AND next_step_at IS NOT NULL
 ORDER BY next_step_at LIMIT %s FOR UPDATE SKIP LOCKED
"""  # noqa: S608

# What most rows have in common is sent once, as a group, and each row names its group.
MOVE = f"""
UPDATE {RUN} r SET version_id = g.version_id, dedup = CASE WHEN g.kept THEN r.dedup END, status = g.status,
       step_id = g.step_id, last_step_id = g.last_step_id, next_step_at = g.next_step_at, phase = g.phase,
       attempt = g.attempt, seq = g.seq, outcome = g.outcome, reason = g.reason, finished_at = g.finished_at
  FROM unnest(%s::bigint[], %s::int[]) AS m(id, no)
  JOIN unnest(%s::int[], %s::bool[], %s::smallint[], %s::int[], %s::int[], %s::timestamptz[],
              %s::smallint[], %s::smallint[], %s::int[], %s::text[], %s::text[], %s::timestamptz[]) WITH ORDINALITY
    AS g(version_id, kept, status, step_id, last_step_id, next_step_at,
         phase, attempt, seq, outcome, reason, finished_at, no) ON g.no = m.no
 WHERE r.id = m.id
"""  # noqa: S608

LOG = """
INSERT INTO pipelines_stepexecution (at, run_id, root_id, step_id, seq, attempt, event, outcome,
       started_at, finished_at, batch, why, output, error)
SELECT %s, m.run_id, m.root_id, g.step_id, g.seq, g.attempt, g.event, g.outcome, g.started_at, g.finished_at,
       %s, g.why::jsonb, g.output::jsonb, g.error
  FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) WITH ORDINALITY AS m(run_id, root_id, no, place)
  JOIN unnest(%s::int[], %s::int[], %s::smallint[], %s::smallint[], %s::text[],
              %s::timestamptz[], %s::timestamptz[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY
    AS g(step_id, seq, attempt, event, outcome, started_at, finished_at, why, output, error, no) ON g.no = m.no
 ORDER BY m.place
"""

STAT = """
INSERT INTO pipelines_stepstat AS s (step_id, day, slot, outcome, n, work_ms, wait_s, hist)
SELECT u.step_id, u.day, u.slot, u.outcome, u.n, u.work_ms, u.wait_s, u.hist::jsonb
  FROM unnest(%s::int[], %s::date[], %s::smallint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[])
    AS u(step_id, day, slot, outcome, n, work_ms, wait_s, hist)
    ON CONFLICT (step_id, day, slot, outcome) DO UPDATE
   SET n = s.n + excluded.n, work_ms = s.work_ms + excluded.work_ms, wait_s = s.wait_s + excluded.wait_s,
       hist = (SELECT jsonb_agg((s.hist->>i)::bigint + (excluded.hist->>i)::bigint ORDER BY i)
                 FROM generate_series(0, 19) i)
"""

# The three writes that end a batch, in one round trip.
CLOSE = f"WITH moved AS ({MOVE}), logged AS ({LOG}) {STAT}"

EFFECT = """
INSERT INTO pipelines_effect (run_id, seq, n, kind, status, at_most_once, available_at, attempt, payload, created_at)
SELECT u.run_id, u.seq, u.n, u.kind, 0, u.once, u.available_at, 0, u.payload::jsonb, u.created_at
  FROM unnest(%s::bigint[], %s::int[], %s::smallint[], %s::smallint[], %s::bool[], %s::timestamptz[],
              %s::text[], %s::timestamptz[])
    AS u(run_id, seq, n, kind, once, available_at, payload, created_at)
    ON CONFLICT DO NOTHING
"""

LEASE = """
UPDATE pipelines_effect SET status = 1, lease_until = %s, attempt = attempt + 1, worker = %s
 WHERE id IN (SELECT id FROM pipelines_effect WHERE kind = %s AND status = 0 AND available_at <= %s
               ORDER BY available_at LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING *
"""

# Ended children are counted at their parents. Every statement names its rows by key, so that it finds them by the
# primary index however stale the statistics are; the ordered lock keeps two workers from waiting for each other.
ENDED = f"""
SELECT parent_id, parent_seq, count(*)::int, bool_or(status = {RunStatus.FAILED.value} OR outcome = '{TERMINATE}')
  FROM {RUN} WHERE id = ANY(%s::bigint[]) AND parent_id IS NOT NULL GROUP BY 1, 2
"""  # noqa: S608
LOCK = f"SELECT id FROM {RUN} WHERE id = ANY(%s::bigint[]) ORDER BY id DESC FOR UPDATE"  # noqa: S608
COUNT_DOWN = f"""
UPDATE {RUN} p SET open_children = greatest(p.open_children - e.n, 0),
       phase = CASE WHEN {{woken}} THEN {RunPhase.RESUME.value} ELSE p.phase END,
       held_until = CASE WHEN {{woken}} AND p.status = {RunStatus.WAITING.value}
                         THEN p.next_step_at ELSE p.held_until END,
       next_step_at = CASE WHEN {{woken}} AND p.status = {RunStatus.WAITING.value} THEN %s ELSE p.next_step_at END,
       status = CASE WHEN {{woken}} AND p.status = {RunStatus.WAITING.value}
                     THEN {RunStatus.PENDING.value} ELSE p.status END
  FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::bool[]) AS e(id, seq, n, bad)
 WHERE p.id = e.id AND p.seq = e.seq AND p.finished_at IS NULL AND p.open_children > 0
""".replace("{woken}", "(e.bad OR p.open_children - e.n <= p.wake_at)")  # noqa: S608

_TYPES = {
    "pipeline": "int", "version": "int", "subject_type": "int", "subject_id": "bigint", "trigger": "int",
    "dedup": "uuid", "status": "smallint", "step": "int", "next_step_at": "timestamptz", "phase": "smallint",
    "attempt": "smallint", "seq": "int", "open_children": "smallint", "wake_at": "smallint",
    "parent_seq": "int", "slot": "int", "depth": "smallint", "created_at": "timestamptz",
    "parent": "bigint", "root": "bigint", "outcome": "text", "reason": "text", "finished_at": "timestamptz",
}  # fmt: skip


def _field(name: str) -> Any:
    return PipelineRun._meta.get_field(name)


@cache
def _attributes(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(_field(name).attname) for name in names)


@cache
def _insert_statement(names: tuple[str, ...], returned: str) -> str:
    columns = ", ".join(str(_field(name).column) for name in names)
    arrays = ", ".join(f"%s::{_TYPES[name]}[]" for name in names)
    return (
        f"INSERT INTO {RUN} ({columns}) SELECT * FROM unnest({arrays}) "  # noqa: S608
        f"ON CONFLICT DO NOTHING RETURNING {returned}"
    )


class PostgresStore(PortableStore):
    """Arrays in, sets out: the number of statements does not grow with the batch."""

    def due_lanes(self, *, now: datetime) -> list[tuple[int, datetime]]:
        return list(_fetch(LANES, [now]))

    def horizon(self) -> tuple[int, int] | None:
        (oldest, upcoming) = _fetch(HORIZON, [])[0]
        return int(oldest), int(upcoming)

    def claim_lane(self, *, step_id: int, now: datetime, limit: int) -> list[Cursor]:
        with connection.cursor() as cursor:
            # Django reads points in time with Python, which is a tenth of all there is to do for a run.
            cursor.adapters.register_loader("timestamptz", _moment_loader())
            cursor.execute(CLAIM, [step_id, now, limit])
            return [Cursor(*row) for row in cursor.fetchall()]

    def move_runs(self, cursors: Sequence[Cursor]) -> None:
        _run(MOVE, _moves(cursors))

    def insert_runs(self, rows: Sequence[NewRun]) -> list[tuple[int, int, int | None]]:
        if not rows:
            return []
        return _inserted(rows, NEW_RUN, "id, pipeline_id, subject_id")

    def insert_children(self, rows: Sequence[NewRun]) -> dict[tuple[int | None, int], int]:
        made = _inserted(rows, NEW_CHILD, "id, parent_id, slot")
        return {(parent_id, slot): pk for pk, parent_id, slot in made}

    def enter(self, newcomers: Newcomers) -> Entered | None:
        return enter(newcomers)

    def count_down(self, run_ids: Sequence[int], *, now: datetime) -> None:
        counts = _fetch(ENDED, [numbers(run_ids)])
        if counts:
            parents, seqs, ended, bad = zip(*counts, strict=True)
            _fetch(LOCK, [numbers(parents)])
            _run(COUNT_DOWN, [now, numbers(parents), numbers(seqs), numbers(ended), literal(bad)])

    def close_visits(
        self,
        cursors: Sequence[Cursor],
        visits: Sequence[Visit],
        cells: Sequence[StatCell],
        *,
        at: datetime,
        batch: uuid.UUID,
    ) -> None:
        if not visits:
            self.move_runs(cursors)
            return
        _run(CLOSE, [*_moves(cursors), *_visits(visits, at, batch), *_cells(cells)])

    def insert_visits(self, visits: Sequence[Visit], *, at: datetime, batch: uuid.UUID) -> None:
        _run(LOG, _visits(visits, at, batch))

    def insert_effects(self, effects: Sequence[Effect]) -> None:
        names = ("run_id", "seq", "n", "kind", "at_most_once", "available_at")
        columns = [literal([getattr(effect, name) for effect in effects]) for name in names]
        payloads = literal([json.dumps(effect.payload) for effect in effects])
        _run(EFFECT, [*columns, payloads, literal([effect.created_at for effect in effects])])

    def create_rows(self, model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> list[int]:
        fields: list[Any] = [field for field in model._meta.concrete_fields if not field.primary_key]
        names = ", ".join(f'"{field.column}"' for field in fields)
        arrays = ", ".join(f"%s::{field.db_type(connection)}[]" for field in fields)
        made = _fetch(
            f'INSERT INTO "{model._meta.db_table}" ({names}) SELECT {names} FROM unnest({arrays})'  # noqa: S608
            f" WITH ORDINALITY AS u({names}, place) ORDER BY place RETURNING id",
            [_column(field, rows) for field in fields],
        )
        return [pk for (pk,) in made]

    def update_rows(
        self, model: type[models.Model], fields: tuple[str, ...], rows: Sequence[tuple[int, tuple[Any, ...]]]
    ) -> None:
        first = rows[0][1]
        found: list[Any] = [model._meta.get_field(name) for name in fields]
        columns = [str(field.column) for field in found]
        if all(values == first for _, values in rows):
            assigned = ", ".join(f'"{column}" = %s' for column in columns)
            same = [field.get_db_prep_save(value, connection) for field, value in zip(found, first, strict=True)]
            _run(
                f'UPDATE "{model._meta.db_table}" SET {assigned} WHERE id = ANY(%s::bigint[])',  # noqa: S608
                [*same, numbers(pk for pk, _ in rows)],
            )
            return
        types = [str(field.db_type(connection)) for field in found]
        assigned = ", ".join(f'"{column}" = u."{column}"' for column in columns)
        arrays = ", ".join(["%s::bigint[]", *(f"%s::{kind}[]" for kind in types)])
        names = ", ".join(f'"{column}"' for column in columns)
        prepared = [_column_of(field, [values[index] for _, values in rows]) for index, field in enumerate(found)]
        _run(
            f'UPDATE "{model._meta.db_table}" t SET {assigned} FROM unnest({arrays}) AS u(id, {names}) '  # noqa: S608
            "WHERE t.id = u.id",
            [numbers(pk for pk, _ in rows), *prepared],
        )

    def merge_values(
        self, model: type[models.Model], rows: Sequence[tuple[int, Mapping[str, Any]]], *, column: str = "custom"
    ) -> None:
        _run(
            f'UPDATE "{model._meta.db_table}" t SET "{column}" = t."{column}" || u.more '  # noqa: S608
            "FROM unnest(%s::bigint[], %s::jsonb[]) AS u(id, more) WHERE t.id = u.id",
            [[pk for pk, _ in rows], [Jsonb(dict(values)) for _, values in rows]],
        )

    def lease_effects(
        self, *, kind: int, now: datetime, real_now: datetime, until: datetime, limit: int, worker: int
    ) -> list[Effect]:
        return list(Effect.objects.raw(LEASE, [until, worker, kind, now, limit]))


@cache
def _moment_loader() -> Any:
    """What psycopg itself reads points in time with."""
    return adapters.get_loader(adapters.types["timestamptz"].oid, Format.TEXT)


def _inserted(rows: Sequence[NewRun], names: tuple[str, ...], returned: str) -> list[Any]:
    columns = [literal([getattr(row, name) for row in rows]) for name in _attributes(names)]
    return _fetch(_insert_statement(names, returned), columns)


def _column(field: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Values of a column of new rows, with what saving each would have filled in."""
    dated = getattr(field, "auto_now_add", False) or getattr(field, "auto_now", False)
    missing = timezone.now() if dated else field.get_default()
    return _column_of(field, [row.get(field.attname, missing) for row in rows])


def _column_of(field: Any, values: Sequence[Any]) -> Any:
    if isinstance(field, models.JSONField):
        return literal([None if value is None else json.dumps(value, cls=field.encoder) for value in values])
    try:
        return literal(values)
    except TypeError:
        # Rare types take the long way.
        return [field.get_db_prep_save(value, connection) for value in values]


def _moves(cursors: Sequence[Cursor]) -> list[Any]:
    keys = [
        (
            cursor.version_id, cursor.dedup is not None, cursor.status, cursor.step_id, cursor.last_step_id,
            cursor.next_step_at, cursor.phase, cursor.attempt, cursor.seq, cursor.outcome, cursor.reason,
            cursor.finished_at,
        )
        for cursor in cursors
    ]  # fmt: skip
    return [numbers(cursor.id for cursor in cursors), *_grouped(keys)]


def _visits(visits: Sequence[Visit], at: datetime, batch: uuid.UUID) -> list[Any]:
    texts = _Texts()
    keys = [
        (
            visit.step_id, visit.seq, visit.attempt, visit.event, visit.outcome, visit.started_at,
            visit.finished_at, texts.of(visit.why), texts.of(visit.output), visit.error,
        )
        for visit in visits
    ]  # fmt: skip
    runs, roots = numbers(visit.run_id for visit in visits), numbers(visit.root_id for visit in visits)
    return [at, batch, runs, roots, *_grouped(keys)]


def _grouped(keys: Sequence[tuple[Any, ...]]) -> list[str]:
    """The group of each row, and the columns of the groups."""
    members, firsts = group(keys)
    return [numbers(members), *(literal(column) for column in zip(*(keys[first] for first in firsts), strict=True))]


def _cells(cells: Sequence[StatCell]) -> list[Any]:
    # One order for everybody, so that two workers never wait for each other in a ring.
    ordered = sorted(cells, key=lambda cell: cell.key)
    names = ("step_id", "day", "slot", "outcome", "n", "work_ms", "wait_s")
    columns = [literal([getattr(cell, name) for cell in ordered]) for name in names]
    return [*columns, literal([_text(cell.hist) for cell in ordered])]


class _Texts(dict[str, str]):
    """JSON texts of values most of which are alike: telling that they are is cheaper than writing them."""

    def of(self, value: Any) -> str | None:
        if value is None:
            return None
        shown = repr(value)
        text = self.get(shown)
        if text is None:
            text = self[shown] = json.dumps(value)
        return text


def _text(value: Any) -> str | None:
    """JSON as text: an array of texts is cheaper to send than one of documents."""
    return None if value is None else json.dumps(value)


def _run(statement: str, parameters: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _fetch(statement: str, parameters: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
