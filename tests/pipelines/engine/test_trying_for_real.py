"""A test run goes through the real engine, and nothing of it leaves, is told to others, or is counted."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from pytest_django import Settings

from contacts.models import Company, Contact
from crm.models import Member, Message, Notification, Role, Task, Team
from crm.opt_in import say
from pipelines.analytics import pipeline_metrics
from pipelines.circuits import circuits_of
from pipelines.conversion import conversion
from pipelines.engine.controls import cancel_runs
from pipelines.engine.enroll import EnrollResult, NotEnrollable, enroll
from pipelines.engine.events import publish
from pipelines.engine.replaying import replay
from pipelines.models import Effect, Event, GoalHit, HumanTask, Pipeline, PipelineRun, StepCircuit, StepStat
from pipelines.operations import import_document, pause
from pipelines.operations import publish as publish_version
from pipelines.operations.webhooks import make_webhook
from pipelines.states import RunStatus
from tests.pipelines.engine.building import AUTOMATIC, NOON, active, document, email, later, log
from tests.pipelines.engine.conftest import Run
from tests.sinks.http import HttpSink
from tests.sinks.smtp import SmtpSink

State = Message.State
BY_HAND: dict[str, Any] = {"triggers": [{"type": "manual"}]}


@pytest.fixture
def ann(team: Team) -> Contact:
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", phone="+4915112345678")


def tried(pipeline: Pipeline, contact: Contact, **more: Any) -> EnrollResult:
    return enroll(pipeline=pipeline, subject_ids=[contact.pk], test=True, **more)


def call(web: HttpSink, **more: Any) -> dict[str, Any]:
    body = {"email": "{{ contact.email }}"}
    return {"key": "call", "type": "call_api", "with": {"url": f"{web.url}/order", "body": body}, **more}


def test_nothing_of_it_arrives_while_ordinary_runs_of_the_same_batch_do(
    team: Team, ann: Contact, run_at: Run, web: HttpSink, smtp: SmtpSink
) -> None:
    bob = Contact.objects.create(team=team, first_name="Bob", email="bob@example.org")
    pipeline = active(team, [call(web), email("Hello {{ contact.first_name }}", key="hello")], **BY_HAND)
    (test,) = tried(pipeline, ann).enrolled
    enroll(pipeline=pipeline, subject_ids=[bob.pk])
    assert run_at(NOON).sent == 2
    assert [json.loads(each["body"])["email"] for each in web.requests()] == ["bob@example.org"]
    (receipt,) = smtp.receipts.all()
    assert "Hello Bob" in receipt["raw"]
    assert {run.status for run in PipelineRun.objects.all()} == {RunStatus.COMPLETED}
    captured = Message.objects.get(run_id=test)
    assert (captured.state, captured.sent_at, captured.text) == (State.CAPTURED, None, "Hello Ann")
    kept = Effect.objects.get(run_id=test, payload__has_key="url")
    assert (kept.payload["url"], kept.payload["body"]) == (f"{web.url}/order", {"email": "ann@example.org"})
    assert kept.result is not None and (kept.result["status"], kept.result["body"]) == (200, {})


def test_every_channel_is_captured_with_what_it_would_have_said(team: Team, ann: Contact, run_at: Run) -> None:
    kinds = ("send_sms", "send_push", "send_whatsapp", "send_chat")
    Contact.objects.update(custom={"device_token": "a" * 40})
    said = [{"body" if kind == "send_push" else "text": f"{kind} for {{{{ contact.first_name }}}}"} for kind in kinds]
    steps = [{"type": kind, "with": each} for kind, each in zip(kinds, said, strict=True)]
    (run,) = tried(active(team, steps, **BY_HAND), ann).enrolled
    run_at(NOON)
    assert set(Effect.objects.values_list("kind", flat=True)) <= {Effect.Kind.TEST}
    kept = Message.objects.filter(run_id=run).values_list("text", "state")
    assert dict(kept) == {f"{kind} for Ann": State.CAPTURED for kind in kinds}
    assert not Message.objects.exclude(sent_at=None).exists()


def test_nobody_else_hears_of_it(team: Team, ann: Contact, run_at: Run, web: HttpSink) -> None:
    make_webhook(team=team, name="Billing", url=f"{web.url}/crm", types=[])
    follows = {"triggers": [{"type": "updated", "model": "contacts.contact"}, {"type": "event", "event": "email_sent"}]}
    active(team, [email()], key="follows", **follows)
    change = {"type": "update_record", "with": {"values": {"lifecycle_stage": "customer"}}}
    make = {"type": "create_record", "with": {"model": "contacts.company", "values": {"name": "Analytical"}}}
    pipeline = active(team, [change, make, email(), {"type": "wait", "delay": "1h"}], **BY_HAND)
    run_at(NOON)
    seen = len(web.requests())
    (run,) = tried(pipeline, ann).enrolled
    tried(pipeline, ann)
    run_at(NOON)
    cancel_runs(run_ids=[run])
    run_at(later(hours=2))
    ann.refresh_from_db()
    assert ann.lifecycle_stage == "customer"
    assert len(web.requests()) == seen and not Event.objects.exists()
    assert not PipelineRun.objects.filter(pipeline__key="follows").exists()
    assert not mail.outbox


def test_a_record_that_it_makes_starts_nothing_neither_at_once_nor_when_missed_ones_are_looked_for(
    team: Team, ann: Contact, run_at: Run
) -> None:
    active(team, [{"type": "wait", "delay": "1h"}], key="new_company", subject="contacts.company",
           triggers=[{"type": "created", "model": "contacts.company", "automatic": True}])  # fmt: skip
    make = {"type": "create_record", "with": {"model": "contacts.company", "values": {"name": "Analytical"}}}
    tried(active(team, [make], **BY_HAND), ann)
    run_at(NOON)
    run_at(later(hours=1))
    assert Company.objects.get().name == "Analytical"
    assert not PipelineRun.objects.filter(pipeline__key="new_company").exists()


def test_a_test_never_keeps_the_real_run_out_nor_the_real_one_a_test(team: Team, ann: Contact, run_at: Run) -> None:
    steps = [{"type": "wait", "delay": "1d"}, email()]
    pipeline = active(team, steps, triggers=[{"type": "manual", "reentry": "once"}], settings={"max_executions": 1})
    assert tried(pipeline, ann).enrolled and tried(pipeline, ann).enrolled
    assert len(enroll(pipeline=pipeline, subject_ids=[ann.pk]).enrolled) == 1
    assert tried(pipeline, ann).enrolled
    pipeline.refresh_from_db()
    assert pipeline.enrolled_total == 1
    assert PipelineRun.objects.filter(test=True).count() == 3


def test_a_test_of_a_new_record_does_not_keep_it_from_being_found(team: Team, run_at: Run, settings: Settings) -> None:
    pipeline = active(team, [email()], triggers=[AUTOMATIC])
    run_at(NOON)
    zoe = Contact(team=team, email="zoe@example.org")
    Contact.objects.bulk_create([zoe])
    tried(pipeline, zoe)
    run_at(later(minutes=5))
    assert sorted(PipelineRun.objects.values_list("test", flat=True)) == [False, True]


def test_children_and_pipelines_that_it_calls_or_enrolls_in_are_tests_too(
    team: Team, ann: Contact, run_at: Run, smtp: SmtpSink
) -> None:
    active(team, [email("Called")], key="called", **BY_HAND)
    active(team, [email("Entered")], key="entered", **BY_HAND)
    branches = [{"name": word.lower(), "steps": [email(word)]} for word in ("Left", "Right")]
    both = {"type": "parallel", "with": {"branches": branches}}
    more = [{"type": "call", "with": {"pipeline": "called"}}, {"type": "enroll", "with": {"pipeline": "entered"}}]
    tried(active(team, [both, *more], key="outer", **BY_HAND), ann)
    run_at(NOON)
    assert set(PipelineRun.objects.values_list("test", "status")) == {(True, RunStatus.COMPLETED)}
    assert sorted(Message.objects.values_list("text", "state")) == [
        (text, State.CAPTURED) for text in ("Called", "Entered", "Left", "Right")
    ]
    assert smtp.receipts.all() == []


def test_it_takes_nobody_out_of_a_pipeline_for_real(team: Team, ann: Contact, run_at: Run) -> None:
    slow = active(team, [{"type": "wait", "delay": "1d"}], key="slow", **BY_HAND)
    (real,) = enroll(pipeline=slow, subject_ids=[ann.pk]).enrolled
    tried(active(team, [{"type": "unenroll", "with": {"pipeline": "slow"}}], **BY_HAND), ann)
    run_at(NOON)
    assert PipelineRun.objects.get(pk=real).finished_at is None


def test_it_is_not_counted(team: Team, ann: Contact, run_at: Run) -> None:
    paid: dict[str, Any] = {"goals": [{"key": "paid", "event": "order.paid"}]}
    pipeline = active(team, [email(), {"type": "wait", "delay": "1d"}], **BY_HAND, **paid)
    tried(pipeline, ann)
    run_at(NOON)
    kind = PipelineRun.objects.get().subject_type_id
    publish(team_id=team.pk, type="order.paid", subject_type_id=kind, subject_id=ann.pk)
    run_at(later(minutes=1))
    run_at(later(days=2))
    assert not StepStat.objects.exists() and not GoalHit.objects.exists()
    found = pipeline_metrics(pipeline=pipeline, now=later(days=2))
    assert found["total"] == 0 and all(not step["outcomes"] for step in found["steps"])
    assert conversion(pipeline=pipeline).goals[0].runs == 0


def test_its_failures_open_no_circuit(team: Team, run_at: Run, settings: Settings) -> None:
    settings.PIPELINES_CIRCUIT_RECORDS = 2
    step = {"key": "set", "type": "set_variable", "with": {"n": "= 1 / contact.custom.score"}}
    pipeline = active(team, [step], variables=[{"name": "n", "type": "number"}], **BY_HAND)
    for n in range(4):
        tried(pipeline, Contact.objects.create(team=team, email=f"c{n}@example.org", custom={"score": 0}))
    run_at(NOON)
    assert set(PipelineRun.objects.values_list("status", flat=True)) == {RunStatus.FAILED}
    assert not StepCircuit.objects.exists()


def test_it_waits_before_an_open_circuit_and_takes_no_place_of_its_trial(
    team: Team, run_at: Run, settings: Settings
) -> None:
    settings.PIPELINES_CIRCUIT_RECORDS = 2
    first = {"key": "first", "type": "update_record", "with": {"values": {"lead_source": "seen"}}}
    step = {"key": "set", "type": "set_variable", "with": {"n": "= 1 / contact.custom.score"}}
    pipeline = active(team, [first, step], variables=[{"name": "n", "type": "number"}], **BY_HAND)

    def enter(score: int, *, test: bool) -> list[int]:
        people = [Contact.objects.create(team=team, custom={"score": score}).pk for _ in range(3)]
        return enroll(pipeline=pipeline, subject_ids=people, test=test).enrolled

    enter(0, test=False)
    run_at(NOON)
    tests = enter(1, test=True)
    run_at(later(seconds=1))
    assert set(PipelineRun.objects.filter(pk__in=tests).values_list("status", "step__key")) == {
        (RunStatus.PENDING, "set")
    }
    real = enter(1, test=False)
    run_at(later(seconds=2))
    assert (circuits_of(pipeline=pipeline, now=later(seconds=2))[0].waiting, len(real)) == (3, 3)
    # The tests are first in the lane, and say nothing about it.
    run_at(later(minutes=2))
    assert not StepCircuit.objects.exists()
    assert set(PipelineRun.objects.filter(pk__in=[*tests, *real]).values_list("status", flat=True)) == {
        RunStatus.COMPLETED
    }


def test_people_are_asked_and_see_that_it_is_a_test(team: Team, ann: Contact, run_at: Run, smtp: SmtpSink) -> None:
    olga = User.objects.create_user("olga", "olga@example.org")
    Member.objects.create(team=team, user=olga, role=Role.OWNER)
    ask = {"key": "ask", "type": "human_task", "with": {"title": "Approve", "assignee": "olga@example.org"}}
    others = [{"type": "notify", "with": {"title": "Look"}}, {"type": "create_task", "with": {"title": "Call Ann"}}]
    tried(active(team, [*others, ask], **BY_HAND), ann)
    run_at(NOON)
    assert HumanTask.objects.get().task.title == "Test: Approve"
    assert Notification.objects.get().title == "Test: Look"
    assert {task.title for task in Task.objects.all()} == {"Test: Approve", "Test: Call Ann"}
    letter = Message.objects.get()
    assert (letter.state, letter.subject, letter.recipient) == (State.CAPTURED, "Test: Approve", "olga@example.org")
    assert smtp.receipts.all() == []


def test_times_are_those_of_a_real_run_and_so_is_its_log(team: Team, ann: Contact, run_at: Run) -> None:
    pipeline = active(team, [email(), email("Later", delay="2h")], **BY_HAND)
    (test,) = tried(pipeline, ann).enrolled
    (real,) = enroll(pipeline=pipeline, subject_ids=[ann.pk]).enrolled
    run_at(NOON)
    runs = [PipelineRun.objects.get(pk=pk) for pk in (test, real)]
    assert runs[0].next_step_at == runs[1].next_step_at is not None
    run_at(later(hours=2))
    assert log(runs[0]) == log(runs[1])


def test_a_copy_of_a_test_is_a_test(team: Team, ann: Contact, run_at: Run, smtp: SmtpSink) -> None:
    pipeline = active(team, [email(key="hello")], **BY_HAND)
    (run,) = tried(pipeline, ann).enrolled
    run_at(NOON)
    for mode in ("clone", "in_place"):
        replay(run=PipelineRun.objects.get(pk=run), step="hello", mode=mode, confirm=True)
    run_at(later(minutes=1))
    assert set(PipelineRun.objects.values_list("test", "status")) == {(True, RunStatus.COMPLETED)}
    assert smtp.receipts.all() == []


def test_a_published_draft_can_be_tested_and_all_else_says_what_to_do(team: Team, ann: Contact, run_at: Run) -> None:
    pipeline = import_document(team=team, document=document([email()], **BY_HAND))
    with pytest.raises(NotEnrollable, match="publish it first, it need not be active"):
        tried(pipeline, ann)
    publish_version(pipeline=pipeline)
    pipeline.refresh_from_db()
    tried(pipeline, ann)
    with pytest.raises(NotEnrollable, match="activate it first"):
        enroll(pipeline=pipeline, subject_ids=[ann.pk])
    run_at(NOON)
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED
    Pipeline.objects.update(status=Pipeline.Status.ACTIVE)
    pipeline.refresh_from_db()
    pause(pipeline=pipeline)
    with pytest.raises(NotEnrollable, match="resume it first"):
        tried(pipeline, ann)


def test_a_message_that_its_reader_does_not_want_is_skipped_as_for_real(team: Team, ann: Contact, run_at: Run) -> None:
    say(team_id=team.pk, channel="sms", address=ann.phone, granted=False, source="STOP", now=NOON)
    step = {"type": "send_sms", "with": {"text": "Hello", "topic": "news"}}
    run = side_by_side(active(team, [step], **BY_HAND), ann, run_at)
    message = Message.objects.get(run_id=run.pk)
    assert (message.state, message.reason) == (State.SKIPPED, "consent_withdrawn")


@pytest.mark.parametrize(
    ("address", "files"), [("not an address", []), ("ann@example.org", ["gone.txt"])], ids=["no address", "no file"]
)
def test_mail_that_cannot_be_built_fails_as_for_real(
    team: Team, ann: Contact, run_at: Run, address: str, files: list[str]
) -> None:
    Contact.objects.filter(pk=ann.pk).update(email=address)
    step = email()
    step["with"]["attachments"] = [{"file": each} for each in files]
    run = side_by_side(active(team, [step], **BY_HAND), ann, run_at)
    assert run.status == RunStatus.FAILED
    assert not Message.objects.filter(state=State.CAPTURED).exists()


def side_by_side(pipeline: Pipeline, contact: Contact, run_at: Run) -> PipelineRun:
    """A test run that ends as a real one of the same contact does."""
    (test,) = tried(pipeline, contact).enrolled
    (real,) = enroll(pipeline=pipeline, subject_ids=[contact.pk]).enrolled
    run_at(NOON)
    ours, theirs = (PipelineRun.objects.get(pk=pk) for pk in (test, real))
    assert log(ours) == log(theirs)
    assert ours.status == theirs.status
    return ours
