"""Calls of web services: at least once, always with the same id."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Member, Notification, Role, Team
from pipelines.models import PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later, log
from tests.pipelines.engine.conftest import Run
from tests.sinks.http import Answer, HttpSink
from tests.sinks.smtp import SmtpSink


def call(url: str, **more: Any) -> dict[str, Any]:
    return {
        "key": "call",
        "type": "call_api",
        "with": {"method": "POST", "url": url, "body": {"email": "{{ contact.email }}"}},
        **more,
    }


def test_the_body_arrives_and_the_answer_is_read(team: Team, run_at: Run, web: HttpSink, smtp: SmtpSink) -> None:
    web.script(Answer(body=b'{"score": 7}'))
    active(team, [call(f"{web.url}/score"), email("Score {{ steps.call.body.score }}")])
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    (request,) = web.requests()
    assert (request["method"], request["path"], request["body"]) == ("POST", "/score", '{"email": "a@example.org"}')
    assert "Score 7" in smtp.receipts.all()[0]["raw"]


def test_every_attempt_carries_the_same_id(team: Team, run_at: Run, web: HttpSink) -> None:
    web.script(Answer(500), Answer(503), Answer(trick="close"))
    active(team, [call(f"{web.url}/", retry={"max": 5, "delay": 60, "backoff": 2})])
    Contact.objects.create(team=team, email="a@example.org")
    for hours in range(8):
        run_at(later(hours=hours))
    assert len(web.requests()) == 4
    assert len({request["headers"]["webhook-id"] for request in web.requests()}) == 1
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED


@pytest.mark.parametrize(
    ("trick", "named", "again"),
    [
        ("close", "connection", True),
        ("cut", "connection", True),
        ("silent", "timeout", True),
        ("close", "timeout", False),
    ],
)
def test_a_connection_that_breaks_and_silence_are_errors_of_their_own(
    team: Team, run_at: Run, web: HttpSink, trick: str, named: str, again: bool
) -> None:
    web.script(Answer(trick=trick))
    # Only silence is waited for; a receiver on a busy machine has the time to break the connection.
    patience = 1 if trick == "silent" else 10
    active(team, [call(f"{web.url}/", timeout=patience, retry={"max": 1, "delay": 60, "on": [named]})])
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    run_at(later(minutes=2))
    assert len(web.requests()) == 1 + again
    assert PipelineRun.objects.get().status == (RunStatus.COMPLETED if again else RunStatus.FAILED)


@pytest.mark.parametrize("own", [{}, {"timeout": 0.1}], ids=["of the pipeline", "its own"])
def test_silence_is_borne_as_long_as_the_step_may_take(
    team: Team, run_at: Run, web: HttpSink, own: dict[str, Any]
) -> None:
    web.script(Answer(trick="silent"))
    active(team, [call(f"{web.url}/", retry={"max": 0}, **own)], settings={"step_timeout": 0.2})
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    seconds = own.get("timeout", 0.2)
    assert StepExecution.objects.get().error == f"No complete answer within {seconds:g} seconds."


def test_the_receiver_may_ask_for_patience(team: Team, run_at: Run, web: HttpSink) -> None:
    web.script(Answer(429, {"Retry-After": "3600"}))
    active(team, [call(f"{web.url}/", retry={"max": 5, "delay": 60})])
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    run_at(later(minutes=59))
    assert len(web.requests()) == 1
    run_at(later(minutes=61))
    assert len(web.requests()) == 2


def test_owners_hear_once_of_a_receiver_that_is_gone(team: Team, run_at: Run, web: HttpSink) -> None:
    owner = User.objects.create_user("olga", "olga@example.org")
    Member.objects.create(team=team, user=owner, role=Role.OWNER)
    Member.objects.create(team=team, user=User.objects.create_user("mo"), role=Role.MEMBER)
    web.script(*[Answer(410)] * 3)
    active(team, [call(f"{web.url}/")])
    for n in range(3):
        Contact.objects.create(team=team, email=f"a{n}@example.org")
    run_at(NOON)
    note = Notification.objects.get()
    assert (note.user, note.title) == (owner, "Receiver gone: call of Welcome")
    assert len(web.requests()) == 3


def test_no_is_no(team: Team, run_at: Run, web: HttpSink) -> None:
    web.script(Answer(410))
    active(team, [call(f"{web.url}/")])
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    run_at(later(days=3))
    assert len(web.requests()) == 1
    assert PipelineRun.objects.get().status == RunStatus.FAILED


def test_a_failed_call_may_take_another_way(team: Team, run_at: Run, web: HttpSink) -> None:
    web.script(Answer(404))
    steps = [call(f"{web.url}/", on={"error": "task"}, next="end"),
             {"key": "task", "type": "create_task", "with": {"title": "Look after {{ contact.email }}"}}]  # fmt: skip
    active(team, steps)
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    assert [outcome for _, _, outcome in log(PipelineRun.objects.get())] == ["error", "next"]


def test_a_private_address_is_never_called(team: Team, run_at: Run, web: HttpSink, settings: Settings) -> None:
    settings.OUTBOUND_HTTP_ALLOW = ""
    active(team, [call(f"{web.url}/")])
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    assert not web.requests()
    assert "not a public address" in (StepExecution.objects.get().error or "")


def test_a_receiver_that_never_answers_costs_one_deadline(
    team: Team, run_at: Run, web: HttpSink, settings: Settings
) -> None:
    settings.OUTBOUND_HTTP_SECONDS = 1.0
    web.script(Answer(trick="silent"))
    active(team, [call(f"{web.url}/", retry={"max": 2, "delay": 60})])
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    run_at(later(minutes=5))
    assert len(web.requests()) == 2
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED


@pytest.mark.parametrize(
    "body",
    [b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\\u0000"}', b'["\\ud800"]', b"\x00", b"[" * 900 + b"]" * 900],
    ids=["nan", "infinity", "nul", "half-character", "bytes", "deep"],
)
def test_an_answer_no_database_could_hold_stops_nobody(team: Team, run_at: Run, web: HttpSink, body: bytes) -> None:
    web.script(Answer(body=body))
    active(team, [call(f"{web.url}/")])
    for number in range(3):
        Contact.objects.create(team=team, email=f"c{number}@example.org")
    run_at(NOON)
    assert len(web.requests()) == 3
    assert set(PipelineRun.objects.values_list("status", flat=True)) == {RunStatus.COMPLETED}
