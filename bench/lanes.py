"""What an idle minute costs with very many waiting runs: finding the lanes, and a whole pass with nothing due."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db import connection

from bench.scene import LINE, NOW, add_pipeline, new_team
from pipelines.engine.clock import pretend
from pipelines.engine.store import store
from pipelines.engine.store.postgres import LANES
from pipelines.engine.tick import process_due_runs

SIZES = (100_000, 1_000_000, 2_000_000)
STEPS = 40
CALLS = 50
OWN_SCANS = ("WorkTable Scan", "CTE Scan")
# The lane of a run is its number modulo the lanes, and so is its second: two seconds later three lanes are due.
IDLE, FEW, ALL = NOW - timedelta(days=1), NOW + timedelta(seconds=2), NOW + timedelta(days=2)
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


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured among so many waiting runs; times in milliseconds."""

    size: int
    none_due: float
    few_due: float
    all_due: float
    idle_pass: float
    statements: int
    # Kinds of plan nodes, the outermost first, and how many pages of eight kilobytes were read.
    nodes: tuple[str, ...]
    pages: int

    @property
    def row(self) -> str:
        times = f"{self.none_due:.2f} ms | {self.few_due:.2f} ms | {self.all_due:.2f} ms | {self.idle_pass:.1f} ms"
        return f"| {self.size:,} | {times} | {self.statements} | {self.pages} | {self.scans} |"

    @property
    def scans(self) -> str:
        """How the table is read; what the statement itself has put together is not counted."""
        return ", ".join({node: None for node in self.nodes if node.endswith("Scan") and node not in OWN_SCANS})


def measure_lanes() -> str:
    team = new_team()
    pipelines = [add_pipeline(team, key=f"p{number}", steps=LINE) for number in range(STEPS // len(LINE) + 1)]
    ids, found, filled = [pipeline.pk for pipeline in pipelines], [], 0
    for size in SIZES:
        with connection.cursor() as cursor:
            cursor.execute(FILL, [NOW, NOW, filled, size - 1, ids, STEPS])
        filled = size
        # Fresh rows in bulk are vacuumed by the database itself within a minute.
        _vacuum()
        found.append(_measure(size))
    return _table(found)


def _table(found: list[Found]) -> str:
    few, many = found[0], found[-1]
    columns = ("waiting runs", "lanes, nothing due", "three due", f"all {STEPS} due", "idle pass", "its statements",
               "pages read", "scans")  # fmt: skip
    lanes, whole = many.none_due / few.none_due, many.idle_pass / few.idle_pass
    return "\n".join(
        [
            f"## Finding work among waiting runs at {STEPS} steps",
            "",
            f"| {' | '.join(columns)} |",
            "|---:|---:|---:|---:|---:|---:|---:|---|",
            *(each.row for each in found),
            "",
            f"From {few.size:,} to {many.size:,}: finding lanes {lanes:.2f} times, an idle pass {whole:.2f} times.",
            f"The plan among {many.size:,}: {' → '.join(many.nodes)}.",
            "",
        ]
    )


def _measure(size: int) -> Found:
    lanes = store().due_lanes
    assert [len(lanes(now=when)) for when in (IDLE, FEW, ALL)] == [0, 3, STEPS]
    with pretend(IDLE):
        # The first pass of a new installation makes its partitions.
        process_due_runs()
        idle, statements = _milliseconds(process_due_runs), _statements(process_due_runs)
    nodes, pages = _plan(IDLE)
    return Found(
        size=size,
        none_due=_milliseconds(lambda: lanes(now=IDLE)),
        few_due=_milliseconds(lambda: lanes(now=FEW)),
        all_due=_milliseconds(lambda: lanes(now=ALL)),
        idle_pass=idle,
        statements=statements,
        nodes=nodes,
        pages=pages,
    )


def _vacuum() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE pipelines_pipelinerun")


def _plan(now: datetime) -> tuple[tuple[str, ...], int]:
    """Kinds of nodes from the outside in, and the pages that all of them read together."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {LANES}", [now])
        lines = [str(row[0]) for row in cursor.fetchall()]
    found = (
        re.match(r"\s*(?:->\s+)?([A-Z][A-Za-z ]*?)(?: using .*| on .*)? \((?:actual|never)", line) for line in lines
    )
    nodes = [match[1] for match in found if match]
    # The first line of buffers belongs to the outermost node, which counts those of its children.
    buffers = next(line for line in lines if "Buffers:" in line)
    return tuple(nodes), sum(int(count) for count in re.findall(r"(?:hit|read)=(\d+)", buffers))


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
