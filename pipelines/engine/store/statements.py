"""The hot statements of PostgreSQL, each over all runs of a batch."""

from pipelines.actions.base import TERMINATE
from pipelines.engine.cursor import COLUMNS
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
# Tests open and close no circuit, so they take no place of a trial.
CLAIM_TRIAL = CLAIM.replace("ORDER BY", "AND NOT test ORDER BY")

CLAIM_RUNS = f"""
SELECT {", ".join(COLUMNS)} FROM {RUN} WHERE id = ANY(%s::bigint[]) ORDER BY id DESC FOR UPDATE
"""  # noqa: S608

# What most rows have in common is sent once, as a group, and each row names its group.
MOVE = f"""
UPDATE {RUN} r SET version_id = g.version_id, dedup = CASE WHEN g.kept THEN r.dedup END, status = g.status,
       step_id = g.step_id, last_step_id = g.last_step_id, next_step_at = g.next_step_at, phase = g.phase,
       attempt = g.attempt, seq = g.seq, outcome = g.outcome, reason = g.reason, finished_at = g.finished_at,
       open_children = coalesce(g.open_children, r.open_children), wake_at = coalesce(g.wake_at, r.wake_at)
  FROM unnest(%s::bigint[], %s::int[]) AS m(id, no)
  JOIN unnest(%s::int[], %s::bool[], %s::smallint[], %s::int[], %s::int[], %s::timestamptz[],
              %s::smallint[], %s::smallint[], %s::int[], %s::text[], %s::text[], %s::timestamptz[],
              %s::smallint[], %s::smallint[]) WITH ORDINALITY
    AS g(version_id, kept, status, step_id, last_step_id, next_step_at,
         phase, attempt, seq, outcome, reason, finished_at, open_children, wake_at, no) ON g.no = m.no
 WHERE r.id = m.id
"""  # noqa: S608

# Outputs that are one visit's own stand beside it and not in a group; the others are read as JSON once for their group.
LOG = """
INSERT INTO pipelines_stepexecution (at, run_id, root_id, step_id, seq, attempt, event, outcome,
       started_at, finished_at, batch, why, output, error)
SELECT %s, m.run_id, m.root_id, g.step_id, g.seq, g.attempt, g.event, g.outcome, g.started_at, g.finished_at,
       %s, g.why, coalesce(m.output::jsonb, g.output), g.error
  FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::int[]) WITH ORDINALITY
    AS m(run_id, root_id, output, no, place)
  JOIN unnest(%s::int[], %s::int[], %s::smallint[], %s::smallint[], %s::text[],
              %s::timestamptz[], %s::timestamptz[], %s::jsonb[], %s::jsonb[], %s::text[]) WITH ORDINALITY
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

# Ended children are counted at their parents. The ordered lock keeps two workers from waiting for each other, and finds
# out who is to be counted down; the update then names its rows by key and by nothing else. A condition on counters
# would make the planner, which remembers the table as it was before the fork, expect one row and join by comparing all.
ENDED = f"""
SELECT parent_id, parent_seq, count(*)::int, bool_or(status = {RunStatus.FAILED.value} OR outcome = '{TERMINATE}')
  FROM {RUN} WHERE id = ANY(%s::bigint[]) AND parent_id IS NOT NULL GROUP BY 1, 2
"""  # noqa: S608
LOCK = f"""
SELECT id, seq FROM {RUN} WHERE id = ANY(%s::bigint[]) AND finished_at IS NULL AND open_children > 0
 ORDER BY id DESC FOR UPDATE
"""  # noqa: S608
COUNT_DOWN = f"""
UPDATE {RUN} p SET open_children = greatest(p.open_children - e.n, 0),
       phase = CASE WHEN {{woken}} AND p.phase <> {RunPhase.REPEAT.value} THEN {RunPhase.RESUME.value}
                    ELSE p.phase END,
       held_until = CASE WHEN {{woken}} AND p.status = {RunStatus.WAITING.value}
                         THEN p.next_step_at ELSE p.held_until END,
       next_step_at = CASE WHEN {{woken}} AND p.status = {RunStatus.WAITING.value} THEN %s ELSE p.next_step_at END,
       status = CASE WHEN {{woken}} AND p.status = {RunStatus.WAITING.value}
                     THEN {RunStatus.PENDING.value} ELSE p.status END
  FROM unnest(%s::bigint[], %s::int[], %s::bool[]) AS e(id, n, bad) WHERE p.id = e.id
""".replace("{woken}", "(e.bad OR p.open_children - e.n <= p.wake_at)")  # noqa: S608

_TYPES = {
    "pipeline": "int", "version": "int", "subject_type": "int", "subject_id": "bigint", "trigger": "int",
    "dedup": "uuid", "status": "smallint", "step": "int", "next_step_at": "timestamptz", "phase": "smallint",
    "attempt": "smallint", "seq": "int", "open_children": "smallint", "wake_at": "smallint",
    "parent_seq": "int", "slot": "int", "depth": "smallint", "test": "bool", "created_at": "timestamptz",
    "parent": "bigint", "root": "bigint", "outcome": "text", "reason": "text", "finished_at": "timestamptz",
}  # fmt: skip
