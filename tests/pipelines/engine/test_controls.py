"""What an operator does to runs and to pipelines."""

from django.core import mail

from contacts.models import Contact
from crm.models import Message, Team
from pipelines.engine.controls import cancel_runs, pause_runs, resume_runs, retry_runs
from pipelines.models import Effect, PipelineRun
from pipelines.operations import activate, archive, pause
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later, log
from tests.pipelines.engine.conftest import Run


def a_run(team: Team) -> PipelineRun:
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    return PipelineRun.objects.get(subject_id=contact.pk)


def test_a_paused_run_does_nothing_until_it_is_resumed(team: Team, run_at: Run) -> None:
    active(team, [email(delay=60)])
    run = a_run(team)
    run_at(NOON)
    assert pause_runs(run_ids=[run.pk]) == 1
    run_at(later(hours=1))
    run.refresh_from_db()
    assert not mail.outbox and (run.status, run.next_step_at) == (RunStatus.PAUSED, None)
    assert resume_runs(run_ids=[run.pk]) == 1
    run_at(later(hours=1))
    assert len(mail.outbox) == 1


def test_a_run_resumed_before_its_time_keeps_its_time(team: Team, run_at: Run) -> None:
    active(team, [email(delay="2h")])
    run = a_run(team)
    run_at(NOON)
    pause_runs(run_ids=[run.pk])
    run_at(later(minutes=30))
    resume_runs(run_ids=[run.pk])
    run.refresh_from_db()
    assert (run.status, run.next_step_at) == (RunStatus.PENDING, later(hours=2))


def test_a_cancelled_run_sends_nothing_more_and_frees_its_place(team: Team, run_at: Run) -> None:
    pipeline = active(team, [email(), email(subject="Later", delay="1d")])
    run = a_run(team)
    run_at(NOON)
    assert cancel_runs(run_ids=[run.pk], reason="not wanted") == 1
    run_at(later(days=2))
    run.refresh_from_db()
    assert (run.status, run.reason, len(mail.outbox)) == (RunStatus.CANCELLED, "not wanted", 1)

    from pipelines.engine.enroll import enroll

    assert len(enroll(pipeline=pipeline, subject_ids=[run.subject_id]).enrolled) == 1


def test_cancelling_calls_off_a_message_that_has_not_left(team: Team, run_at: Run) -> None:
    from pipelines.engine.advance import advance_lane

    pipeline = active(team, [email()])
    run = a_run(team)
    advance_lane(step_id=pipeline.steps.get().pk, now=NOON, limit=10)
    cancel_runs(run_ids=[run.pk])
    run_at(NOON)
    assert not mail.outbox
    assert Effect.objects.get().status == Effect.Status.CANCELLED
    assert Message.objects.get().state == Message.State.CANCELLED


def test_a_failed_run_is_retried_at_the_step_that_failed(team: Team, run_at: Run) -> None:
    active(team, [{"key": "note", "type": "set_variable", "with": {"n": "= n + 1"}}, email()],
           variables=[{"name": "n", "type": "number", "default": 0}])  # fmt: skip
    contact = Contact.objects.create(team=team, first_name="Ann", email="nowhere")
    run_at(NOON)
    run = PipelineRun.objects.get()
    assert run.status == RunStatus.FAILED
    Contact.objects.filter(pk=contact.pk).update(email="ann@example.org")
    assert retry_runs(run_ids=[run.pk]) == 1
    run_at(later(minutes=1))
    run.refresh_from_db()
    assert (run.status, len(mail.outbox)) == (RunStatus.COMPLETED, 1)
    assert log(run) == [(1, "completed", "next"), (2, "failed", "error"), (3, "completed", "next")]


def test_only_runs_in_the_right_state_are_touched(team: Team, run_at: Run) -> None:
    active(team, [email()])
    run = a_run(team)
    run_at(NOON)
    ids = [run.pk]
    assert (pause_runs(run_ids=ids), resume_runs(run_ids=ids), cancel_runs(run_ids=ids), retry_runs(run_ids=ids)) == (
        0, 0, 0, 0,
    )  # fmt: skip


def test_a_paused_pipeline_holds_its_runs_and_takes_nobody_new(team: Team, run_at: Run) -> None:
    pipeline = active(team, [email(delay=60)])
    a_run(team)
    run_at(NOON)
    pause(pipeline=pipeline)
    Contact.objects.create(team=team, email="late@example.org")
    run_at(later(hours=1))
    assert not mail.outbox and PipelineRun.objects.count() == 1
    activate(pipeline=pipeline)
    run_at(later(hours=2))
    assert [message.to for message in mail.outbox] == [["ann@example.org"]]


def test_archiving_with_cancel_ends_every_run(team: Team, run_at: Run) -> None:
    pipeline = active(team, [email(delay=60)])
    run = a_run(team)
    archive(pipeline=pipeline, runs="cancel")
    run_at(later(hours=1))
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED and not mail.outbox
