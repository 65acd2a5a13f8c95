"""Definitions of other products are imported as they are written, and do what their authors meant."""

import copy
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.test import Client

from contacts.models import Contact
from crm.models import Task
from pipelines.definition.conditions import compile_condition
from pipelines.dialects.naming import Names
from tests.pipelines.dialects import sources
from tests.pipelines.dialects.conftest import House
from tests.pipelines.people.asking import member


def test_a_list_of_steps_with_their_config(house: House) -> None:
    kept = house.takes({**sources.STEPS, "steps": sources.STEPS["steps"][:5]})
    assert kept["triggers"] == [{"type": "created", "model": "contacts.contact"}]
    contact = house.contact()
    house.at()
    assert [sent.subject for sent in mail.outbox] == ["welcome"]
    house.at(hours=2)
    assert house.path("welcome") == [
        ("send_email", "next"), ("pause", "next"), ("is_lead", "true"), ("mark", "next"), ("tell", "next"),
    ]  # fmt: skip
    assert Contact.objects.get(pk=contact).lead_source == "welcome"


def test_a_condition_in_a_list_ends_what_follows_when_it_does_not_hold(house: House) -> None:
    house.takes(sources.STEPS)
    house.contact(lifecycle_stage="customer")
    house.at()
    house.at(hours=2)
    assert house.path("welcome")[-1] == ("is_lead", "false")


def test_a_call_in_a_list_keeps_its_method_and_body(house: House) -> None:
    call = house.takes(sources.STEPS)["steps"][-1]
    assert call["type"] == "call_api"
    assert call["with"] == {
        "body": {"email": "{{ contact.email }}"}, "method": "POST", "url": "https://example.org/hook",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("custom", "payload", "enters"),
    [({"email_verified": True}, {}, True), ({}, {"email_verified": True}, True), ({}, {}, False)],
    ids=["the contact is verified", "the event says so", "nobody knows"],
)
def test_actions_with_delays(house: House, custom: dict[str, Any], payload: dict[str, Any], enters: bool) -> None:
    kept = house.takes(sources.ACTIONS)
    assert kept["settings"] == {"max_executions": 10000, "step_timeout": 300}
    contact = house.contact(custom=custom)
    house.hears("user_signup", contact, **payload)
    for minutes in (0, 5, 15):
        house.at(minutes=minutes)
    assert [sent.subject for sent in mail.outbox] == (["Welcome to Appgain!"] if enters else [])
    assert Contact.objects.get(pk=contact).custom.get("onboarding_completed") is (True if enters else None)
    if enters:
        assert mail.outbox[0].body.startswith("Ann")


def test_what_no_record_holds_comes_with_the_event(house: House) -> None:
    house.takes(sources.CART)
    contact = house.contact()
    house.hears("abandoned_cart", contact, cart_value=20, cart={"total": 20})
    house.at()
    assert mail.outbox == []
    house.hears("abandoned_cart", contact, cart_value=80, cart={"total": 80})
    house.at(minutes=1)
    assert "80" in mail.outbox[0].body


def test_delays_of_actions_add_up(house: House) -> None:
    house.takes(sources.ONBOARDING)
    house.hears("user_signup", house.contact())
    house.at()
    house.at(minutes=5)
    house.at(minutes=64)
    assert len(mail.outbox) == 1
    house.at(minutes=65)
    house.at(minutes=65, days=1)
    assert [sent.subject for sent in mail.outbox] == ["welcome_email", "getting_started", "feature_showcase"]


def test_a_flow_of_steps_that_name_their_next(house: House) -> None:
    kept = house.takes(sources.FLOW)
    assert kept["meta"]["version"] == 1 and kept["meta"]["createdBy"] == "sales_manager"
    by_key = {step["key"]: step for step in kept["steps"]}
    assert by_key["check_engagement"]["if"] == "lead.last_interaction > (now - days(3))"
    assert by_key["welcome_email"]["retry"] == {"delay": 60, "max": 3}
    assert by_key["welcome_email"]["on"] == {"error": "next"}
    house.hears("lead_qualified", house.contact())
    house.at()
    house.at(days=3)
    assert house.path("lead_nurture_sequence")[-2:] == [("check_engagement", "false"), ("create_task", "next")]
    assert Task.objects.get().title == "Follow up with unengaged lead"


def test_answers_of_a_flow_become_its_variables(house: House) -> None:
    house.takes(sources.FLOW)
    contact = house.contact()
    house.hears("lead_qualified", contact)
    house.at()
    assert house.api.patch(f"contacts/{contact}/", {"last_interaction": "2027-03-04T10:00:00Z"}).status_code == 200
    house.at(days=3)
    (task,) = house.api.get("tasks/").json()["results"]
    values = {"callDate": "2027-03-10T09:00", "agenda": "Prices"}
    assert house.api.post(f"tasks/{task['id']}/complete/", {"values": values}).status_code == 200
    (run,) = house.api.get("pipeline-runs/", pipeline="lead_nurture_sequence").json()["results"]
    shown = house.api.get(f"pipeline-runs/{run['id']}/").json()["variables"]
    assert shown["agenda"] == "Prices" and shown["call_date"].startswith("2027-03-10T09:00")


def test_a_step_that_is_missing_is_named_and_a_variable_that_nobody_sets_is_warned_of(house: House) -> None:
    assert house.refuses(sources.OPPORTUNITY) == {"steps[2].on.false": "there is no step 'check_proposal'"}
    told = house.api.post("pipelines/validate/", _with_proposal()).json()
    assert told["valid"], told
    assert "'demo_date' is read but never written" in str(told["problems"])


def test_the_event_of_a_new_record_is_the_trigger_of_new_records(house: House) -> None:
    kept = house.takes(_with_proposal())
    assert kept["subject"] == {"model": "contacts.deal", "as": "opportunity"}
    assert kept["triggers"] == [{"type": "created", "model": "contacts.deal"}]
    assert kept["steps"][0]["with"]["due"] == "2d"
    assert kept["steps"][2]["if"] == 'next_action == "schedule_demo"'


def _with_proposal() -> dict[str, Any]:
    """The flow with the step that its author forgot."""
    given = copy.deepcopy(sources.OPPORTUNITY)
    parameters = {"title": "Send a proposal"}
    given["steps"].append(
        {"id": "check_proposal", "type": "action", "nextSteps": [],
         "configuration": {"action": "create_task", "parameters": parameters}}
    )  # fmt: skip
    return given


def _pause(key: str, seconds: int, *after: str) -> dict[str, Any]:
    return {"id": key, "type": "delay", "configuration": {"duration": seconds}, "nextSteps": list(after)}


FORKS = {
    "several next steps": [
        _pause("first", 0, "left", "right"),
        _pause("left", 3600, "both"),
        _pause("right", 7200, "both"),
        _pause("both", 3600),
    ],
    "a parallel step": [
        {"id": "first", "type": "parallel", "configuration": {"parallelSteps": ["left", "right"]},
         "nextSteps": ["both"]},
        _pause("left", 3600),
        _pause("right", 7200),
        _pause("both", 3600),
    ],
}  # fmt: skip


@pytest.mark.parametrize("steps", list(FORKS.values()), ids=list(FORKS))
def test_several_ways_of_a_flow_run_side_by_side_and_meet_once(house: House, steps: list[dict[str, Any]]) -> None:
    house.takes({"id": "side", "name": "Side", "trigger": {"type": "manual"}, "steps": steps})
    (run,) = house.api.post("pipelines/side/enroll/", {"subjects": [house.contact()]}).json()["runs"]
    ends = []
    for hours in range(4):
        house.at(hours=hours)
        ends.append(house.api.get(f"pipeline-runs/{run}/").json()["status"])
    assert ends == ["waiting", "waiting", "pending", "completed"]
    assert [step for step, _ in house.path("side")].count("both") == 1


def test_nodes_and_edges(house: House, settings: Any) -> None:
    settings.PIPELINES_CODE_STEPS = True
    product = {
        "key": "product", "label": "Product",
        "fields": [{"key": "quantity", "label": "Quantity", "type": "number"},
                   {"key": "minimum", "label": "Minimum", "type": "number"}],
    }  # fmt: skip
    answer = house.api.post("record-types/", product)
    assert answer.status_code == 201, answer.content
    for quantity in (1, 9):
        house.api.post("records/product/", {"values": {"quantity": quantity, "minimum": 5}})
    kept = house.takes(sources.NODES)
    assert kept.get("subject") is None
    assert kept["triggers"] == [{"type": "manual"}] and kept["meta"] == {"owner": "purchasing"}
    assert kept["edges"][0] == {"from": "stock", "to": "check"}
    (run,) = house.api.post("pipelines/inventory_reorder/trigger/", {}).json()["runs"]
    house.at()
    shown = house.api.get(f"pipeline-runs/{run}/").json()
    assert shown["status"] == "completed"
    inside = house.api.get("pipeline-runs/", root=run).json()["results"]
    steps = [v["step"] for row in inside for v in house.api.get(f"pipeline-runs/{row['id']}/").json()["logs"]]
    assert sorted(steps) == ["alert", "check", "report"]


def test_a_circle_of_nodes_behind_a_fork_is_refused_with_its_edge(house: House) -> None:
    source = copy.deepcopy(sources.NODES)
    source["nodes"][3]["config"] = {"action": "notify", "text": "x"}
    source["nodes"][4]["config"] = {"action": "notify", "text": "y"}
    source["nodes"][2]["config"] = {"action": "notify", "text": "z"}
    source["edges"].append({"source": "alert", "target": "stock"})
    assert any("use a loop" in message for message in house.refuses(source).values())


def test_what_cannot_be_told_is_named_with_its_place(house: House) -> None:
    source = {**sources.ONBOARDING, "actions": [{"type": "send_pigeon"}, {"type": "send_email"}]}
    told = house.refuses(source)
    assert told["steps[0].type"].startswith("unknown action 'send_pigeon'")


def test_a_document_of_our_own_stays_as_it_is(house: House) -> None:
    told = house.refuses({"key": "a", "name": "A", "steps": [{"type": "wait", "nextStep": "b"}]})
    assert "unknown property 'nextStep'" in str(told)


def test_actions_inside_a_loop_have_keys_of_their_own(house: House) -> None:
    mark = {"type": "add_to_campaign", "data": {"campaign": "User Onboarding"}}
    turn = {"type": "loop", "data": {"times": 2, "actions": [{"type": "delay", "data": {"seconds": 60}}, mark]}}
    source = {**sources.ONBOARDING, "workflow_id": "again", "actions": [{"type": "delay", "delay": 60}, turn]}
    house.takes(sources.ONBOARDING)
    (first, loop) = house.takes(source)["steps"]
    assert first["type"] == "wait" and first["delay"] == 60
    assert [step["type"] for step in loop["with"]["steps"]] == ["wait", "enroll"]
    assert loop["with"]["steps"][1]["with"] == {"pipeline": "user_onboarding"}
    house.hears("user_signup", house.contact())
    for minutes in range(4):
        house.at(minutes=minutes)
    runs = house.api.get("pipeline-runs/", pipeline="again").json()["results"]
    assert runs and {run["status"] for run in runs} == {"completed"}


def test_files_are_read_in_all_spellings(house: House, tmp_path: Path) -> None:
    file = tmp_path / "welcome.json"
    file.write_text(json.dumps(sources.ACTIONS), "utf-8")
    call_command("pipelines", "import", str(file), "--team", "acme", stdout=(said := StringIO()))
    assert "welcome_campaign_001 is draft" in said.getvalue()
    call_command("pipelines", "translate", str(file), stdout=(told := StringIO()))
    assert json.loads(told.getvalue())["steps"][2]["with"]["values"]["welcome_campaign_sent"] is True


def test_the_page_takes_them_too(house: House) -> None:
    boss = member(house.api.team, "boss", role="admin")
    client = Client()
    client.force_login(boss)
    body = {"text": json.dumps(sources.ONBOARDING)}
    assert client.post("/admin/pipelines/pipeline/import/", body).status_code == 302
    assert house.api.get("pipelines/user_onboarding/").json()["status"] == "draft"


@pytest.mark.parametrize(
    "source",
    [
        {"steps": [{"id": 1, "nextSteps": 5}], "trigger": 3},
        {"nodes": [1, {"type": "trigger"}], "edges": "x"},
        {"actions": [{"data": []}], "trigger": {"type": None, "conditions": {"field": 3}}},
        {"nodes": [], "edges": []},
        {"actions": []},
        {"steps": [{"config": [1]}], "trigger": []},
        {"actions": [{"id": "a", "type": "email"}] * 50_000},
        {"actions": [{"type": "loop", "data": {"actions": [{"type": "email"}] * 50_000}}]},
    ],
    ids=[
        "numbers for lists",
        "no nodes",
        "no data",
        "nothing",
        "no actions",
        "a list for a config",
        "far too many",
        "far too many inside",
    ],
)
def test_what_is_malformed_is_refused_with_sentences(house: House, source: dict[str, Any]) -> None:
    assert house.refuses(source)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("lead.score >= 10 && !lead.unsubscribed", "lead.score >= 10 and not lead.unsubscribed"),
        ("a !== null || b === 'x && y'", "trigger.a != null or trigger.b == 'x && y'"),
        ("lead.emailHistory.length > 0", "len(lead.email_history) > 0"),
        ("lead.jobTitle.toLowerCase().startsWith('chief')", "lead.job_title.lower().startswith('chief')"),
        ("lead.createdAt < Date.now() - 1000 * 90", "lead.created_at < now - duration(90)"),
        ("lead.createdAt < new Date('2027-01-01')", "lead.created_at < date('2027-01-01')"),
    ],
)
def test_conditions_in_javascript_are_told_in_our_language(script: str, told: str) -> None:
    names = Names(alias="lead", variables=[], event=True)
    assert names.condition(script) == told
    compile_condition(told)
