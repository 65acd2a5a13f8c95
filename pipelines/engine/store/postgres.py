"""The hot statements as set-based SQL for PostgreSQL."""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import repeat
from operator import is_
from typing import Any

from django.db import connection, models
from django.utils import timezone
from psycopg import adapters
from psycopg.pq import Format
from psycopg.types.json import Jsonb

from pipelines.engine.cursor import Cursor, InsertedRun, NewRun, Visit
from pipelines.engine.store.arrays import literal, numbers
from pipelines.engine.store.closing import Texts, entries, moves, tallies
from pipelines.engine.store.columns import NEW_CHILD, NEW_RUN
from pipelines.engine.store.entering import Entered, Newcomers, enter
from pipelines.engine.store.leaving import LeavingAtOnce
from pipelines.engine.store.portable import PortableStore
from pipelines.engine.store.statements import (
    _TYPES,
    CLAIM,
    CLAIM_RUNS,
    CLAIM_TRIAL,
    CLOSE,
    COUNT_DOWN,
    EFFECT,
    ENDED,
    HORIZON,
    LANES,
    LEASE,
    LOCK,
    LOG,
    MOVE,
    RUN,
)
from pipelines.engine.store.stats import StatCell
from pipelines.models import Effect, PipelineRun


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


class PostgresStore(LeavingAtOnce, PortableStore):
    """Arrays in, sets out: the number of statements does not grow with the batch."""

    def due_lanes(self, *, now: datetime) -> list[tuple[int, datetime]]:
        return list(_fetch(LANES, [now]))

    def horizon(self) -> tuple[int, int] | None:
        (oldest, upcoming) = _fetch(HORIZON, [])[0]
        return int(oldest), int(upcoming)

    def claim_lane(self, *, step_id: int, now: datetime, limit: int, trial: bool = False) -> list[Cursor]:
        return _cursors(CLAIM_TRIAL if trial else CLAIM, [step_id, now, limit])

    def claim_runs(self, *, run_ids: Sequence[int]) -> list[Cursor]:
        return _cursors(CLAIM_RUNS, [numbers(run_ids)])

    def move_runs(self, cursors: Sequence[Cursor]) -> None:
        _run(MOVE, moves(cursors))

    def insert_runs(self, rows: Sequence[NewRun]) -> list[InsertedRun]:
        if not rows:
            return []
        return _inserted(rows, NEW_RUN, "id, pipeline_id, subject_id, dedup")

    def insert_children(self, rows: Sequence[NewRun]) -> dict[tuple[int | None, int], int]:
        made = _inserted(rows, NEW_CHILD, "id, parent_id, slot")
        return {(parent_id, slot): pk for pk, parent_id, slot in made}

    def enter(self, newcomers: Newcomers) -> Entered | None:
        return enter(newcomers)

    def count_down(self, run_ids: Sequence[int], *, now: datetime) -> None:
        counts = _fetch(ENDED, [numbers(run_ids)])
        if not counts:
            return
        # Children of an earlier visit of their parent change nothing.
        waiting = set(_fetch(LOCK, [numbers(parent_id for parent_id, *_ in counts)]))
        counted = [(pk, ended, bad) for pk, seq, ended, bad in counts if (pk, seq) in waiting]
        if counted:
            parents, ended, bad = zip(*counted, strict=True)
            _run(COUNT_DOWN, [now, numbers(parents), numbers(ended), literal(bad)])

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
        _run(CLOSE, [*moves(cursors), *entries(visits, at, batch), *tallies(cells)])

    def insert_visits(self, visits: Sequence[Visit], *, at: datetime, batch: uuid.UUID) -> None:
        _run(LOG, entries(visits, at, batch))

    def insert_effects(self, effects: Sequence[Effect]) -> None:
        names = ("run_id", "seq", "n", "kind", "at_most_once", "available_at")
        columns = [literal([getattr(effect, name) for effect in effects]) for name in names]
        payloads = literal([json.dumps(effect.payload) for effect in effects])
        _run(EFFECT, [*columns, payloads, literal([effect.created_at for effect in effects])])

    def create_rows(self, model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> list[int]:
        if not rows:
            return []
        shared, varying = _columns(model, rows)
        fields = [field for field, _ in (*shared, *varying)]
        given = [f"%s::{field.db_type(connection)}" for field in fields]
        names = [f'"{field.column}"' for field in fields]
        varied = ", ".join(names[len(shared) :])
        arrays = ", ".join(f"{one}[]" for one in given[len(shared) :])
        made = _fetch(
            f'INSERT INTO "{model._meta.db_table}" ({", ".join(names)}) '  # noqa: S608
            f"SELECT {', '.join((*given[: len(shared)], *names[len(shared) :]))} FROM unnest({arrays}) "
            f"WITH ORDINALITY AS u({varied}, place) ORDER BY place RETURNING id",
            [value for _, value in (*shared, *varying)],
        )
        return [pk for (pk,) in made]

    def insert_memories(self, rows: Sequence[tuple[int, Any, Any]]) -> None:
        texts = Texts()
        runs, payloads, variables = zip(*rows, strict=True)
        _run(
            "INSERT INTO pipelines_runcontext (run_id, trigger, vars, outputs, locals) "
            "SELECT u.run, u.trigger, u.vars, '{}', '{}' "
            "FROM unnest(%s::bigint[], %s::jsonb[], %s::jsonb[]) AS u(run, trigger, vars)",
            [numbers(runs), literal(map(json.dumps, payloads)), literal(map(texts.of, variables))],
        )

    def update_rows(
        self,
        model: type[models.Model],
        fields: tuple[str, ...],
        rows: Sequence[tuple[int, tuple[Any, ...]]],
        *,
        returning: tuple[str, ...] = (),
    ) -> list[tuple[Any, ...]]:
        first = rows[0][1]
        found: list[Any] = [model._meta.get_field(name) for name in fields]
        columns = [str(field.column) for field in found]
        run, told = (_fetch, f" RETURNING {', '.join(f't.{name}' for name in returning)}") if returning else (_run, "")
        if all(values == first for _, values in rows):
            assigned = ", ".join(f'"{column}" = %s' for column in columns)
            same = [field.get_db_prep_save(value, connection) for field, value in zip(found, first, strict=True)]
            return run(
                f'UPDATE "{model._meta.db_table}" t SET {assigned} WHERE id = ANY(%s::bigint[]){told}',  # noqa: S608
                [*same, numbers(pk for pk, _ in rows)],
            )
        types = [str(field.db_type(connection)) for field in found]
        assigned = ", ".join(f'"{column}" = u."{column}"' for column in columns)
        arrays = ", ".join(["%s::bigint[]", *(f"%s::{kind}[]" for kind in types)])
        names = ", ".join(f'"{column}"' for column in columns)
        prepared = [_column_of(field, [values[index] for _, values in rows]) for index, field in enumerate(found)]
        return run(
            f'UPDATE "{model._meta.db_table}" t SET {assigned} FROM unnest({arrays}) AS u(id, {names}) '  # noqa: S608
            f"WHERE t.id = u.id{told}",
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


# Fields with what is written into them.
_Columns = list[tuple[Any, Any]]


def _cursors(statement: str, parameters: list[Any]) -> list[Cursor]:
    with connection.cursor() as cursor:
        # Django reads points in time with Python, which is a tenth of all there is to do for a run.
        cursor.adapters.register_loader("timestamptz", _moment_loader())
        cursor.execute(statement, parameters)
        return [Cursor(*row) for row in cursor.fetchall()]


@cache
def _moment_loader() -> Any:
    """What psycopg itself reads points in time with."""
    return adapters.get_loader(adapters.types["timestamptz"].oid, Format.TEXT)


def _inserted(rows: Sequence[NewRun], names: tuple[str, ...], returned: str) -> list[Any]:
    columns = [literal([getattr(row, name) for row in rows]) for name in _attributes(names)]
    return _fetch(_insert_statement(names, returned), columns)


def _columns(model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> tuple[_Columns, _Columns]:
    """Fields of new rows with what is written: those with one value for all rows, and those with an array.

    At least one is an array, for the number of rows comes from it.
    """
    given = frozenset().union(*rows)
    columns = [
        (field, _values(field, rows if field.attname in given else rows[:1]))
        for field in model._meta.concrete_fields
        if not field.primary_key
    ]
    alike = [all(map(is_, values, repeat(values[0]))) for _, values in columns]
    if all(alike):
        field, values = columns[-1]
        columns[-1], alike[-1] = (field, values * (len(rows) // len(values))), False
    shared = [
        (field, field.get_db_prep_save(values[0], connection))
        for (field, values), same in zip(columns, alike, strict=True)
        if same
    ]
    varying = [
        (field, _column_of(field, values)) for (field, values), same in zip(columns, alike, strict=True) if not same
    ]
    return shared, varying


def _values(field: Any, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """A column of new rows, with what saving each would have filled in."""
    dated = getattr(field, "auto_now_add", False) or getattr(field, "auto_now", False)
    missing = timezone.now() if dated else field.get_default()
    name = field.attname
    return [row.get(name, missing) for row in rows]


def _column_of(field: Any, values: Sequence[Any]) -> Any:
    if isinstance(field, models.JSONField):
        return literal([None if value is None else json.dumps(value, cls=field.encoder) for value in values])
    try:
        return literal(values)
    except TypeError:
        # Rare types take the long way.
        return [field.get_db_prep_save(value, connection) for value in values]


def _run(statement: str, parameters: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
    return []


def _fetch(statement: str, parameters: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
