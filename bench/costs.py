"""What work costs besides time: bytes of runs and visits, write-ahead log, memory of a worker over a backlog."""

import json
import subprocess
import sys

from django.db import connection, connections

from bench.moving import by_engine, statements_per_thousand
from bench.scene import add_contacts, add_pipeline, analyze, new_pipeline, new_team
from pipelines.models import PipelineRun, StepExecution


def measure_costs(*, runs: int, backlog: int) -> str:
    pipeline = new_pipeline(contacts=runs)
    before, visits = _wal(), StepExecution.objects.count()
    by_engine(pipeline)
    written, visits = _wal() - before, StepExecution.objects.count() - visits
    rows = [
        ("bytes of a run, indexes included", _bytes("pipelines_pipelinerun", PipelineRun.objects.count())),
        ("bytes of a visit in the log, indexes included", _log_bytes(StepExecution.objects.count())),
        (f"bytes of write-ahead log per visit, over {visits:,} visits of three-step runs", written / visits),
    ]
    rows += [
        (f"statements per 1,000 runs in a whole pass over {size:,}", statements_per_thousand(size))
        for size in (100, 1_000, 10_000)
    ]
    rows += [
        (f"MiB of memory, at the most, of a worker over a backlog of {size:,} runs", _memory(size))
        for size in (backlog // 10, backlog)
    ]
    table = [f"| {name} | {figure:,.1f} |" for name, figure in rows]
    return "\n".join(["## What it costs", "", "| cost | figure |", "|---|---:|", *table, ""])


def _wal() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        return int(cursor.fetchone()[0])


def _bytes(table: str, rows: int) -> float:
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM FULL {table}")
        cursor.execute("SELECT pg_total_relation_size(%s)", [table])
        return float(cursor.fetchone()[0]) / rows


def _log_bytes(rows: int) -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
            " WHERE inhparent = 'pipelines_stepexecution'::regclass"
        )
        return float(cursor.fetchone()[0]) / rows


def _memory(size: int) -> float:
    """Peak memory of a fresh process that works off a backlog, in MiB."""
    team = new_team()
    add_pipeline(team)
    for start in range(0, size, 10_000):
        add_contacts(team, min(10_000, size - start))
    analyze()
    connections.close_all()
    # A program of its own: a fork would begin with the memory of this one.
    out = subprocess.run([sys.executable, "-m", "bench.worker"], check=True, capture_output=True, text=True).stdout
    report = json.loads(out)
    assert report["runs"] == size, report
    return float(report["peak_mib"])
