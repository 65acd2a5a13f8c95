"""A first step whose time has passed is skipped like any other, in a run, in a branch and in a called pipeline."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.models import PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, later, log
from tests.pipelines.engine.conftest import Run

PAST: dict[str, Any] = {"until": "2027-02-01T12:00:00Z", "if_past": "skip"}
COMING: dict[str, Any] = {"until": "2027-03-02T12:00:00Z", "if_past": "skip"}


def mark(key: str, source: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "update_record", "with": {"values": {"lead_source": source}}, **more}


def test_a_run_skips_a_first_step_whose_time_has_passed(team: Team, run_at: Run) -> None:
    active(team, [mark("invite", "invited", delay=PAST), mark("remind", "reminded", delay=PAST), mark("last", "seen")])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    ann.refresh_from_db()
    assert ann.lead_source == "seen"
    rows = StepExecution.objects.filter(event=StepExecution.Event.SKIPPED)
    assert [row.error for row in rows] == ["Its time had passed."] * 2
    assert [row[1] for row in log(PipelineRun.objects.get())] == ["skipped", "skipped", "completed"]


def test_a_run_whose_only_step_is_too_late_ends_without_it(team: Team, run_at: Run) -> None:
    active(team, [mark("invite", "invited", delay=PAST)])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    ann.refresh_from_db()
    assert (ann.lead_source, PipelineRun.objects.get().status) == ("", RunStatus.COMPLETED)


def test_a_first_step_whose_time_comes_waits_for_it(team: Team, run_at: Run) -> None:
    active(team, [mark("invite", "invited", delay=COMING)])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(later(hours=23))
    assert PipelineRun.objects.get().next_step_at == later(days=1)
    run_at(later(days=1))
    ann.refresh_from_db()
    assert ann.lead_source == "invited"


@pytest.mark.parametrize("kind", ["parallel", "loop", "call"])
def test_so_does_the_first_step_of_a_child(team: Team, run_at: Run, kind: str) -> None:
    steps = [mark("invite", "invited", delay=PAST), mark("inside", "inside")]
    block: dict[str, Any] = {"key": "block", "type": kind}
    if kind == "call":
        active(team, steps, key="inner", triggers=[{"type": "manual"}])
        block["with"] = {"pipeline": "inner"}
    else:
        block["with"] = {"branches": [{"name": "a", "steps": steps}]} if kind == "parallel" else {}
        block["with"] |= {"times": 1, "steps": steps} if kind == "loop" else {}
    active(team, [block])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    ann.refresh_from_db()
    assert ann.lead_source == "inside"
    assert set(PipelineRun.objects.values_list("status", "open_children")) == {(RunStatus.COMPLETED.value, 0)}
    assert StepExecution.objects.filter(event=StepExecution.Event.SKIPPED).count() == 1
