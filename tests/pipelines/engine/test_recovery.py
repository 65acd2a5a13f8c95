"""Trying again, replaying, expiring: what failed is repeated, what was done is not."""

from typing import Any

import pytest
from django.core import mail

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.controls import cancel_runs, retry_runs
from pipelines.engine.replaying import CannotReplay, SendsAgain, replay
from pipelines.engine.retrying import failed_at, retry_failed_at
from pipelines.models import EventWait, Pipeline, PipelineRun, StepExecution
from pipelines.operations import archive
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run

BROKEN = {"type": "update_record", "key": "break", "with": {"values": {"lead_source": "= contact.job_title"}},
          "if": "contact.job_title != ''"}  # fmt: skip
# Longer than the column, so that it fails until somebody shortens it.
TOO_LONG = "x" * 120


def a_run(team: Team, **values: Any) -> PipelineRun:
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", **values)
    return PipelineRun.objects.get(subject_id=contact.pk, parent=None)


def state(run: PipelineRun) -> RunStatus:
    run.refresh_from_db()
    return RunStatus(run.status)


def fork(*branches: tuple[str, list[dict[str, Any]]], **more: Any) -> dict[str, Any]:
    named = [{"name": name, "steps": steps} for name, steps in branches]
    return {"key": "fork", "type": "parallel", "with": {"branches": named, **more}}


def mend() -> None:
    Contact.objects.update(job_title="Boss")


def test_a_failed_block_runs_only_what_failed_again(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            fork(("mail", [email()]), ("record", [BROKEN]), ("slow", [{"type": "wait", "delay": "1d"}])),
            email("done", key="done"),
        ],
    )
    run = a_run(team, job_title=TOO_LONG)
    run_at(NOON)
    assert state(run) == RunStatus.FAILED and len(mail.outbox) == 1
    mend()
    assert retry_runs(run_ids=[run.pk]) == 1
    assert (state(run), run.open_children) == (RunStatus.WAITING, 2)
    run_at(later(hours=1))
    assert (state(run), run.open_children) == (RunStatus.WAITING, 1)
    run_at(later(hours=2, days=1))
    assert state(run) == RunStatus.COMPLETED
    assert [message.body.split("\n")[0] for message in mail.outbox] == ["Hello Ann", "done"]


def test_all_runs_that_failed_at_a_step_are_retried_together(team: Team, run_at: Run) -> None:
    active(team, [fork(("record", [BROKEN]))])
    runs = [a_run(team, job_title=TOO_LONG) for _ in range(3)]
    run_at(NOON)
    pipeline = Pipeline.objects.get()
    error = StepExecution.objects.filter(event=StepExecution.Event.FAILED, error__contains="lead_source").first()
    assert error is not None
    assert failed_at(pipeline=pipeline, step="break").count() == 3
    assert failed_at(pipeline=pipeline, step="break", error=error.error or "").count() == 3
    assert failed_at(pipeline=pipeline, step="break", error="Something else").count() == 0
    mend()
    assert retry_failed_at(pipeline=pipeline, step="break") == 3
    run_at(later(hours=1))
    assert {state(run) for run in runs} == {RunStatus.COMPLETED}


def test_an_error_may_lead_to_another_step(team: Team, run_at: Run) -> None:
    active(
        team,
        [{**BROKEN, "on": {"error": "sorry"}, "next": "end"}, email("{{ steps.break.error.code }}", key="sorry")],
    )
    run = a_run(team, job_title=TOO_LONG)
    run_at(NOON)
    assert state(run) == RunStatus.COMPLETED
    assert mail.outbox[0].body.startswith("validation")


def test_a_block_that_takes_too_long_is_left(team: Team, run_at: Run) -> None:
    slow = fork(("slow", [{"type": "wait", "delay": "9d"}]))
    active(team, [{**slow, "timeout": "2d", "on": {"timeout": "late"}, "next": "end"}, email("late", key="late")])
    run = a_run(team)
    run_at(NOON)
    run_at(later(days=1))
    assert state(run) == RunStatus.WAITING
    run_at(later(days=2))
    assert state(run) == RunStatus.COMPLETED and len(mail.outbox) == 1
    assert PipelineRun.objects.get(parent=run).status == RunStatus.CANCELLED
    assert StepExecution.objects.get(run_id=run.pk, seq=1).event == StepExecution.Event.TIMED_OUT


def test_replaying_asks_before_it_sends_again(team: Team, run_at: Run) -> None:
    active(team, [email(key="hello"), {"key": "mark", "type": "update_record", "with": {"values": {"color": "red"}}}])
    run = a_run(team)
    run_at(NOON)
    with pytest.raises(SendsAgain, match="sends again"):
        replay(run=run, step="hello")
    replay(run=run, step="mark")
    run_at(later(hours=1))
    assert state(run) == RunStatus.COMPLETED and len(mail.outbox) == 1
    replay(run=run, step="hello", confirm=True)
    run_at(later(hours=2))
    assert len(mail.outbox) == 2
    ids = {message.extra_headers["Message-ID"] for message in mail.outbox}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "step",
    [{"type": "human_task", "with": {"title": "Call"}}, {"type": "enroll", "with": {"pipeline": "other"}}],
    ids=["mail about a task", "another pipeline"],
)
def test_replaying_asks_before_what_others_are_told_of(team: Team, run_at: Run, step: dict[str, Any]) -> None:
    active(team, [email()], key="other", triggers=[])
    active(team, [{"key": "first", "type": "wait"}, {"key": "ask", "name": "Ask them", **step}])
    run = a_run(team)
    with pytest.raises(SendsAgain, match="This sends again: Ask them"):
        replay(run=run, step="first")


@pytest.mark.parametrize("mode", ["in_place", "clone"])
def test_nobody_goes_through_a_pipeline_again_that_was_closed_for_good(team: Team, run_at: Run, mode: str) -> None:
    pipeline = active(team, [{"key": "first", "type": "wait"}])
    run = a_run(team)
    run_at(NOON)
    archive(pipeline=pipeline, runs="cancel")
    with pytest.raises(CannotReplay, match="Welcome is archived: duplicate it, and enroll the record there"):
        replay(run=run, step="first", mode=mode)
    assert PipelineRun.objects.count() == 1


def test_replaying_a_copy_leaves_the_run_as_it_is(team: Team, run_at: Run) -> None:
    active(
        team,
        [{"key": "set", "type": "set_variable", "with": {"n": 5}}, email("{{ n }}", key="tell")],
        variables=[{"name": "n", "type": "number", "default": 0}],
    )
    run = a_run(team)
    run_at(NOON)
    copy = replay(run=run, step="tell", mode="clone", confirm=True)
    run_at(later(hours=1))
    assert copy.pk != run.pk and state(copy) == RunStatus.COMPLETED
    assert [message.body.split("\n")[0] for message in mail.outbox] == ["5", "5"]
    note = StepExecution.objects.get(run_id=copy.pk, event=StepExecution.Event.NOTE)
    assert note.why == [{"rule": "replay", "step": "tell", "origin": run.pk}]


def test_replaying_ends_the_open_branches(team: Team, run_at: Run) -> None:
    active(
        team,
        [{"key": "first", "type": "wait"}, fork(("a", [{"type": "wait_for", "with": {"events": [{"event": "x"}]}}]))],
    )
    run = a_run(team)
    run_at(NOON)
    child = PipelineRun.objects.get(parent=run)
    replay(run=run, step="first")
    assert (state(child), child.reason) == (RunStatus.CANCELLED, "replayed")
    run_at(later(hours=1))
    assert (state(run), run.open_children) == (RunStatus.WAITING, 1)
    with pytest.raises(CannotReplay):
        replay(run=child, step="first")


def test_cancelling_ends_branches_waits_and_mail(team: Team, run_at: Run) -> None:
    wait = {"type": "wait_for", "with": {"events": [{"event": "x"}]}}
    inner = {"key": "inner", "type": "parallel", "with": {"branches": [{"name": "deep", "steps": [wait]}]}}
    active(team, [fork(("a", [inner]), ("b", [email(delay="1d")]))])
    run = a_run(team)
    run_at(NOON)
    assert cancel_runs(run_ids=[run.pk]) == 4
    run_at(later(days=2))
    assert not mail.outbox and not PipelineRun.objects.filter(finished_at=None).exists()
    assert EventWait.objects.get().status == EventWait.Status.CANCELLED


def test_a_cancelled_branch_is_told_to_its_block(team: Team, run_at: Run) -> None:
    active(team, [fork(("a", [{"type": "wait", "delay": "9d"}]), on_branch_error="ignore")])
    run = a_run(team)
    run_at(NOON)
    cancel_runs(run_ids=[PipelineRun.objects.get(parent=run).pk])
    run_at(later(hours=1))
    assert (state(run), run.open_children) == (RunStatus.COMPLETED, 0)


def test_a_run_that_is_too_old_expires(team: Team, run_at: Run) -> None:
    active(team, [fork(("a", [{"type": "wait", "delay": "200d"}]))], settings={"expires_after": "P90D"})
    run = a_run(team)
    run_at(NOON)
    run_at(later(days=89))
    assert state(run) == RunStatus.WAITING
    run_at(later(days=90))
    assert (state(run), run.reason) == (RunStatus.CANCELLED, "expired")
    assert not PipelineRun.objects.filter(finished_at=None).exists()


def test_terminating_in_a_branch_ends_everything(team: Team, run_at: Run) -> None:
    stop = {"type": "end", "with": {"terminate": True, "reason": "won"}, "delay": "1h"}
    inner = {"key": "inner", "type": "parallel", "with": {"branches": [{"name": "deep", "steps": [stop]}]}}
    active(team, [fork(("a", [inner]), ("b", [{"type": "wait", "delay": "9d"}])), email()])
    run = a_run(team)
    run_at(NOON)
    run_at(later(hours=1))
    assert (state(run), run.reason) == (RunStatus.COMPLETED, "won")
    assert not PipelineRun.objects.filter(finished_at=None).exists() and not mail.outbox
