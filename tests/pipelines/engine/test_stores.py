"""The two stores answer alike: the portable one is run on PostgreSQL beside its set-based twin."""

import pytest
from django.core import mail
from django.db import connection

import pipelines.engine.store as stores
from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Message, Team
from pipelines.engine.controls import cancel_runs, pause_runs
from pipelines.models import Effect, PipelineRun, RunContext, StepExecution, StepStat
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run

Story = list[object]


@pytest.fixture(params=["own", "portable"])
def chosen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store of this database, and the portable one on it."""
    if request.param == "portable":
        if connection.vendor != "postgresql":
            pytest.skip("here the portable store is the only one")
        monkeypatch.setattr(stores, "_postgres", stores.PortableStore())
    return str(request.param)


def test_both_tell_the_same_story(team: Team, run_at: Run, chosen: str) -> None:
    active(
        team,
        [
            {"key": "count", "type": "set_variable", "with": {"n": "= n + 1"}},
            {"key": "hello", **email("{{ n }} {{ contact.first_name }}")},
            {"key": "odd", "type": "condition", "if": "contact.first_name in ['C1', 'C3']",
             "on": {"true": "mark", "false": "end"}},
            {"key": "mark", "type": "update_record", "delay": "1d",
             "with": {"values": {"lead_source": "odd", "color": "= n"}}},
        ],
        variables=[{"name": "n", "type": "number", "default": 1}],
    )  # fmt: skip
    bulk_create_contacts(team=team, items=[{"first_name": f"C{n}", "email": f"c{n}@example.org"} for n in range(5)])
    by_name = {str(run.subject): run.pk for run in PipelineRun.objects.all()}
    pause_runs(run_ids=[by_name["C0"]])
    run_at(NOON)
    cancel_runs(run_ids=[by_name["C3"]])
    run_at(later(days=1))

    assert sorted(message.body.split("\n")[0] for message in mail.outbox) == ["2 C1", "2 C2", "2 C3", "2 C4"]
    runs = PipelineRun.objects.order_by("pk").values_list("status", "seq", "reason", "next_step_at")
    assert list(runs) == [
        (3, 1, None, None), (4, 4, "end", None), (4, 3, "end", None), (6, 4, "cancelled", None), (4, 3, "end", None),
    ]  # fmt: skip
    assert list(Contact.objects.order_by("pk").values_list("lead_source", "custom")) == [
        ("", {}), ("odd", {"color": 2}), ("", {}), ("", {}), ("", {}),
    ]  # fmt: skip
    assert StepExecution.objects.count() == 4 * 3 + 1
    assert sum(StepStat.objects.values_list("n", flat=True)) == 13
    assert set(Effect.objects.values_list("status", flat=True)) == {Effect.Status.DONE}
    assert Message.objects.filter(state="sent").count() == 4
    assert RunContext.objects.filter(run_id=by_name["C1"]).exists()


def test_both_fork_join_and_wait_alike(team: Team, run_at: Run, chosen: str) -> None:
    turn = {"key": "turn", "type": "set_variable", "with": {"n": "= n + 1"}, "delay": "1h"}
    branches = [
        {
            "name": "rounds",
            "steps": [{"key": "rounds", "type": "loop", "with": {"times": 2, "export": ["n"], "steps": [turn]}}],
        },
        {"name": "odd", "steps": [{"key": "rest", "type": "wait"}], "if": "contact.first_name == 'C1'"},
        {"name": "last", "steps": [{"key": "tail", "type": "wait", "delay": "1h"}], "after": ["odd"]},
    ]
    active(
        team,
        [
            {"key": "fork", "type": "parallel", "with": {"branches": branches, "export": ["n"]}},
            {"key": "hold", "type": "wait_for", "with": {"condition": "contact.job_title == 'Boss'"}},
            {"key": "mark", "type": "update_record", "with": {"values": {"rounds": "= n"}}},
        ],
        variables=[{"name": "n", "type": "number", "default": 0}],
    )  # fmt: skip
    bulk_create_contacts(team=team, items=[{"first_name": f"C{n}", "email": f"c{n}@example.org"} for n in range(3)])
    for hour in range(4):
        run_at(later(hours=hour))
    boss = Contact.objects.order_by("pk")[1]
    boss.job_title = "Boss"
    boss.save()
    run_at(later(hours=4))

    roots = PipelineRun.objects.filter(parent=None).order_by("pk")
    assert list(roots.values_list("status", "seq", "open_children")) == [(2, 2, 0), (4, 3, 0), (2, 2, 0)]
    assert list(Contact.objects.order_by("pk").values_list("custom", flat=True)) == [{}, {"rounds": 2}, {}]
    children = PipelineRun.objects.exclude(parent=None)
    assert sorted(children.values_list("slot", "reason")) == sorted(
        [(0, "end"), (0, "end"), (1, "end")] * 3
        + [(1, "condition")] * 2
        + [(2, "not_reached")] * 2
        + [(1, "end"), (2, "end")]
    )
