"""The circuit of a step: open when it fails for many, everybody waits, a few are tried, and all go on once."""

from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import Settings

from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Member, Message, Notification, Role, Team
from pipelines.doctor import examine
from pipelines.engine.circuits import let_fail, try_again
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.models import PipelineRun, SendingRules, StepCircuit, StepExecution
from pipelines.operations import import_document
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, document, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.counting import statements
from tests.sinks.http import Answer, HttpSink
from tests.sinks.smtp import SmtpSink

State = StepCircuit.State
DOWN, NOT_FOUND, WELL = Answer(503), Answer(404), Answer()


def call(web: HttpSink, **more: Any) -> dict[str, Any]:
    body = {"email": "{{ contact.email }}"}
    return {"key": "tell", "type": "call_api", "with": {"method": "POST", "url": f"{web.url}/in", "body": body}, **more}


def people(team: Team, numbers: Iterable[int]) -> None:
    bulk_create_contacts(team=team, items=[{"email": f"c{number}@example.org"} for number in numbers])


def runs(status: RunStatus) -> int:
    return PipelineRun.objects.filter(status=status).count()


def test_a_receiver_that_is_down_holds_everybody_and_gets_each_once_when_it_is_back(
    team: Team, run_at: Run, web: HttpSink
) -> None:
    active(team, [call(web)])
    people(team, range(100))
    web.usual = DOWN
    run_at(NOON)
    circuit = StepCircuit.objects.get()
    assert (circuit.state, circuit.code) == (State.OPEN, "http_5xx")
    tried = len(web.requests())
    # Eight are under way at once: no more than it takes to see it, of a hundred.
    assert 20 <= tried < 36
    # For hours a few are let through, ever more seldom, and nobody's tries are used up.
    for minutes in range(1, 301, 12):
        run_at(later(minutes=minutes))
    assert 3 * 10 <= len(web.requests()) - tried <= 3 * 16
    assert max(PipelineRun.objects.values_list("attempt", flat=True)) == 1
    assert runs(RunStatus.RUNNING) == 100
    # Who comes now waits before the step.
    people(team, range(100, 150))
    run_at(later(minutes=302))
    assert PipelineRun.objects.filter(status=RunStatus.PENDING, step=circuit.step_id).count() == 50
    web.usual, before = WELL, len(web.requests())
    run_at(later(minutes=340))
    run_at(later(minutes=341))
    assert not StepCircuit.objects.exists()
    assert runs(RunStatus.COMPLETED) == 150
    bodies = [request["body"] for request in web.requests()[before:]]
    assert len(bodies) == len(set(bodies)) == 150


def test_not_one_more_fails_for_good_once_the_circuit_is_open(team: Team, run_at: Run, web: HttpSink) -> None:
    active(team, [call(web)])
    people(team, range(60))
    web.usual = NOT_FOUND
    for minutes in (0, 2, 5, 10, 20, 60):
        run_at(later(minutes=minutes))
    assert StepCircuit.objects.get().code == "http_4xx"
    assert 20 <= runs(RunStatus.FAILED) < 36
    assert runs(RunStatus.FAILED) + runs(RunStatus.RUNNING) == 60


def test_one_contact_that_is_tried_again_and_again_opens_nothing(team: Team, run_at: Run, web: HttpSink) -> None:
    active(team, [call(web, retry={"max": 25, "delay": 60})])
    people(team, [1])
    web.usual = DOWN
    for minutes in range(0, 52, 2):
        run_at(later(minutes=minutes))
    assert len(web.requests()) == 26
    assert not StepCircuit.objects.exists()


@pytest.mark.parametrize("opens", [True, False], ids=["of forty", "of forty-one"])
def test_it_takes_half_of_those_who_came(team: Team, run_at: Run, opens: bool) -> None:
    step = {"key": "set", "type": "set_variable", "with": {"n": "= 1 / contact.custom.score"}}
    active(team, [step], variables=[{"name": "n", "type": "number"}])
    scores = [0] * 20 + [1] * (20 if opens else 21)
    bulk_create_contacts(
        team=team, items=[{"email": f"c{n}@example.org", "custom": {"score": score}} for n, score in enumerate(scores)]
    )
    run_at(NOON)
    assert runs(RunStatus.FAILED) == 20
    assert StepCircuit.objects.exists() is opens


def test_failures_long_ago_do_not_count(team: Team, run_at: Run, web: HttpSink) -> None:
    active(team, [call(web, retry={"max": 0})])
    web.usual = NOT_FOUND
    for hours, numbers in ((0, range(12)), (2, range(12, 24))):
        people(team, numbers)
        run_at(later(hours=hours))
    assert not StepCircuit.objects.exists()
    people(team, range(24, 32))
    run_at(later(hours=2.5))
    assert StepCircuit.objects.get().failed == 20


def test_a_step_whose_errors_lead_somewhere_keeps_nobody(team: Team, run_at: Run, web: HttpSink) -> None:
    active(team, [call(web, on={"error": "next"}, retry={"max": 0})])
    people(team, range(40))
    web.usual = DOWN
    run_at(NOON)
    assert runs(RunStatus.COMPLETED) == 40
    assert not StepCircuit.objects.exists()


def test_the_breakers_can_be_switched_off(team: Team, run_at: Run, web: HttpSink, settings: Settings) -> None:
    settings.PIPELINES_CIRCUIT_RECORDS = 0
    active(team, [call(web)])
    people(team, range(40))
    web.usual = NOT_FOUND
    run_at(NOON)
    assert runs(RunStatus.FAILED) == 40


def test_a_step_that_fails_by_itself_waits_and_goes_on_when_it_is_mended(team: Team, run_at: Run) -> None:
    broken = {"key": "set", "type": "set_variable", "with": {"n": "= 1 / contact.custom.score"}}
    more: dict[str, Any] = {"variables": [{"name": "n", "type": "number"}]}
    active(team, [broken], **more)
    people(team, range(30))
    run_at(NOON)
    people(team, range(30, 50))
    for minutes in (0, 1, 3, 7, 15):
        run_at(later(minutes=minutes))
    # Three of them were let in each time, and wait again behind the others.
    assert (runs(RunStatus.FAILED), runs(RunStatus.PENDING)) == (30, 20)
    mended = {**broken, "with": {"n": "= 1"}}
    with pretend(later(minutes=16)):
        import_document(team=team, document=document([mended], **more), replace=True, activate=True)
    run_at(later(minutes=16))
    run_at(later(minutes=17))
    assert (runs(RunStatus.FAILED), runs(RunStatus.COMPLETED)) == (30, 20)


def test_people_are_told_once_and_a_try_that_fails_tells_nobody_again(
    team: Team, run_at: Run, web: HttpSink, manager: User
) -> None:
    active(team, [call(web, name="Tell the shop")])
    people(team, range(30))
    web.usual = DOWN
    for minutes in (0, 1, 2, 15, 30):
        run_at(later(minutes=minutes))
    (note,) = Notification.objects.all()
    assert (note.user, note.title) == (manager, "“Tell the shop” fails for too many")
    (found,) = [each for each in examine(minutes=60) if each.code == "step.failing"]
    assert found.problem == note.body


@pytest.fixture
def manager(team: Team) -> User:
    user = User.objects.create_user("manager", email="manager@acme.example")
    Member.objects.create(team=team, user=user, role=Role.MANAGER)
    return user


def test_a_person_may_try_again_before_the_pause_is_over(team: Team, run_at: Run, web: HttpSink) -> None:
    active(team, [call(web)])
    people(team, range(30))
    web.usual = DOWN
    for minutes in (0, 1, 3, 7, 15, 31, 61):
        run_at(later(minutes=minutes))
    web.usual = WELL
    run_at(later(minutes=62))
    assert runs(RunStatus.RUNNING) == 30
    try_again(steps=[StepCircuit.objects.get().pk], now=later(minutes=62))
    run_at(later(minutes=62))
    assert runs(RunStatus.COMPLETED) == 30


def test_a_person_may_let_them_fail_and_the_step_is_watched_again_a_day_later(
    team: Team, run_at: Run, web: HttpSink
) -> None:
    active(team, [call(web, retry={"max": 0})])
    people(team, range(50))
    web.usual = NOT_FOUND
    run_at(NOON)
    assert let_fail(steps=[StepCircuit.objects.get().pk], now=NOON) == 1
    run_at(NOON)
    people(team, range(50, 100))
    run_at(later(hours=23))
    assert runs(RunStatus.FAILED) == 100
    people(team, range(100, 150))
    run_at(later(hours=25))
    assert StepCircuit.objects.get().state == State.OPEN
    assert runs(RunStatus.FAILED) < 150


def test_letters_say_why_they_wait(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()])
    people(team, range(60))
    smtp.behavior = "greylist"
    run_at(NOON)
    waiting = Message.objects.filter(held_by__startswith="its step fails for too many")
    assert waiting.filter(state="queued").count() >= 10
    smtp.behavior = "accept"
    run_at(later(minutes=2))
    run_at(later(hours=2))
    assert sorted(smtp.recipients()) == sorted(f"c{n}@example.org" for n in range(60))
    assert not Message.objects.exclude(state="sent").exists()


def test_a_step_that_is_published_again_leaves_the_reasons_of_other_rules(
    team: Team, run_at: Run, smtp: SmtpSink
) -> None:
    active(team, [email()])
    people(team, range(60))
    smtp.behavior = "greylist"
    run_at(NOON)
    let_fail(steps=[StepCircuit.objects.get().pk], now=NOON)
    SendingRules.objects.create(team=team, window={"hours": "18:00-19:00"})
    run_at(later(hours=1))
    held = Message.objects.filter(state="queued", held_by__startswith="send hours", held_until__isnull=False)
    count = held.count()
    with pretend(later(hours=1)):
        import_document(team=team, document=document([email(subject="Mended")]), replace=True, activate=True)
    assert held.count() == count >= 10
    assert not StepCircuit.objects.exists()


def test_runs_of_other_pipelines_and_steps_go_on(team: Team, run_at: Run, web: HttpSink) -> None:
    first = {"key": "first", "type": "update_record", "with": {"values": {"lead_source": "seen"}}}
    active(team, [first, call(web)])
    people(team, range(30))
    web.usual = DOWN
    run_at(NOON)
    people(team, range(30, 60))
    run_at(NOON)
    assert Contact.objects.filter(lead_source="seen").count() == 60
    assert StepExecution.objects.filter(event=StepExecution.Event.COMPLETED).count() == 60


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite takes at most 999 parameters in a statement")
@pytest.mark.django_db
def test_statements_do_not_grow_with_those_who_fail_or_wait() -> None:
    costs = []
    for count in (30, 60, 600):
        team = Team.objects.create(name=f"T{count}", slug=f"t{count}")
        step = {"key": "set", "type": "set_variable", "with": {"n": "= 1 / contact.custom.score"}}
        active(team, [step], variables=[{"name": "n", "type": "number"}])
        people(team, range(count))
        with pretend(NOON):
            fails = statements(process_due_runs)
        people(team, range(count, 2 * count))
        with pretend(later(seconds=1)):
            costs.append((fails, statements(process_due_runs)))
        StepCircuit.objects.all().delete()
        PipelineRun.objects.all().delete()
    assert costs[1] == costs[2]
    assert costs[2][1] < 10
