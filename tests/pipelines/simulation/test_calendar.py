"""Everything one contact will receive, over all pipelines, with the rule that holds or skips each item."""

from datetime import datetime
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contacts.erasing import erase_contact
from contacts.models import Company, Contact
from crm.consent import Act, subscribe
from crm.models import Integration, Message, OptIn, Suppression, Team, Topic
from pipelines.engine.controls import pause_runs
from pipelines.engine.events import Fact, publish_all
from pipelines.models import PipelineRun, SendingRules, StepCircuit
from pipelines.operations import pause
from pipelines.simulation.calendar import calendar_of
from tests.pipelines.admin.pages import text_of
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.sinks.smtp import SmtpSink

LETTER = {"type": "send_email", "with": {"subject": "News for {{ contact.first_name }}", "text": "Read this"}}


def newcomer(team: Team, **more: Any) -> Contact:
    """Somebody who enters every pipeline that takes in new contacts."""
    return Contact.objects.create(team=team, **{"first_name": "Ann", "email": "ann@example.org", **more})


def calendar(contact: Contact, *, now: datetime = NOON, **more: Any) -> dict[str, Any]:
    return calendar_of(team=contact.team, contact=contact, now=now, **{"seconds": 120, **more})


def told(contact: Contact, **more: Any) -> list[tuple[Any, ...]]:
    """(moment, step, verdict, rule) of each item."""
    return [(each["at"], each["step"], each["verdict"], each["rule"]) for each in calendar(contact, **more)["items"]]


def test_what_all_pipelines_will_send_is_told_in_order_with_its_text(team: Team, run_at: Run) -> None:
    active(team, [{"key": "hello", "delay": "2d", **LETTER}, {"key": "again", "delay": "3d", **email()}])
    active(team, [{"key": "tip", "delay": "3d", **email(subject="A tip")}], key="tips")
    ann = newcomer(team)
    found = calendar(ann)
    assert [(each["at"], each["pipeline"], each["step"]) for each in found["items"]] == [
        (later(days=2), "welcome", "hello"), (later(days=3), "tips", "tip"), (later(days=5), "welcome", "again"),
    ]  # fmt: skip
    first = found["items"][0]
    assert (first["subject"], first["channel"], first["verdict"]) == ("News for Ann", "email", "sent")
    run = PipelineRun.objects.get(pipeline__key="welcome")
    assert first["run"] == run.pk
    assert found["complete"] and found["warnings"] == []
    assert [each["ends_at"] for each in found["runs"]] == [later(days=5), later(days=3)]


def test_nothing_is_sent_and_nothing_is_written(team: Team, run_at: Run) -> None:
    active(team, [{"key": "hello", **LETTER}, {"key": "again", "delay": "3d", **LETTER}])
    ann = newcomer(team)
    before = PipelineRun.objects.values("status", "step_id", "next_step_at", "seq").get()
    assert len(told(ann)) == 2
    assert PipelineRun.objects.values("status", "step_id", "next_step_at", "seq").get() == before
    assert not Message.objects.exists()


def test_hours_hold_a_message_and_are_named(team: Team, run_at: Run) -> None:
    SendingRules.objects.create(team=team, window={"quiet": "18:00-09:00", "tz": "team"})
    active(team, [{"key": "late", "delay": "8h", **LETTER}])
    (item,) = calendar(newcomer(team))["items"]
    assert (item["due_at"], item["at"]) == (later(hours=8), later(hours=21))
    assert (item["verdict"], item["rule"]) == ("held", "send_hours")
    assert "quiet hours" in item["sentence"]


def test_what_the_circuit_of_a_step_keeps_is_told_with_a_warning(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [{"key": "hello", "name": "Greeting", **LETTER}])
    people = [newcomer(team, email=f"c{number}@example.org") for number in range(60)]
    smtp.behavior = "greylist"
    run_at(NOON)
    assert StepCircuit.objects.exists()
    found = calendar(people[-1], now=later(minutes=1))
    assert [(each["step"], each["verdict"]) for each in found["items"]] == [("hello", "sent")]
    assert found["warnings"] == ["“Greeting” fails for too many at the moment: it is played as if it worked."]


def test_a_cap_counts_what_all_pipelines_send_and_lets_the_more_important_go_first(team: Team, run_at: Run) -> None:
    SendingRules.objects.create(team=team, caps=["1 per day"])
    active(team, [{"key": "small", "delay": "2h", **LETTER}], key="small", settings={"priority": 2})
    active(team, [{"key": "big", "delay": "2h", **LETTER}], key="big", settings={"priority": 8})
    active(team, [{"key": "usual", "delay": "3h", **LETTER}], key="usual")
    ann = newcomer(team)
    assert told(ann) == [
        (later(hours=2), "big", "sent", ""),
        (later(hours=26), "usual", "held", "frequency_cap"),
        (later(hours=50), "small", "held", "frequency_cap"),
    ]
    SendingRules.objects.update(when_capped=SendingRules.Capped.SKIP)
    assert sorted(each[1:] for each in told(ann)) == [
        ("big", "sent", ""), ("small", "skipped", "frequency_cap"), ("usual", "skipped", "frequency_cap"),
    ]  # fmt: skip


def test_what_was_sent_already_counts_under_the_cap(team: Team, run_at: Run) -> None:
    SendingRules.objects.create(team=team, caps=["1 per day"])
    active(team, [{"key": "first", **LETTER}, {"key": "second", "delay": "1h", **LETTER}])
    ann = newcomer(team)
    run_at(NOON)
    assert told(ann) == [(later(days=1), "second", "held", "frequency_cap")]


def test_a_message_that_is_held_already_is_in_it(team: Team, run_at: Run) -> None:
    SendingRules.objects.create(team=team, window={"hours": ["15:00-18:00"], "tz": "team"})
    active(team, [{"key": "first", "await": "queued", **LETTER}])
    ann = newcomer(team)
    run_at(NOON)
    assert Message.objects.get().state == Message.State.QUEUED
    assert told(ann) == [(later(hours=3), "first", "held", "send_hours")]


def test_mails_that_ask_for_a_confirmation_and_messages_in_doubt_are_in_it(
    team: Team, run_at: Run, admin_client: Client
) -> None:
    ann = newcomer(team)
    Topic.objects.create(team=team, key="news", name="News", confirm=True)
    subscribe(team_id=team.pk, address="Ann@example.org", topic="news", act=Act(NOON, "form"))
    Message.objects.create(
        team=team, recipient="ann@example.org", subject="Your order", state="uncertain", created_at=NOON
    )
    contacts, companies = (ContentType.objects.get_for_model(model) for model in (Contact, Company))
    # To others: to somebody else, to a colleague because of her, and to the device of whoever has her number elsewhere.
    for others in (
        {"recipient": "b@example.org"},
        {"recipient": "boss@example.org", "about_type": contacts, "about_id": ann.pk},
        {"recipient": "phone", "channel": "push", "about_type": companies, "about_id": ann.pk},
    ):
        Message.objects.create(team=team, state="uncertain", created_at=NOON, **others)
    assert told(ann) == [(NOON, "", "sent", ""), (NOON, "", "depends", "uncertain")]
    asks, doubt = calendar(ann)["items"]
    assert "News" in asks["sentence"] and asks["subject"] and doubt["subject"] == "Your order"
    page = text_of(admin_client.get(f"/admin/calendar/{ann.pk}/"))
    assert "Your order depends to decide" in page and "Asks whether “News” is wanted" in page
    Suppression.objects.create(team=team, address="ann@example.org")
    assert told(ann)[0] == (NOON, "", "skipped", "suppression")


def test_suppressions_topics_and_consent_are_told_apart(team: Team, run_at: Run) -> None:
    Topic.objects.create(team=team, key="offers", name="Offers", default_on=False)
    Integration.objects.create(team=team, provider="twilio")
    sms = {"key": "text", "type": "send_sms", "with": {"text": "Hello"}}
    active(team, [{"key": "offer", "delay": "1d", "type": "send_email",
                   "with": {"subject": "Offer", "text": "Buy", "topic": "offers"}}, sms])  # fmt: skip
    ann = newcomer(team, phone="+491701234567")
    assert told(ann) == [(later(days=1), "offer", "skipped", "topic"), (later(days=1), "text", "skipped", "consent")]
    OptIn.objects.create(team=team, channel="sms", address="+491701234567", at=NOON)
    assert told(ann)[1] == (later(days=1), "text", "sent", "")
    Suppression.objects.create(team=team, address="ann@example.org", reason="bounced")
    assert told(ann)[0] == (later(days=1), "offer", "skipped", "suppression")
    assert "suppression list (bounced)" in calendar(ann)["items"][0]["sentence"]


def test_what_somebody_refused_before_being_erased_is_refused_in_the_calendar_too(team: Team, run_at: Run) -> None:
    Suppression.objects.create(team=team, address="ann@example.org", reason="unsubscribed")
    erase_contact(contact=newcomer(team))
    active(team, [{"key": "offer", "delay": "1d", **LETTER}])
    assert told(newcomer(team)) == [(later(days=1), "offer", "skipped", "suppression")]


def test_who_has_no_address_or_does_not_meet_a_condition_is_told_why(team: Team, run_at: Run) -> None:
    vip = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}
    active(team, [{"key": "vip", "delay": "1d", "if": vip, **LETTER}, {"key": "all", **LETTER}])
    ann = newcomer(team, email="")
    assert told(ann) == [
        (later(days=1), "vip", "skipped", "condition"), (later(days=1), "all", "skipped", "no_address"),
    ]  # fmt: skip
    assert calendar(ann)["items"][0]["why"][0]["actual"] == "lead"


WAIT = {
    "key": "paid", "type": "wait_for", "timeout": "3d", "with": {"events": [{"event": "order.paid"}]},
    "on": {"order.paid": "end", "timeout": "remind"},
}  # fmt: skip


def test_a_wait_says_for_what_and_what_comes_if_it_does_not_happen(team: Team, run_at: Run) -> None:
    active(team, [{"delay": "1d", **WAIT}, {"key": "remind", **LETTER}])
    ann = newcomer(team)
    wait, letter = calendar(ann)["items"]
    assert (wait["kind"], wait["verdict"], wait["at"], wait["until"]) == (
        "wait",
        "depends",
        later(days=1),
        later(days=4),
    )
    assert "order.paid" in wait["sentence"]
    assert (letter["at"], letter["step"], letter["verdict"]) == (later(days=4), "remind", "sent")
    assert letter["depends_on"] == ["order.paid does not come in time"]
    run_at(later(days=1))
    assert [each["at"] for each in calendar(ann, now=later(days=2))["items"]] == [later(days=2), later(days=4)]
    publish_all([Fact(team.pk, "order.paid", *subject(ann), {})], now=later(days=2))
    assert calendar(ann, now=later(days=2))["items"] == []


def subject(contact: Contact) -> tuple[int, int]:
    run = PipelineRun.objects.filter(subject_id=contact.pk).first()
    assert run is not None and run.subject_type_id is not None
    return run.subject_type_id, contact.pk


def test_a_wait_without_an_end_and_a_question_stay_open(team: Team, run_at: Run) -> None:
    ask = {"key": "ask", "type": "human_task", "with": {"title": "Call Ann?", "outcomes": ["yes"]}}
    active(team, [ask, {"key": "hello", **LETTER}])
    ann = newcomer(team)
    run_at(NOON)
    (item,) = calendar(ann)["items"]
    assert (item["at"], item["until"], item["verdict"]) == (NOON, None, "depends")
    assert "an answer to “Call Ann?”" in item["sentence"]


def test_what_comes_after_a_call_rests_on_its_answer(team: Team, run_at: Run) -> None:
    call = {"key": "score", "type": "call_api", "with": {"url": "https://scores.example/ann"}}
    active(team, [{"delay": "1d", **call}, {"key": "hello", **LETTER}])
    (item,) = calendar(newcomer(team))["items"]
    assert item["depends_on"] == ["the call of “score” goes well"]


def test_a_step_of_one_pipeline_ends_or_starts_another(team: Team, run_at: Run) -> None:
    promote = {
        "key": "promote",
        "delay": "2d",
        "type": "update_record",
        "with": {"values": {"lifecycle_stage": "customer"}},
    }
    customer = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}
    active(team, [promote], key="sales")
    active(
        team, [{"key": "buy", "delay": "3d", **LETTER}], key="nurture", exit=[{"where": customer, "reason": "bought"}]
    )
    changed = {"type": "updated", "model": "contacts.contact", "fields": ["lifecycle_stage"]}
    active(team, [{"key": "thanks", "delay": "1d", **LETTER}], key="thanks", triggers=[changed])
    ann = newcomer(team)
    assert told(ann) == [(later(days=2), "buy", "skipped", "exit"), (later(days=3), "thanks", "sent", "")]
    leaving, begun = calendar(ann)["items"]
    assert "bought" in leaving["sentence"]
    assert begun["run"] is None


def test_what_is_paused_says_so_and_brings_nothing(team: Team, run_at: Run) -> None:
    active(team, [{"key": "hello", "delay": "1d", **LETTER}])
    halted = active(team, [{"key": "news", "delay": "1d", **LETTER}], key="news")
    ann = newcomer(team)
    pause_runs(run_ids=[PipelineRun.objects.get(pipeline__key="welcome").pk])
    pause(pipeline=halted)
    found = calendar(ann)
    assert found["items"] == [] and found["warnings"] == []
    assert {(each["pipeline"], each["status"], each["pipeline_status"]) for each in found["runs"]} == {
        ("welcome", "paused", "active"), ("news", "pending", "paused"),
    }  # fmt: skip


@pytest.mark.parametrize("after", [[], [{"key": "rest", "type": "wait", "delay": "9d"}]], ids=["over", "on its way"])
def test_what_a_branch_sends_that_goes_on_alone_is_told(team: Team, run_at: Run, after: list[dict[str, Any]]) -> None:
    slow = {"name": "slow", "steps": [{"key": "hello", "delay": "2d", **LETTER}]}
    quick = {"name": "quick", "steps": [{"key": "now", "type": "wait"}]}
    given = {"branches": [slow, quick], "join": "any", "cancel_rest": False}
    active(team, [{"key": "fork", "type": "parallel", "with": given}, *after])
    ann = newcomer(team)
    run_at(NOON)
    assert told(ann, now=later(hours=1)) == [(later(days=2), "hello", "sent", "")]


def test_who_is_in_no_pipeline_has_an_empty_calendar(team: Team, run_at: Run) -> None:
    found = calendar(newcomer(team))
    assert (found["runs"], found["items"], found["complete"]) == ([], [], True)


def test_it_ends_where_it_was_asked_to(team: Team, run_at: Run) -> None:
    steps: list[dict[str, Any]] = [{"key": f"mail{n}", "delay": "20d", **LETTER} for n in range(6)]
    active(team, steps)
    ann = newcomer(team)
    assert len(told(ann)) == 4 and not calendar(ann)["complete"]
    assert len(told(ann, days=30)) == 1 and calendar(ann)["warnings"] == []
    assert len(told(ann, days=200)) == 6 and calendar(ann, days=200)["complete"]


def test_what_time_did_not_reach_is_said(team: Team, run_at: Run) -> None:
    active(team, [{"key": f"mail{n}", "delay": "1d", **LETTER} for n in range(3)])
    found = calendar(newcomer(team), seconds=0)
    assert found["until"] == NOON and not found["complete"]
    assert "ran out of time" in found["warnings"][0]


def test_messages_to_others_are_not_in_it(team: Team, run_at: Run) -> None:
    to_boss = {"type": "send_email", "with": {"to": "boss@example.org", "subject": "Ann", "text": "Ann is here"}}
    active(team, [{"key": "boss", "delay": "1d", **to_boss}, {"key": "hello", **LETTER}])
    assert [each[1] for each in told(newcomer(team))] == ["hello"]


def test_the_statements_do_not_grow_with_the_runs(team: Team, run_at: Run) -> None:
    SendingRules.objects.create(team=team, caps=["1 per day"])
    lines: list[list[dict[str, Any]]] = [[{"key": "hello", "delay": "1d", **LETTER}, WAIT, {"key": "remind", **LETTER}]]
    active(team, lines[0], key="p0")
    ann = newcomer(team)

    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            calendar(ann)
        return len(queries)

    statements()
    few = statements()
    for n in range(1, 6):
        active(team, lines[0], key=f"p{n}")
    other = newcomer(team, email="bob@example.org")
    for _ in range(2):
        assert len(calendar(other)["runs"]) == 6
    with CaptureQueriesContext(connection) as queries:
        calendar(other)
    assert len(queries) <= few < 60
