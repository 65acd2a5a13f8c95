"""Moving runs: three steps (update a field, decide, record a task), beside the same rows written by hand."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from django.db import connection, transaction

from bench.table import Row, show
from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Task, Team
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.operations import import_document
from pipelines.states import RunStatus

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
BATCH = 1_000
STEPS = [
    {"key": "mark", "type": "update_record", "with": {"values": {"lead_source": "seen"}}},
    {"key": "odd", "type": "condition", "if": {"field": "contact.job_title", "operator": "equals", "value": "x"},
     "on": {"true": "end", "false": "call"}},
    {"key": "call", "type": "create_task", "with": {"title": "Call {{ contact.first_name }}"}},
]  # fmt: skip
_names = count()


def measure(*, database: str, runs: int, rounds: int) -> str:
    """Rounds alternate between the ways, so that a slow minute of the machine hurts all alike."""
    ways: Sequence[tuple[str, Callable[[Pipeline], None]]] = (
        ("floor: the same rows by raw SQL in batches", _by_hand),
        ("the engine", _by_engine),
        ("row by row with the ORM", _row_by_row),
    )
    rates: dict[str, list[float]] = {name: [] for name, _ in ways}
    for _ in range(rounds):
        for name, work in ways:
            size = runs if work is not _row_by_row else max(200, runs // 10)
            rates[name].append(_rate(work, size))
    rows = [Row(name, found) for name, found in rates.items()]
    return show(f"Moving runs through three steps on {database}, {runs:,} a round", rows, unit="runs/s")


def _rate(work: Callable[[Pipeline], None], size: int) -> float:
    pipeline = _prepare(size)
    started = time.perf_counter()
    work(pipeline)
    elapsed = time.perf_counter() - started
    done = PipelineRun.objects.filter(pipeline=pipeline, status=RunStatus.COMPLETED.value)
    assert done.count() == size, f"{done.count()} of {size} runs finished"
    assert Task.objects.for_team(pipeline.team).count() == size
    return size / elapsed


def _prepare(size: int) -> Pipeline:
    number = next(_names)
    team = Team.objects.create(name=f"Team {number}", slug=f"team-{number}")
    trigger = {"key": "auto", "type": "created", "model": "contacts.contact", "automatic": True}
    with pretend(NOW):
        pipeline = import_document(
            team=team,
            document={
                "format": "crm.pipeline/1", "key": "bench", "name": "Bench", "subject": "contacts.contact",
                "triggers": [trigger], "steps": STEPS,
            },
            activate=True,
        )  # fmt: skip
        bulk_create_contacts(
            team=team, items=[{"first_name": f"C{n}", "email": f"c{n}@x.example"} for n in range(size)]
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return pipeline


def _by_engine(pipeline: Pipeline) -> None:
    with pretend(NOW):
        while process_due_runs(budget_seconds=600).more:
            pass


def _by_hand(pipeline: Pipeline) -> None:
    """What must be durable when the job is done: contact, task, three log rows and the run, in batches."""
    steps = list(pipeline.steps.order_by("number").values_list("pk", flat=True))
    while True:
        with transaction.atomic():
            rows = _claim(steps[0])
            if not rows:
                return
            _write(pipeline, steps, rows)


def _claim(step_id: int) -> list[tuple[int, int]]:
    lock = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, subject_id FROM pipelines_pipelinerun WHERE step_id = %s AND next_step_at <= %s"
            f" ORDER BY next_step_at LIMIT {BATCH} {lock}",
            [step_id, NOW],
        )
        return list(cursor.fetchall())


def _write(pipeline: Pipeline, steps: Sequence[int], rows: Sequence[tuple[int, int]]) -> None:
    runs, contacts = [row[0] for row in rows], [row[1] for row in rows]
    marks = ",".join(["%s"] * len(runs))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE contacts_contact SET lead_source = 'seen', updated_at = %s WHERE id IN ({marks})", [NOW, *contacts]
        )
        cursor.execute(f"SELECT id, first_name FROM contacts_contact WHERE id IN ({marks})", contacts)
        names = dict(cursor.fetchall())
        _insert_tasks(pipeline, rows, names)
        _insert_logs(steps, runs)
        cursor.execute(
            "UPDATE pipelines_pipelinerun SET status = 4, next_step_at = NULL, dedup = NULL, seq = 3, outcome = 'next',"
            f" reason = 'end', last_step_id = %s, step_id = %s, finished_at = %s WHERE id IN ({marks})",
            [steps[1], steps[2], NOW, *runs],
        )


def _insert_tasks(pipeline: Pipeline, rows: Sequence[tuple[int, int]], names: dict[int, str]) -> None:
    template = Task(team_id=pipeline.team_id, title="", run_seq=3)
    fields: list[Any] = [field for field in Task._meta.concrete_fields if not field.primary_key]
    values: list[Any] = []
    for run_id, contact_id in rows:
        row = {field.attname: getattr(template, field.attname) for field in fields}
        row |= {"title": f"Call {names[contact_id]}", "subject_id": contact_id, "run_id": run_id, "created_at": NOW}
        values.append([row[field.attname] for field in fields])
    _insert(Task._meta.db_table, [field.column for field in fields], values)


def _insert_logs(steps: Sequence[int], runs: Sequence[int]) -> None:
    columns = ["at", "run_id", "step_id", "seq", "attempt", "event", "outcome", "started_at", "finished_at"]
    values = [[NOW, run, step, seq, 0, 0, "next", NOW, NOW] for run in runs for seq, step in enumerate(steps, 1)]
    _insert(StepExecution._meta.db_table, columns, values)


def _insert(table: str, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
    line = "(" + ",".join(["%s"] * len(columns)) + ")"
    size = BATCH if connection.vendor == "postgresql" else 30_000 // len(columns)
    with connection.cursor() as cursor:
        for start in range(0, len(values), size):
            part = values[start : start + size]
            names = ", ".join(columns)
            cursor.execute(
                f"INSERT INTO {table} ({names}) VALUES {', '.join([line] * len(part))}",
                [value for row in part for value in row],
            )


def _row_by_row(pipeline: Pipeline) -> None:
    """What a straightforward implementation does: one run, one transaction, one save at a time."""
    steps = list(pipeline.steps.order_by("number").values_list("pk", flat=True))
    for run in PipelineRun.objects.filter(pipeline=pipeline, next_step_at__lte=NOW).iterator():
        with transaction.atomic():
            contact = Contact.objects.get(pk=run.subject_id or 0)
            contact.lead_source = "seen"
            contact.save()
            Task.objects.create(team_id=pipeline.team_id, title=f"Call {contact.first_name}", run_id=run.pk)
            for seq, step in enumerate(steps, 1):
                StepExecution.objects.create(
                    at=NOW, run_id=run.pk, step_id=step, seq=seq, event=0, started_at=NOW, finished_at=NOW
                )
            run.status, run.next_step_at, run.finished_at = RunStatus.COMPLETED.value, None, NOW
            run.save()
