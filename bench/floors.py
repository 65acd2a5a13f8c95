"""Floors: the same durable rows, written by psycopg in batches of arrays, with nothing planned and nothing checked."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection

BATCH = 1_000

CLAIM = """
SELECT id, subject_id FROM pipelines_pipelinerun WHERE step_id = %s AND next_step_at <= %s
 ORDER BY next_step_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
MARK = """
UPDATE contacts_contact SET lead_source = 'seen', updated_at = %s WHERE id = ANY(%s) RETURNING id, first_name
"""
TASK = """
INSERT INTO crm_task (team_id, title, description, priority, status, subject_type_id, subject_id, run_id, run_seq,
                      created_at)
SELECT %s, u.title, '', 'normal', 'open', %s, u.subject_id, u.run_id, 3, %s
  FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) u(title, subject_id, run_id)
"""
LOG = """
INSERT INTO pipelines_stepexecution (at, run_id, step_id, seq, attempt, event, outcome, started_at, finished_at, batch)
SELECT %s, r.id, s.id, s.seq, 0, 0, 'next', %s, %s, gen_random_uuid()
  FROM unnest(%s::bigint[]) r(id) CROSS JOIN unnest(%s::int[]) WITH ORDINALITY s(id, seq)
"""
FINISH = """
UPDATE pipelines_pipelinerun SET status = 4, next_step_at = NULL, dedup = NULL, seq = 3, outcome = 'next',
       reason = 'end', last_step_id = %s, finished_at = %s WHERE id = ANY(%s)
"""
ENROLL = """
INSERT INTO pipelines_pipelinerun (pipeline_id, version_id, subject_type_id, subject_id, trigger_id, dedup, status,
       step_id, next_step_at, phase, attempt, seq, open_children, wake_at, parent_seq, slot, created_at)
SELECT p.id, p.version, %s, c.id, p.trigger, gen_random_uuid(), 0, p.step, %s, 0, 0, 1, 0, 0, 0, 0, %s
  FROM unnest(%s::bigint[]) c(id)
 CROSS JOIN unnest(%s::int[], %s::int[], %s::int[], %s::int[]) p(id, version, trigger, step)
    ON CONFLICT DO NOTHING
"""


def connect() -> Connection[tuple[Any, ...]]:
    """A plain connection to the scratch database, as durable as the product's own."""
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


def move_all(*, steps: Sequence[int], team_id: int, subject_type_id: int, now: datetime) -> None:
    """Three steps for every run that is due at the first of them: one transaction for a thousand runs."""
    with connect() as connection:
        while _move_batch(connection, steps, team_id, subject_type_id, now):
            pass


def _move_batch(
    connection: Connection[tuple[Any, ...]], steps: Sequence[int], team_id: int, subject_type_id: int, now: datetime
) -> int:
    with connection.transaction():
        rows = connection.execute(CLAIM, [steps[0], now, BATCH]).fetchall()
        if not rows:
            return 0
        runs, subjects = [row[0] for row in rows], [row[1] for row in rows]
        names = dict(connection.execute(MARK, [now, subjects]).fetchall())
        titles = [f"Call {names[subject]}" for subject in subjects]
        connection.execute(TASK, [team_id, subject_type_id, now, titles, subjects, runs])
        connection.execute(LOG, [now, now, now, runs, list(steps)])
        connection.execute(FINISH, [steps[1], now, runs])
        return len(rows)


def enroll_all(
    *, contacts: Sequence[int], ways: Sequence[tuple[int, int, int, int]], subject_type_id: int, now: datetime
) -> None:
    """Runs for every contact in every pipeline; `ways` are (pipeline, version, trigger, first step)."""
    columns = [list(column) for column in zip(*ways, strict=True)]
    with connect() as connection:
        for start in range(0, len(contacts), BATCH):
            part = list(contacts[start : start + BATCH])
            with connection.transaction():
                connection.execute(ENROLL, [subject_type_id, now, now, part, *columns])
