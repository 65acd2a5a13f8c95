"""Code steps: off unless switched on, written by few, run in the sandbox, their results read by later steps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import Contact, Record, RecordType
from crm.models import Notification, Team
from pipelines.models import Effect, PipelineRun, StepExecution
from pipelines.operations import InvalidDocument
from pipelines.sandbox import running
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, document
from tests.pipelines.engine.conftest import Run


@pytest.fixture(autouse=True)
def switched_on(settings: Settings) -> Iterator[None]:
    settings.PIPELINES_CODE_STEPS = True
    yield
    running.close()


DOUBLE = {
    "key": "double",
    "type": "code",
    "with": {"source": "result = {'n': len(context['contact']['first_name']) * 2}"},
}
KEEP = {"type": "update_record", "with": {"values": {"lead_source": "{{ steps.double.n }}"}}}


def test_a_step_runs_code_and_later_steps_read_what_it_left(team: Team, run_at: Run) -> None:
    active(team, [DOUBLE, KEEP])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    ann.refresh_from_db()
    assert ann.lead_source == "6"
    assert Effect.objects.get().get_kind_display() == "code"


def test_an_error_of_the_code_fails_the_step_and_tells_its_line(team: Team, run_at: Run) -> None:
    active(team, [{"type": "code", "with": {"source": "x = 1\nresult = x / 0"}}])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    assert PipelineRun.objects.get().status == RunStatus.FAILED
    assert StepExecution.objects.get().error == "Line 2: ZeroDivisionError: division by zero"


@pytest.mark.parametrize("bounds", [({"timeout": 0.3}, {}), ({}, {"step_timeout": 0.3})], ids=["step", "pipeline"])
def test_code_that_never_ends_fails_alone(
    team: Team, run_at: Run, bounds: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    source = "while context['contact']['first_name'] == 'Bo': pass"
    active(team, [{"type": "code", "with": {"source": source}, **bounds[0]}], settings=bounds[1])
    for name in ("Ann", "Bo", "Cy"):
        Contact.objects.create(team=team, first_name=name)
    run_at(NOON)
    failed = PipelineRun.objects.filter(status=RunStatus.FAILED)
    assert [str(run.subject) for run in failed] == ["Bo"]
    assert StepExecution.objects.get(outcome="error").error == "The code ran for too long."


@pytest.mark.parametrize("missing", ["switched off", "not installed"])
def test_without_leave_or_the_extra_a_code_step_is_refused_with_a_sentence(
    team: Team, settings: Settings, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "switched off":
        settings.PIPELINES_CODE_STEPS = False
    else:
        monkeypatch.setattr(running, "monty", None)
    with pytest.raises(InvalidDocument) as refused:
        active(team, [DOUBLE])
    (problem,) = refused.value.errors
    assert problem.path == "steps[0].type"
    assert ("PIPELINES_CODE_STEPS" if missing == "switched off" else "requirements-code.txt") in problem.message


def test_code_that_is_switched_off_afterwards_does_not_run(team: Team, run_at: Run, settings: Settings) -> None:
    active(team, [DOUBLE])
    settings.PIPELINES_CODE_STEPS = False
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    assert "switched off" in (StepExecution.objects.get().error or "")


def test_only_owners_and_admins_bring_code_in(team: Team) -> None:
    written = document([DOUBLE, KEEP], key="coded")
    manager, admin = Api(team, role="manager"), Api(team, role="admin")
    assert manager.post("pipelines/", written).status_code == 403
    assert manager.post("pipelines/import/", written).status_code == 403
    made = admin.post("pipelines/", written)
    assert made.status_code == 201, made.content
    path = f"pipelines/{made.json()['id']}/"
    assert manager.patch(path, {"name": "Another name"}).status_code == 200
    changed = json.loads(json.dumps(written["steps"]).replace("* 2", "* 3"))
    assert manager.patch(path, {"steps": changed}).status_code == 403
    assert manager.post(f"{path}duplicate/", {"key": "copy"}).status_code == 403
    assert admin.patch(path, {"steps": changed}).status_code == 200


def test_only_they_replay_what_runs_code(team: Team, run_at: Run) -> None:
    active(team, [DOUBLE, KEEP])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    path, body = f"pipeline-runs/{PipelineRun.objects.get().pk}/replay/", {"step": "double", "confirm": True}
    assert Api(team, role="manager").post(path, body).status_code == 403
    answer = Api(team, role="admin").post(path, body)
    assert answer.status_code == 200, answer.content


def test_nor_do_others_replay_a_run_into_a_version_that_has_code(team: Team, run_at: Run) -> None:
    quiet = {"key": "first", "type": "wait"}
    active(team, [quiet])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    active(team, [quiet, DOUBLE, KEEP])
    path, body = f"pipeline-runs/{PipelineRun.objects.get().pk}/replay/", {"step": "first", "confirm": True}
    assert Api(team, role="manager").post(path, body).status_code == 403


def test_the_inventory_example_orders_what_is_low(team: Team, run_at: Run) -> None:
    fields = [{"key": name, "type": "integer"} for name in ("quantity", "minimum")] + [
        {"key": "active", "type": "boolean"}
    ]
    product = RecordType.objects.create(team=team, key="product", label="Product", fields=fields)
    order = [{"key": "product", "type": "integer", "required": True}, {"key": "quantity", "type": "integer"}]
    RecordType.objects.create(team=team, key="purchase_order", label="Order", fields=order)
    rows = [
        Record.objects.create(team=team, type=product, values={"quantity": have, "minimum": need, "active": on})
        for have, need, on in ((2, 10, True), (50, 10, True), (0, 5, True), (0, 5, False))
    ]
    api = Api(team, role="owner")
    # Its own schedule has passed for today when it arrives.
    run_at(NOON)
    found = Path(__file__).parents[1] / "definition" / "examples" / "inventory_reorder.json"
    made = api.post("pipelines/import/?activate=true", json.loads(found.read_text()))
    assert made.status_code == 201, made.content
    started = api.post(f"pipelines/{made.json()['id']}/trigger/", {})
    assert started.status_code in (200, 201), started.content
    run_at(NOON)
    orders = Record.objects.filter(type__key="purchase_order").order_by("pk")
    assert sorted((row.values["product"], row.values["quantity"]) for row in orders) == [
        (rows[0].pk, 18), (rows[2].pk, 10),
    ]  # fmt: skip
    assert PipelineRun.objects.filter(parent=None).get().status == RunStatus.COMPLETED
    assert not Notification.objects.exists()
