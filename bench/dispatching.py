"""Events: handed out to active pipelines with triggers, of which one listens and the others to something else."""

import time
from collections.abc import Callable, Sequence

from django.db import connection, transaction

from bench.scene import LINE, NOW, add_contacts, analyze, new_team
from bench.table import Row, show
from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.engine.dispatch import dispatch
from pipelines.engine.events import Fact, publish_all
from pipelines.models import Event, Pipeline, PipelineRun, Trigger
from pipelines.operations import import_document
from pipelines.subjects import subject_types

EVENT = "order.paid"
# What a batch cannot do without: a row for each run, what the run was started with, and a mark on each event.
FLOOR = """
WITH e AS (SELECT * FROM pipelines_event WHERE NOT dispatched ORDER BY id LIMIT 1000),
     r AS (
INSERT INTO pipelines_pipelinerun (pipeline_id, version_id, subject_type_id, subject_id, trigger_id, dedup, status,
  step_id, next_step_at, phase, attempt, seq, open_children, wake_at, parent_seq, slot, depth, created_at)
SELECT p.id, p.current_version_id, e.subject_type_id, e.subject_id, t.id, gen_random_uuid(), 0,
  %(step)s, %(now)s, 0, 0, 1, 0, 0, 0, 0, 0, %(now)s
  FROM e
  JOIN pipelines_trigger t ON t.event = e.type AND t.enabled
  JOIN pipelines_pipeline p ON p.id = t.pipeline_id AND p.team_id = e.team_id AND p.status = 1
RETURNING id, subject_id)
INSERT INTO pipelines_runcontext (run_id, trigger, vars, outputs, locals)
SELECT r.id, e.payload, '{}', '{}', '{}' FROM r JOIN e ON e.subject_id = r.subject_id
"""
MARK = """
UPDATE pipelines_event SET dispatched = true
 WHERE id IN (SELECT id FROM pipelines_event WHERE NOT dispatched ORDER BY id LIMIT 1000)
"""


def measure_dispatching(*, events: int, rounds: int) -> str:
    ways: Sequence[tuple[str, int, Callable[[Team], None]]] = (
        ("floor: the same runs, payloads and marks by two statements per 1,000, 1,000 pipelines", 1_000, _by_hand),
        ("the engine, 1,000 active pipelines", 1_000, _by_engine),
        ("the engine, 100 active pipelines", 100, _by_engine),
    )
    rates: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    for _ in range(rounds):
        for name, pipelines, work in ways:
            rates[name].append(_rate(work, events=events, pipelines=pipelines))
    rows = [Row(name, found) for name, found in rates.items()]
    return show(f"## Dispatching {events:,} events, each starting one run", rows, unit="events/s")


def _rate(work: Callable[[Team], None], *, events: int, pipelines: int) -> float:
    Trigger.objects.update(enabled=False)
    team = new_team()
    ids = [pk for start in range(0, events, 10_000) for pk in add_contacts(team, min(10_000, events - start))]
    _add_pipelines(team, pipelines)
    kind = subject_types()["contacts.contact"].content_type_id
    for start in range(0, events, 10_000):
        numbers = range(start, min(events, start + 10_000))
        publish_all([Fact(team.pk, EVENT, kind, ids[n], {"total": n}) for n in numbers], now=NOW)
    analyze()
    started = time.perf_counter()
    work(team)
    elapsed = time.perf_counter() - started
    assert PipelineRun.objects.for_team(team).count() == events
    return events / elapsed


def _add_pipelines(team: Team, size: int) -> None:
    """One that listens to the events, and others that listen to something else."""
    trigger = {"key": "paid", "type": "event", "event": EVENT, "reentry": "always"}
    document = {"format": "crm.pipeline/1", "key": "listens", "name": "Listens", "subject": "contacts.contact",
                "triggers": [trigger], "steps": list(LINE)}  # fmt: skip
    with pretend(NOW):
        first = import_document(team=team, document=document, activate=True)
    others = Pipeline.objects.bulk_create(
        [
            Pipeline(
                team=team, key=f"p{n}", name=f"P{n}", subject_type=first.subject_type, status=first.status,
                current_version=first.current_version,
            )
            for n in range(size - 1)
        ]
    )  # fmt: skip
    Trigger.objects.bulk_create(
        [
            Trigger(pipeline=each, key="other", kind=Trigger.Kind.EVENT, event=f"other.{n}")
            for n, each in enumerate(others)
        ]
    )


def _by_engine(team: Team) -> None:
    with pretend(NOW):
        while dispatch(now=NOW)[0]:
            pass


def _by_hand(team: Team) -> None:
    step = Pipeline.objects.get(team=team, key="listens").steps.order_by("number")[0].pk
    while Event.objects.filter(dispatched=False).exists():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(FLOOR, {"step": step, "now": NOW})
            cursor.execute(MARK)
