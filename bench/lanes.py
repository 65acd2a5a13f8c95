"""What an idle minute costs with very many waiting runs: finding the lanes, and a whole pass with nothing due."""

import time
from collections.abc import Callable
from statistics import median

from django.db import connection

from bench.scene import LINE, NOW, add_pipeline, analyze, new_team
from pipelines.engine.clock import pretend
from pipelines.engine.store import store
from pipelines.engine.store.statements import LANES
from pipelines.engine.tick import process_due_runs

SIZES = (100_000, 1_000_000, 2_000_000)
STEPS = 40
CALLS = 50
FILL = """
INSERT INTO pipelines_pipelinerun (pipeline_id, version_id, subject_type_id, subject_id, status, step_id, next_step_at,
       phase, attempt, seq, open_children, wake_at, parent_seq, slot, created_at)
SELECT p.id, p.current_version_id, p.subject_type_id, n, 0, s.id, %s::timestamptz + n %% 86400 * interval '1 second',
       0, 0, 1, 0, 0, 0, 0, %s
  FROM generate_series(%s::int, %s::int) n
  JOIN (SELECT id, pipeline_id, row_number() OVER (ORDER BY id) - 1 AS place FROM pipelines_pipelinestep
         WHERE pipeline_id = ANY(%s)) s ON s.place = n %% %s
  JOIN pipelines_pipeline p ON p.id = s.pipeline_id
"""


def measure_lanes() -> str:
    team = new_team()
    pipelines = [add_pipeline(team, key=f"p{number}", steps=LINE) for number in range(STEPS // len(LINE) + 1)]
    ids, rows, filled = [pipeline.pk for pipeline in pipelines], [], 0
    for size in SIZES:
        with connection.cursor() as cursor:
            cursor.execute(FILL, [NOW, NOW, filled, size - 1, ids, STEPS])
        filled = size
        analyze()
        rows.append(_row(size))
    head = ["| waiting runs | lanes, nothing due | lanes, all 40 due | idle pass | its statements | scans |",
            "|---:|---:|---:|---:|---:|---|"]  # fmt: skip
    return "\n".join([f"## Finding work among waiting runs at {STEPS} steps", "", *head, *rows, ""])


def _row(size: int) -> str:
    before, after = NOW.replace(year=2026), NOW.replace(year=2028)
    idle = _milliseconds(lambda: store().due_lanes(now=before))
    due = _milliseconds(lambda: store().due_lanes(now=after))
    with pretend(before):
        process_due_runs()
        whole = _milliseconds(process_due_runs)
        statements = _statements(process_due_runs)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {LANES}", [before])
        plan = " ".join(row[0] for row in cursor.fetchall())
    scans = "sequential!" if "Seq Scan" in plan else "index only" if "Index Only Scan" in plan else "index"
    return f"| {size:,} | {idle:.2f} ms | {due:.2f} ms | {whole:.1f} ms | {statements} | {scans} |"


def _milliseconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(CALLS):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1_000)
    return median(taken)


def _statements(work: Callable[[], object]) -> int:
    count = 0

    def counting(execute: Callable[..., object], *arguments: object) -> object:
        nonlocal count
        count += 1
        return execute(*arguments)

    with connection.execute_wrapper(counting):
        work()
    return count
