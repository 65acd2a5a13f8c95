"""A contact goes down a line of timed steps."""

from typing import Any

import pytest
from django.core import mail
from pytest_django import Settings

from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Message, Suppression, Task, Team
from pipelines.engine.tick import process_due_runs
from pipelines.models import Effect, EnrollmentDecision, PipelineRun, StepExecution, StepStat
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later, log
from tests.pipelines.engine.conftest import Run


def test_a_new_contact_gets_every_mail_at_its_time(team: Team, run_at: Run) -> None:
    active(team, [email(), email("Still there?", subject="Again", delay="3d")])
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    run = PipelineRun.objects.get(subject_id=contact.pk)
    assert run.status == RunStatus.PENDING and run.next_step_at == NOON

    run_at(NOON)
    assert [(m.subject, m.body.split("\n")[0], m.to) for m in mail.outbox] == [("Hi", "Hello Ann", ["ann@example.org"])]
    run.refresh_from_db()
    assert run.status == RunStatus.PENDING and run.next_step_at == later(days=3)

    run_at(later(days=2, hours=23, minutes=59))
    assert len(mail.outbox) == 1
    run_at(later(days=3))
    assert mail.outbox[1].subject == "Again"
    run.refresh_from_db()
    assert (run.status, run.reason, run.finished_at) == (RunStatus.COMPLETED, "end", later(days=3))
    assert log(run) == [(1, "completed", "next"), (2, "completed", "next")]
    assert set(Effect.objects.values_list("status", flat=True)) == {Effect.Status.DONE}
    assert [m.state for m in Message.objects.all()] == ["sent", "sent"]
    assert sum(StepStat.objects.values_list("n", flat=True)) == 2


def test_a_condition_takes_the_branch_its_values_say(team: Team, run_at: Run) -> None:
    rule = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}
    active(
        team,
        [
            {"key": "check", "type": "condition", "if": rule, "on": {"true": "thank", "false": "ask"}},
            {"key": "thank", **email(subject="Thanks"), "next": "end"},
            {"key": "ask", "type": "create_task", "with": {"title": "Call {{ contact.name }}"}},
        ],
    )
    Contact.objects.create(team=team, first_name="Cus", email="c@example.org", lifecycle_stage="customer")
    Contact.objects.create(team=team, first_name="Lea", last_name="D", email="l@example.org")
    run_at(NOON)
    assert [m.subject for m in mail.outbox] == ["Thanks"]
    assert list(Task.objects.values_list("title", flat=True)) == ["Call Lea D"]
    assert set(PipelineRun.objects.values_list("status", flat=True)) == {RunStatus.COMPLETED}


def test_a_step_whose_if_says_no_is_skipped_and_says_why(team: Team, run_at: Run) -> None:
    active(team, [{**email(), "if": "contact.company.name == 'Acme'"}, {"type": "wait"}])
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    assert not mail.outbox
    assert log(PipelineRun.objects.get()) == [(1, "skipped", "skipped"), (2, "completed", "next")]


def test_values_flow_from_step_to_step(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            {"key": "count", "type": "set_variable", "with": {"score": "= score + 2"}},
            {"key": "mark", "type": "update_record",
             "with": {"values": {"lead_source": "pipeline", "score": "= score", "lifecycle_stage": "qualified"}}},
            {"key": "tell", **email("{{ score }} {{ contact.lead_source }} {{ contact.lifecycle_stage }}")},
        ],
        variables=[{"name": "score", "type": "number", "default": 3}],
    )  # fmt: skip
    contact = Contact.objects.create(team=team, email="a@example.org", custom={"color": "red"})
    run_at(NOON)
    contact.refresh_from_db()
    assert (contact.lead_source, contact.lifecycle_stage) == ("pipeline", "qualified")
    assert contact.custom == {"color": "red", "score": 5}
    assert mail.outbox[0].body.startswith("5 pipeline qualified")


@pytest.mark.parametrize("more", [{"on": {"error": "next"}}, {"if": "score > 100"}], ids=["failed", "skipped"])
def test_a_step_that_brought_nothing_leaves_variables_as_they_were(
    team: Team, run_at: Run, more: dict[str, Any]
) -> None:
    values = {"lifecycle_stage": "{{ contact.last_name }}"}
    bad = {"key": "bad", "type": "update_record", "with": {"values": values}, **more}
    bad["set"] = {"score": "{{ steps.bad.score }}", "why": "{{ steps.bad.error.code }}"}
    active(
        team,
        [bad, email("{{ score }} {{ why }}")],
        variables=[{"name": "score", "type": "number", "default": 7}, {"name": "why", "type": "string"}],
    )
    Contact.objects.create(team=team, last_name="King", email="a@example.org")
    run_at(NOON)
    failed = "on" in more
    assert mail.outbox[0].body.split("\n")[0].strip() == ("7 validation" if failed else "7")


def test_a_suppressed_address_gets_nothing_and_the_run_says_why(team: Team, run_at: Run) -> None:
    active(team, [email(), {"type": "wait"}])
    Suppression.objects.create(team=team, address="ann@example.org", reason="unsubscribed")
    Contact.objects.create(team=team, email="Ann@example.org")
    run_at(NOON)
    assert not mail.outbox and not Effect.objects.exists()
    assert log(PipelineRun.objects.get()) == [(1, "skipped", "skipped"), (2, "completed", "next")]


def test_who_unsubscribes_between_planning_and_sending_gets_nothing(team: Team, run_at: Run) -> None:
    from pipelines.engine.advance import advance_lane
    from pipelines.engine.deliver import deliver

    pipeline = active(team, [email()])
    Contact.objects.create(team=team, email="ann@example.org")
    step = pipeline.steps.get()
    advance_lane(step_id=step.pk, now=NOON, limit=10)
    assert Message.objects.get().state == "queued"
    Suppression.objects.create(team=team, address="ann@example.org", reason="unsubscribed")
    deliver(now=NOON, until=float("inf"))
    assert not mail.outbox
    assert Message.objects.get().state == "skipped"
    assert log(PipelineRun.objects.get()) == [(1, "skipped", "skipped")]


def test_a_contact_without_an_address_skips_the_email_and_goes_on(team: Team, run_at: Run) -> None:
    active(team, [email(), {"type": "create_task", "with": {"title": "Ask {{ contact.first_name }} for an address"}}])
    nobody = Contact.objects.create(team=team, first_name="No")
    Contact.objects.create(team=team, email="b@example.org")
    run_at(NOON)
    assert len(mail.outbox) == 1 and Message.objects.count() == 1
    run = PipelineRun.objects.get(subject_id=nobody.pk)
    assert run.status == RunStatus.COMPLETED
    assert log(run) == [(1, "skipped", "skipped"), (2, "completed", "next")]
    told = StepExecution.objects.filter(run_id=run.pk, outcome="skipped").values_list("error", flat=True)
    assert list(told) == ["Not sent: there is no email address."]


def test_an_author_decides_what_becomes_of_those_without_an_address(team: Team, run_at: Run) -> None:
    active(team, [email(on={"skipped": "fail"})])
    Contact.objects.create(team=team, first_name="No")
    run_at(NOON)
    assert PipelineRun.objects.get().status == RunStatus.FAILED


def test_an_address_that_is_none_fails_its_run_alone(team: Team, run_at: Run) -> None:
    step = email()
    step["with"]["to"] = "{{ contact.last_name }}"
    active(team, [step])
    for name in ("not an address", "b@example.org"):
        Contact.objects.create(team=team, last_name=name)
    run_at(NOON)
    assert len(mail.outbox) == 1
    assert sorted(PipelineRun.objects.values_list("status", flat=True)) == [RunStatus.COMPLETED, RunStatus.FAILED]


def test_conditions_of_an_automatic_pipeline_keep_others_out_with_a_reason(team: Team, run_at: Run) -> None:
    where = {"field": "contact.email", "operator": "contains", "value": "@example.org"}
    active(
        team, [email()], triggers=[{"type": "created", "model": "contacts.contact", "automatic": True, "where": where}]
    )
    inside = Contact.objects.create(team=team, email="a@example.org")
    outside = Contact.objects.create(team=team, email="a@other.net")
    assert list(PipelineRun.objects.values_list("subject_id", flat=True)) == [inside.pk]
    decision = EnrollmentDecision.objects.get()
    assert decision.subject_id == outside.pk and (decision.why or [{}])[0]["actual"] == "a@other.net"


@pytest.mark.parametrize("gone", ["before the step"])
def test_the_run_of_a_deleted_contact_is_cancelled(team: Team, run_at: Run, gone: str) -> None:
    active(team, [email(delay=60)])
    Contact.objects.create(team=team, email="a@example.org").delete()
    run_at(later(minutes=1))
    run = PipelineRun.objects.get()
    assert (run.status, run.reason) == (RunStatus.CANCELLED, "subject_deleted")
    assert not mail.outbox


def test_a_backlog_calls_for_help_once_and_little_work_does_not(team: Team, run_at: Run, settings: Settings) -> None:
    settings.PIPELINES_BATCH_SIZE = 5
    active(team, [email()])
    calls: list[int] = []
    for size in (3, 12):
        bulk_create_contacts(team=team, items=[{"email": f"c{size}-{n}@example.org"} for n in range(size)])
        process_due_runs(call_help=lambda size=size: calls.append(size))  # type: ignore[misc]
    assert calls == [12]
    assert len(mail.outbox) == 15
