"""Moving runs: three steps (update a field, decide, create a task), beside the same rows written by hand."""

import multiprocessing
import time
from collections.abc import Callable, Sequence

from django.db import connection, connections, transaction

from bench import floors
from bench.scene import NOW, new_pipeline
from bench.table import Row, show
from contacts.models import Contact
from crm.models import Task
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.states import RunStatus

Way = tuple[str, Callable[[Pipeline], None]]


def measure_moving(*, runs: int, rounds: int) -> str:
    """Rounds alternate between the ways, so that a slow minute of the machine hurts all alike."""
    ways: Sequence[Way] = (
        ("floor: the same rows by psycopg, arrays of 1,000", by_hand),
        ("the engine", by_engine),
        ("the engine, two workers", by_two_engines),
        ("row by row with the ORM", row_by_row),
    )
    rates: dict[str, list[float]] = {name: [] for name, _ in ways}
    for _ in range(rounds):
        for name, work in ways:
            rates[name].append(rate_of(work, runs if work is not row_by_row else max(200, runs // 10)))
    rows = [Row(name, found) for name, found in rates.items()]
    table = show(f"## Moving runs through three steps, {runs:,} a round", rows, unit="runs/s")
    return f"{table}\nTwo workers move {rows[2].rate / rows[1].rate:.2f} times what one moves.\n"


def rate_of(work: Callable[[Pipeline], None], size: int) -> float:
    """Runs per second from everybody being due to everybody being through, checked."""
    pipeline = new_pipeline(contacts=size)
    started = time.perf_counter()
    work(pipeline)
    elapsed = time.perf_counter() - started
    done = PipelineRun.objects.filter(pipeline=pipeline, status=RunStatus.COMPLETED.value)
    assert done.count() == size, f"{done.count()} of {size} runs finished"
    assert Task.objects.for_team(pipeline.team).count() == size
    return size / elapsed


def by_engine(_: Pipeline) -> None:
    with pretend(NOW):
        while process_due_runs(budget_seconds=600).more:
            pass


def by_two_engines(pipeline: Pipeline) -> None:
    connections.close_all()
    workers = [multiprocessing.get_context("fork").Process(target=by_engine, args=(pipeline,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def by_hand(pipeline: Pipeline) -> None:
    steps = list(pipeline.steps.order_by("number").values_list("pk", flat=True))
    floors.move_all(
        steps=steps, team_id=pipeline.team_id, subject_type_id=pipeline.subject_type_id or 0, now=NOW
    )  # fmt: skip


def row_by_row(pipeline: Pipeline) -> None:
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


def statements_per_thousand(size: int) -> float:
    """SQL statements, transaction control included, that a pass over so many runs takes per thousand."""
    new_pipeline(contacts=size)
    count = 0

    def counting(execute: Callable[..., object], *arguments: object) -> object:
        nonlocal count
        count += 1
        return execute(*arguments)

    with connection.execute_wrapper(counting):
        by_engine(None)  # type: ignore[arg-type]
    return count * 1_000 / size
