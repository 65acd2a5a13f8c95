"""The number of statements does not grow with the number of runs."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.engine.sweep import sweep
from pipelines.engine.tick import process_due_runs
from pipelines.models import PipelineRun
from tests.pipelines.engine.building import NOON, active, later

pytestmark = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite takes at most 999 parameters in a statement"
)

LINE: list[dict[str, Any]] = [
    {"key": "count", "type": "set_variable", "with": {"n": "= n + 1"}},
    {"key": "mark", "type": "update_record", "with": {"values": {"lead_source": "seen"}}},
    {"key": "task", "type": "create_task", "with": {"title": "Call {{ contact.first_name }}"}},
    {"key": "rest", "type": "wait", "delay": "1d"},
    {"key": "last", "type": "update_record", "with": {"values": {"lead_source": "done"}}},
]


def statements(work: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        work()
    return len(queries)


def contacts(team: Team, count: int) -> None:
    bulk_create_contacts(team=team, items=[{"first_name": f"C{n}", "email": f"c{n}@example.org"} for n in range(count)])


@pytest.mark.django_db
def test_moving_a_hundred_runs_takes_as_many_statements_as_moving_ten() -> None:
    costs = []
    # The first round fills caches and does what is done once a day.
    for count in (1, 10, 100):
        team = Team.objects.create(name=f"T{count}", slug=f"t{count}")
        with pretend(NOON):
            active(team, LINE, variables=[{"name": "n", "type": "number", "default": 0}])
            contacts(team, count)
            assert PipelineRun.objects.filter(pipeline__team=team).count() == count
            # Inside of a test's transaction its mark cannot settle; it moves once for each size.
            sweep(now=NOON)
            costs.append(statements(process_due_runs))
        with pretend(later(days=1)):
            costs.append(statements(process_due_runs))
    assert costs[2:4] == costs[4:6]
    assert Contact.objects.filter(lead_source="done").count() == 111


@pytest.mark.django_db
def test_enrolling_a_hundred_contacts_takes_as_many_statements_as_enrolling_ten() -> None:
    costs = []
    for count in (10, 100):
        team = Team.objects.create(name=f"T{count}", slug=f"t{count}")
        active(team, LINE, variables=[{"name": "n", "type": "number", "default": 0}])
        costs.append(statements(lambda team=team, count=count: contacts(team, count)))  # type: ignore[misc]
    assert costs[0] == costs[1]
