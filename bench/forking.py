"""Forking and joining: parents with three branches each, beside the same rows written by hand."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from psycopg import Connection

from bench.floors import BATCH, CLAIM, connect
from bench.scene import NOW, new_pipeline
from bench.table import Row, show
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import RunStatus

BRANCHES = ("a", "b", "c")
FORK: Sequence[dict[str, Any]] = [
    {
        "key": "fork",
        "type": "parallel",
        "with": {"branches": [{"name": name, "steps": [{"key": f"do_{name}", "type": "wait"}]} for name in BRANCHES]},
    }
]

SPAWN = """
INSERT INTO pipelines_pipelinerun (pipeline_id, version_id, subject_type_id, subject_id, status, step_id, next_step_at,
       phase, attempt, seq, open_children, wake_at, parent_id, root_id, parent_seq, slot, created_at)
SELECT p.pipeline_id, p.version_id, p.subject_type_id, p.subject_id, 0, s.id, %s, 0, 0, 1, 0, 0, p.id, p.id, 1,
       s.slot - 1, %s
  FROM pipelines_pipelinerun p CROSS JOIN unnest(%s::int[]) WITH ORDINALITY s(id, slot) WHERE p.id = ANY(%s)
"""
PARK = """
UPDATE pipelines_pipelinerun SET status = 2, next_step_at = NULL, phase = 3, open_children = %s WHERE id = ANY(%s)
"""
LOG = """
INSERT INTO pipelines_stepexecution (at, run_id, step_id, seq, attempt, event, outcome, started_at, finished_at, batch)
SELECT %s, r.id, %s, 1, 0, 0, 'next', %s, %s, gen_random_uuid() FROM unnest(%s::bigint[]) r(id)
"""
END = """
UPDATE pipelines_pipelinerun SET status = 4, next_step_at = NULL, dedup = NULL, phase = 0, outcome = 'next',
       reason = 'end', last_step_id = step_id, finished_at = %s WHERE id = ANY(%s)
"""
ENDED = """
SELECT parent_id, count(*)::int FROM pipelines_pipelinerun WHERE id = ANY(%s) GROUP BY 1 ORDER BY 1 DESC
"""
LOCK = "SELECT id FROM pipelines_pipelinerun WHERE id = ANY(%s) ORDER BY id DESC FOR UPDATE"
COUNT = """
UPDATE pipelines_pipelinerun p SET open_children = p.open_children - e.n,
       status = CASE WHEN p.open_children - e.n <= 0 THEN 0 ELSE p.status END,
       next_step_at = CASE WHEN p.open_children - e.n <= 0 THEN %s ELSE p.next_step_at END
  FROM unnest(%s::bigint[], %s::int[]) e(id, n) WHERE p.id = e.id
"""


def measure_forking(*, parents: int, rounds: int) -> str:
    """Rounds alternate, so that a slow minute of the machine hurts both alike."""
    ways: Sequence[tuple[str, Callable[[Pipeline], None]]] = (
        ("floor: the same rows by psycopg, batches of 1,000", by_hand),
        ("the engine", by_engine),
    )
    rates: dict[str, list[float]] = {name: [] for name, _ in ways}
    for _ in range(rounds):
        for name, work in ways:
            rates[name].append(rate_of(work, parents))
    rows = [Row(name, found) for name, found in rates.items()]
    title = f"## Forking and joining {parents:,} parents × {len(BRANCHES)} branches"
    return f"{show(title, rows, unit='parents/s')}\n"


def rate_of(work: Callable[[Pipeline], None], size: int) -> float:
    """Parents per second from everybody being due to everybody being through, checked."""
    pipeline = new_pipeline(contacts=size, steps=FORK)
    started = time.perf_counter()
    work(pipeline)
    elapsed = time.perf_counter() - started
    done = PipelineRun.objects.filter(pipeline=pipeline, status=RunStatus.COMPLETED.value, open_children=0)
    assert done.filter(parent=None).count() == size
    assert done.exclude(parent=None).count() == size * len(BRANCHES)
    return size / elapsed


def by_engine(_: Pipeline) -> None:
    with pretend(NOW):
        while process_due_runs(budget_seconds=600).more:
            pass


def by_hand(pipeline: Pipeline) -> None:
    ids = dict(pipeline.steps.values_list("key", "pk"))
    branches = [ids[f"do_{name}"] for name in BRANCHES]
    with connect() as connection:
        _each(connection, ids["fork"], lambda runs: _fork(connection, branches, runs))
        for step in branches:
            _each(connection, step, lambda runs, step=step: _finish(connection, step, runs, joins=True))  # type: ignore[misc]
        _each(connection, ids["fork"], lambda runs: _finish(connection, ids["fork"], runs, joins=False))


def _each(connection: Connection[tuple[Any, ...]], step: int, work: Callable[[list[int]], None]) -> None:
    while True:
        with connection.transaction():
            runs = [row[0] for row in connection.execute(CLAIM, [step, NOW, BATCH]).fetchall()]
            if not runs:
                return
            work(runs)


def _fork(connection: Connection[tuple[Any, ...]], branches: list[int], runs: list[int]) -> None:
    connection.execute(SPAWN, [NOW, NOW, branches, runs])
    connection.execute(PARK, [len(branches), runs])


def _finish(connection: Connection[tuple[Any, ...]], step: int, runs: list[int], *, joins: bool) -> None:
    connection.execute(END, [NOW, runs])
    connection.execute(LOG, [NOW, step, NOW, NOW, runs])
    if joins:
        counts = connection.execute(ENDED, [runs]).fetchall()
        parents = [row[0] for row in counts]
        connection.execute(LOCK, [parents])
        connection.execute(COUNT, [NOW, parents, [row[1] for row in counts]])
