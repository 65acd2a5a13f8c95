"""One person goes through a pipeline in a second: the timetable, the messages and every why."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection, transaction

from contacts.models import Company, Contact
from crm.models import Message, Suppression, Team
from pipelines.models import Effect, EnrollmentDecision, Pipeline, PipelineRun, PipelineVersion, StepExecution
from pipelines.operations import InvalidDocument
from pipelines.simulation.reading import read_only
from pipelines.simulation.scenario import ScenarioError, scenario_of
from pipelines.simulation.simulate import simulate
from tests.pipelines.engine.building import NOON, active, document, email, later
from tests.pipelines.simulation.conftest import Play

CALL = {"type": "call_api", "with": {"url": "https://receiver.example/"}}


def visits(report: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(each["key"], each["event"], each["outcome"]) for each in report["steps"]]


def test_a_real_contact_gets_a_timetable_with_rendered_messages(team: Team, play: Play) -> None:
    ann = Contact.objects.create(
        team=team, first_name="Ann", email="ann@example.org", company=Company.objects.create(team=team, name="Bolt")
    )
    report = play(
        [
            {"key": "hello", **email("Hello {{ contact.first_name }} of {{ contact.company.name }}")},
            {"key": "again", "delay": "3d", **email(subject="Again")},
        ],
        subject=ann.pk,
    )
    assert (report["success"], report["status"], report["reason"]) == (True, "completed", "end")
    assert visits(report) == [("hello", "completed", "next"), ("again", "completed", "next")]
    assert [each["entered_at"] for each in report["steps"]] == [NOON, later(days=3)]
    assert (report["started_at"], report["finished_at"]) == (NOON, later(days=3))
    assert report["virtual_duration"] == timedelta(days=3).total_seconds()
    first, second = report["messages"]
    assert (first["to"], first["text"], first["step"]) == ("ann@example.org", "Hello Ann of Bolt", "hello")
    assert (second["subject"], second["at"], second["state"]) == ("Again", later(days=3), "sent")


def _everything(tables: Sequence[type[Any]]) -> list[Any]:
    return [list(model._default_manager.order_by("pk").values()) for model in tables]


def test_nothing_is_sent_and_nothing_is_written(team: Team, play: Play) -> None:
    pipeline = active(team, [email()])
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", lifecycle_stage="lead")
    tables: Sequence[type[Any]] = (
        Pipeline,
        PipelineVersion,
        PipelineRun,
        StepExecution,
        Effect,
        Message,
        EnrollmentDecision,
        Contact,
    )
    before = _everything(tables)
    steps = [
        {"key": "mark", "type": "update_record", "with": {"values": {"lifecycle_stage": "customer"}}},
        {"key": "task", "type": "create_task", "with": {"title": "Call"}},
        email(),
        CALL,
    ]
    with read_only():
        report = play(steps, subject=ann.pk)
    assert report["success"] and len(report["messages"]) == 1
    assert _everything(tables) == before
    assert not mail.outbox
    pipeline.refresh_from_db()
    assert pipeline.current_version is not None


def test_the_database_itself_refuses_writes_while_a_simulation_reads(team: Team) -> None:
    with pytest.raises(Exception, match=r"read-only|readonly"), transaction.atomic(), read_only():
        Contact.objects.create(team=team, email="a@example.org")
    assert not Contact.objects.exists()
    Contact.objects.create(team=team, email="a@example.org")


@pytest.mark.django_db(transaction=True)
def test_a_simulation_runs_inside_a_read_only_transaction_from_its_first_statement_to_its_last(team: Team) -> None:
    ann = Contact.objects.create(team=team, email="ann@example.org")
    with transaction.atomic():
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET TRANSACTION READ ONLY")
            else:
                cursor.execute("PRAGMA query_only = 1")
        try:
            story = scenario_of({"subject": ann.pk}, now=NOON)
            report = simulate(team=team, document=document([email(), {**email(), "delay": 60}]), scenario=story)
        finally:
            if connection.vendor != "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("PRAGMA query_only = 0")
    assert [message["at"] for message in report["messages"]] == [NOON, later(minutes=1)]


def test_a_sample_needs_no_record(play: Play) -> None:
    report = play(
        [email("{{ contact.first_name }}, {{ contact.company.name }}, {{ contact.plan }}")],
        subject={"first_name": "Zoe", "email": "z@example.org", "company": {"name": "Zip"}, "plan": "gold"},
    )
    assert report["messages"][0]["text"] == "Zoe, Zip, gold"
    assert not Contact.objects.exists()


def test_without_a_subject_a_sample_of_ours_is_taken(play: Play) -> None:
    assert play([email()])["messages"][0]["to"] == "sam@example.com"


def test_what_a_step_changes_is_seen_by_the_next_and_by_nobody_else(team: Team, play: Play) -> None:
    ann = Contact.objects.create(team=team, email="ann@example.org")
    report = play(
        [
            {"type": "update_record", "with": {"values": {"lifecycle_stage": "customer", "color": "red"}}},
            {"key": "later", "delay": "1d", **email("{{ contact.lifecycle_stage }} {{ contact.color }}")},
        ],
        subject=ann.pk,
    )
    assert report["messages"][0]["text"] == "customer red"
    ann.refresh_from_db()
    assert (ann.lifecycle_stage, ann.custom) == ("lead", {})


def test_stubs_answer_for_the_outside_attempt_by_attempt(play: Play) -> None:
    report = play(
        [{"key": "ask", **CALL, "retry": {"max": 3, "delay": 60}}, email("{{ steps.ask.body.plan }}")],
        stubs={"ask": ["http_5xx", {"error": "timeout"}, {"plan": "gold"}]},
    )
    assert visits(report)[:3] == [
        ("ask", "retried", None),
        ("ask", "retried", None),
        ("ask", "completed", "next"),
    ]
    assert report["messages"][0]["text"] == "gold"
    assert report["messages"][0]["at"] == later(minutes=2)
    asked, told = report["steps"][2:]
    assert (asked["entered_at"], asked["left_at"]) == (NOON, later(minutes=2))
    assert (told["entered_at"], told["left_at"]) == (later(minutes=2), later(minutes=2))


def test_an_error_for_good_takes_the_error_edge(play: Play) -> None:
    steps = [{"key": "ask", **CALL, "on": {"error": "sorry"}}, {"key": "never", **email()}, {"key": "sorry", **email()}]
    report = play(steps, stubs={"ask": {"error": "http_4xx"}})
    assert [each["key"] for each in report["steps"]] == ["ask", "sorry"]
    assert report["errors"][0]["step"] == "ask"


def test_answers_that_nobody_gave_are_taken_to_go_well_and_said(play: Play) -> None:
    report = play([{"key": "ask", **CALL}])
    assert report["success"] and report["warnings"][0].startswith("ask: nobody said")


def test_the_trigger_decides_who_enters_and_says_why_not(team: Team, play: Play) -> None:
    where = {"field": "contact.email", "operator": "contains", "value": "@example.org"}
    more = {"triggers": [{"type": "created", "model": "contacts.contact", "key": "new", "where": where}]}
    report = play([email()], more=more, subject={"email": "a@other.net"})
    assert (report["status"], report["reason"]) == ("not_enrolled", "conditions not met")
    assert report["why"][0]["actual"] == "a@other.net"
    assert play([email()], more=more, subject={"email": "a@other.net"}, entry="by_hand")["status"] == "completed"


def test_who_is_suppressed_gets_nothing_in_a_simulation_either(team: Team, play: Play) -> None:
    Suppression.objects.create(team=team, address="ann@example.org", reason="unsubscribed")
    report = play([email()], subject={"email": "Ann@example.org"})
    assert visits(report) == [("step_1", "skipped", "skipped")] and not report["messages"]


def test_a_simulation_stops_at_its_end_and_says_what_comes_next(play: Play) -> None:
    report = play([email(), {"key": "late", "delay": "40d", **email()}], until="30d")
    assert (report["status"], report["finished_at"]) == ("pending", None)
    assert report["next"] == {"step": "late", "at": later(days=40)}
    assert "before everything was over" in report["warnings"][0]


def test_a_circle_ends_by_the_limit_of_visits(play: Play) -> None:
    steps = [{"key": "round", "type": "wait", "delay": "1h", "next": "round"}]
    report = play(steps, more={"settings": {"max_hops": 20}})
    assert (report["status"], report["reason"]) == ("failed", "too_many_visits")
    assert [each["event"] for each in report["steps"]] == ["completed"] * 20 + ["note"]
    assert "looks like a circle" in report["errors"][0]["message"]


def test_conditions_tell_the_values_they_saw(play: Play) -> None:
    rule = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}
    steps = [
        {"key": "check", "type": "condition", "if": rule, "on": {"true": "thank", "false": "end"}},
        {"key": "thank", **email()},
    ]
    report = play(steps, subject={"email": "a@example.org"})
    assert report["steps"][0]["outcome"] == "false"
    assert report["steps"][0]["why"][0]["actual"] == "lead"


def test_a_document_that_cannot_be_published_cannot_be_simulated(play: Play) -> None:
    with pytest.raises(InvalidDocument):
        play([{"type": "no_such_thing"}])


@pytest.mark.parametrize(
    ("scenario", "path"),
    [
        ({"subject": 999_999}, "subject"),
        ({"subject": "Ann"}, "subject"),
        ({"subject": {"created_at": "yesterday"}}, "subject.created_at"),
        ({"subject": {"lifecycle_stage": "king"}}, "subject"),
        ({"stubs": {"nope": {}}}, "stubs.nope"),
        ({"stubs": {"step_1": {"error": "meteor"}}}, "stubs.step_1[0].error"),
        ({"events": [{"after": "soon", "type": "x"}]}, "events[0].after"),
        ({"events": [{"after": 1}]}, "events[0].type"),
        ({"responses": {"step_1": {"colour": 1}}}, "responses.step_1[0].colour"),
        ({"until": "yesterday"}, "until"),
        ({"start": "9999-12-31T23:59:59Z"}, "start"),
        ({"start": "0001-01-01T00:00:00Z"}, "start"),
        ({"until": "2001-01-01T00:00:00Z"}, "until"),
        ({"entry": "nope"}, "entry"),
        ({"wishes": 1}, "wishes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_story_that_cannot_be_played_is_refused_with_its_path(
    play: Play, scenario: dict[str, Any], path: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        play([email()], **scenario)
    assert refused.value.path == path


def test_records_of_another_team_cannot_be_simulated(team: Team, play: Play) -> None:
    other = Team.objects.create(name="Other", slug="other")
    foreign = Contact.objects.create(team=other, email="x@example.org")
    with pytest.raises(ScenarioError, match="no contact"):
        play([email()], subject=foreign.pk)


def test_a_story_may_begin_with_records_that_steps_find(play: Play) -> None:
    find = {"key": "find", "type": "find_records", "with": {"model": "contacts.company"}}
    two = {"type": "condition", "if": "steps.find.count == 2", "on": {"true": "end", "false": "fail"}}
    report = play([find, two], records={"contacts.company": [{"name": "Acme"}, {"name": "Bolt"}]})
    assert report["status"] == "completed"


@pytest.mark.parametrize(
    ("records", "path"),
    [
        ({"auth.user": [{}]}, "records.auth.user"),
        ({"records.ship": [{}]}, "records.records.ship"),
        ({"contacts.deal": [{"amount": "much"}]}, "records.contacts.deal[0]"),
    ],
    ids=str,
)
def test_records_that_cannot_be_there_are_told_with_their_path(play: Play, records: Any, path: str) -> None:
    with pytest.raises(ScenarioError) as told:
        play([{"type": "wait", "delay": "1d"}], records=records)
    assert told.value.path == path
