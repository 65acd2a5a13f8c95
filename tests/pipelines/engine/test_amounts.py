"""Amounts of records that steps find and make are numbers for the steps after them, as they are of the subject."""

from typing import Any

import pytest

from contacts.models import Contact, Deal
from crm.models import Team
from pipelines.models import PipelineRun, RunContext
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import NOON, active
from tests.pipelines.engine.conftest import Run

FIND = {"key": "it", "type": "find_records", "with": {"model": "contacts.deal", "where": "record.amount > 5"}}
MAKE = {
    "key": "it",
    "type": "create_record",
    "with": {"model": "contacts.deal", "values": {"title": "B", "amount": 10}},
}


@pytest.mark.parametrize(
    ("step", "path"),
    [(FIND, "steps.it.records[0].amount"), (MAKE, "steps.it.amount"), (None, "deal")],
    ids=["found", "made", "of a round"],
)
def test_an_amount_compares_and_adds_up(team: Team, run_at: Run, step: Any, path: str) -> None:
    Deal.objects.create(team=team, title="A", amount="10.50" if step is FIND else "10")
    total = {"key": "total", "type": "set_variable", "with": {"total": f"= total + {path}", "large": f"= {path} > 9"}}
    each = {"type": "loop", "with": {"over": "= steps.it.records", "as": "row", "steps": [total], "export": ["total"]}}
    steps = [step, total] if step else [FIND, {**each, "key": "rounds"}]
    if step is None:
        total["with"] = {"total": "= total + row.amount", "large": "= row.amount > 9"}
        each["with"]["export"] = ["total", "large"]  # type: ignore[index]
    kept = [{"name": "total", "type": "number", "default": 1}, {"name": "large", "type": "boolean", "default": False}]
    active(team, steps, variables=kept)
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    run = PipelineRun.objects.get(parent=None)
    assert run.status == RunStatus.COMPLETED
    assert RunContext.objects.get(run=run).vars == {"total": 11.5 if step is FIND else 11, "large": True}


@pytest.mark.parametrize(
    "where",
    [
        {"field": "deal.amount", "operator": "changed_to", "value": 1000},
        "trigger.changes.amount[0] < 11 and trigger.changes.amount[1] > 500",
    ],
    ids=["changed to", "compared"],
)
def test_an_amount_that_changes_is_told_as_a_number(team: Team, run_at: Run, where: Any) -> None:
    by_change = {"type": "updated", "model": "contacts.deal", "where": where}
    active(team, [{"type": "wait"}], subject="contacts.deal", triggers=[by_change])
    api = Api(team)
    deal = api.post("deals/", {"title": "A", "amount": "10.50"}).json()["id"]
    for amount, entered in (("20", 0), ("10.50", 0), ("1000", 1)):
        assert api.patch(f"deals/{deal}/", {"amount": amount}).status_code == 200
        run_at(NOON)
        assert PipelineRun.objects.count() == entered
