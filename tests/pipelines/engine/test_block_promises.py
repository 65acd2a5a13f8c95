"""What holds for blocks of many: they cost no more statements, and everybody is released once."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections
from pytest_django import Settings

from contacts.operations import bulk_create_contacts
from crm.models import Team
from pipelines.engine.clock import pretend, set_test_clock
from pipelines.engine.tick import process_due_runs
from pipelines.models import PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active
from tests.pipelines.engine.company import open_children_are_right
from tests.pipelines.engine.counting import statements

Step = dict[str, Any]


def enter(team: Team, size: int) -> None:
    people = [
        {"first_name": f"C{n}", "email": f"c{n}@{team.slug}.example", "job_title": "Boss" if n % 2 else "Clerk"}
        for n in range(size)
    ]
    bulk_create_contacts(team=team, items=people)


FORK: Sequence[Step] = [
    {
        "key": "fork",
        "type": "parallel",
        "with": {"branches": [{"name": name, "steps": [{"key": f"w{name}", "type": "wait"}]} for name in "abc"]},
    },
    {"key": "after", "type": "wait"},
]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite takes at most 999 parameters in a statement")
def test_forking_and_joining_a_hundred_takes_as_many_statements_as_ten() -> None:
    costs = []
    # The first round fills caches and does what is done once a day.
    for size in (1, 10, 100):
        team = Team.objects.create(name=f"T{size}", slug=f"t{size}")
        with pretend(NOON):
            pipeline = active(team, FORK)
            enter(team, size)
            costs.append(statements(process_due_runs))
        done = PipelineRun.objects.filter(pipeline=pipeline, status=RunStatus.COMPLETED, open_children=0)
        assert done.count() == size * 4
    assert costs[1] == costs[2]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="there is one writer at a time")
@pytest.mark.parametrize("turn", range(2))
def test_racing_workers_release_every_parent_once(settings: Settings, turn: int) -> None:
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
    settings.PIPELINES_BATCH_SIZE = 37 + turn
    set_test_clock(NOON)
    team = Team.objects.create(name="Race", slug="race")
    pipeline = active(team, FORK)
    enter(team, 200)
    with ThreadPoolExecutor(max_workers=6) as pool:
        list(pool.map(lambda _: work(), range(6)))
    process_due_runs()
    runs = PipelineRun.objects.filter(pipeline=pipeline)
    assert Counter(runs.values_list("status", flat=True)) == {RunStatus.COMPLETED.value: 800}
    assert open_children_are_right()
    visits = Counter(StepExecution.objects.filter(run_id__in=runs.values("pk")).values_list("run_id", "seq"))
    assert set(visits.values()) == {1} and len(visits) == 200 * 2 + 600


def work() -> None:
    try:
        process_due_runs()
    finally:
        connections.close_all()
