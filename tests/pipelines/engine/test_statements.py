"""The number of statements does not grow with the number of runs."""

from typing import Any

import pytest
from django.db import connection

from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Team
from pipelines.engine.advance import advance_lane
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.models import PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.counting import statements

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
            costs.append(statements(process_due_runs))
        with pretend(later(days=1)):
            costs.append(statements(process_due_runs))
    assert costs[2:4] == costs[4:6]
    assert Contact.objects.filter(lead_source="done").count() == 111


@pytest.mark.django_db
@pytest.mark.parametrize("count", [100, 1_000])
def test_a_batch_takes_eight_statements_its_begin_and_commit_included(team: Team, count: int) -> None:
    line = [
        {"key": "mark", "type": "update_record", "with": {"values": {"lead_source": "seen"}}},
        {"key": "odd", "type": "condition", "if": {"field": "contact.job_title", "operator": "equals", "value": "x"},
         "on": {"true": "end", "false": "task"}},
        {"key": "task", "type": "create_task", "with": {"title": "Call {{ contact.first_name }}"}},
    ]  # fmt: skip
    with pretend(NOON):
        step = active(team, line).steps.order_by("number")[0]
        contacts(team, count)
        assert statements(lambda: advance_lane(step_id=step.pk, now=NOON, limit=count)) == 8
    assert PipelineRun.objects.filter(status=RunStatus.COMPLETED).count() == count


@pytest.mark.django_db
def test_a_pass_with_nothing_to_do_takes_less_than_ten_statements(team: Team) -> None:
    active(team, LINE, variables=[{"name": "n", "type": "number", "default": 0}])
    process_due_runs()
    assert statements(process_due_runs) < 10


@pytest.mark.django_db
def test_enrolling_a_hundred_contacts_takes_as_many_statements_as_enrolling_ten() -> None:
    costs = []
    for count in (10, 100):
        team = Team.objects.create(name=f"T{count}", slug=f"t{count}")
        active(team, LINE, variables=[{"name": "n", "type": "number", "default": 0}])
        costs.append(statements(lambda team=team, count=count: contacts(team, count)))  # type: ignore[misc]
    assert costs[0] == costs[1]
