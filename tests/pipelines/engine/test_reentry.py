"""Who may enter a pipeline again, and when."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.controls import retry_runs
from pipelines.engine.enroll import enroll
from pipelines.engine.rekeying import entered_again
from pipelines.engine.replaying import CannotReplay, replay
from pipelines.engine.retrying import entered_again_at, retry_failed_at
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun, RunContext
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run

WAIT = [{"type": "wait", "delay": "1h"}]


def pipeline_with(team: Team, reentry: Any) -> Pipeline:
    trigger = {"type": "created", "model": "contacts.contact", "automatic": True, "reentry": reentry}
    return active(team, WAIT, triggers=[trigger])


def enter(pipeline: Pipeline, contact: Contact) -> list[int]:
    return enroll(pipeline=pipeline, subject_ids=[contact.pk], trigger=pipeline.triggers.get()).enrolled


def test_nobody_is_twice_in_a_pipeline_at_the_same_time(team: Team, run_at: Run) -> None:
    pipeline = active(team, WAIT)
    contact = Contact.objects.create(team=team, email="a@example.org")
    refused = enroll(pipeline=pipeline, subject_ids=[contact.pk])
    assert not refused.enrolled and contact.pk in refused.decisions
    run_at(later(hours=1))
    assert enroll(pipeline=pipeline, subject_ids=[contact.pk]).enrolled


def test_once_means_once_for_ever(team: Team, run_at: Run) -> None:
    pipeline = pipeline_with(team, "once")
    contact = Contact.objects.create(team=team, email="a@example.org")
    run_at(later(hours=1))
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED
    assert enter(pipeline, contact) == []


def test_always_lets_the_same_person_run_beside_herself(team: Team, run_at: Run) -> None:
    pipeline = pipeline_with(team, "always")
    contact = Contact.objects.create(team=team, email="a@example.org")
    assert len(enter(pipeline, contact)) == 1
    assert PipelineRun.objects.count() == 2


def test_restart_ends_the_running_one_and_begins_again(team: Team, run_at: Run) -> None:
    pipeline = pipeline_with(team, "restart")
    contact = Contact.objects.create(team=team, email="a@example.org")
    (new,) = enter(pipeline, contact)
    old = PipelineRun.objects.exclude(pk=new).get()
    assert old.status == RunStatus.CANCELLED
    assert PipelineRun.objects.get(pk=new).status == RunStatus.PENDING


def test_after_a_while_one_may_come_again(team: Team, run_at: Run) -> None:
    pipeline = pipeline_with(team, {"after": "30d"})
    contact = Contact.objects.create(team=team, email="a@example.org")
    run_at(later(hours=1))
    assert enter(pipeline, contact) == []
    run_at(later(days=31))
    assert len(enter(pipeline, contact)) == 1


@pytest.mark.parametrize("twice", [False, True], ids=["apart", "in one batch"])
def test_a_person_named_twice_enters_once(team: Team, run_at: Run, twice: bool) -> None:
    contact = Contact.objects.create(team=team, email="a@example.org")
    pipeline = active(team, WAIT)
    if twice:
        enroll(pipeline=pipeline, subject_ids=[contact.pk, contact.pk])
    else:
        enroll(pipeline=pipeline, subject_ids=[contact.pk])
        enroll(pipeline=pipeline, subject_ids=[contact.pk])
    assert PipelineRun.objects.count() == 1


def test_a_contact_of_another_team_is_refused(team: Team, run_at: Run) -> None:
    stranger = Contact.objects.create(team=Team.objects.create(name="B", slug="b"), email="b@example.org")
    pipeline = active(team, WAIT)
    result = enroll(pipeline=pipeline, subject_ids=[stranger.pk], now=NOON)
    assert not result.enrolled and not PipelineRun.objects.exists()
    assert EnrollmentDecision.objects.get().decision == EnrollmentDecision.Decision.ERROR


COPY = {"key": "copy", "type": "update_record", "with": {"values": {"lead_source": "= contact.job_title"}}}
LONG = "x" * 120


@pytest.mark.parametrize(
    ("reentry", "shares"),
    [
        (None, True),
        ("restart", True),
        ({"key": "{{ contact.email }}"}, True),
        ({"key": "{{ trigger.order }}"}, True),
        ("always", False),
    ],
)
def test_who_failed_and_came_in_again_does_not_go_on_a_second_time(
    team: Team, run_at: Run, reentry: Any, shares: bool
) -> None:
    trigger = {"type": "event", "event": "order", **({"reentry": reentry} if reentry else {})}
    pipeline = active(team, [COPY, *WAIT], triggers=[trigger])
    contact = Contact.objects.create(team=team, email="a@example.org", job_title=LONG)
    way = pipeline.triggers.get()
    first, second, third = (ordered(pipeline, contact, at=later(minutes=n), run_at=run_at) for n in range(3))
    assert len(PipelineRun.objects.filter(pk__in=[first, second, third], status=RunStatus.FAILED)) == 3
    Contact.objects.update(job_title="short")
    again = {first: third, second: third} if shares else {}
    assert entered_again([first, second, third]) == again
    assert entered_again_at(pipeline=pipeline, step="copy") == again
    assert retry_failed_at(pipeline=pipeline, step="copy") == 3 - len(again)
    # Alone it is asked as it is among many, and so it is when it is replayed.
    assert retry_runs(run_ids=[first]) == 0
    if shares:
        with pytest.raises(CannotReplay, match=f"in run {third}"):
            replay(run=PipelineRun.objects.get(pk=first), step="copy")
    entered = enroll(pipeline=pipeline, subject_ids=[contact.pk], trigger=way, payload={"order": 5}).enrolled
    assert bool(entered) is (not shares or reentry == "restart")
    run_at(later(hours=2))
    run_at(later(hours=4))
    # Nobody is in the way any more; who is back keeps others out, wherever it was put.
    if shares:
        replay(run=PipelineRun.objects.get(pk=first), step="copy")
        assert entered_again([second]) == {second: first}
        assert PipelineRun.objects.get(pk=first).dedup is not None


def ordered(pipeline: Pipeline, contact: Contact, *, at: Any, run_at: Run) -> int:
    (run,) = enroll(
        pipeline=pipeline, subject_ids=[contact.pk], trigger=pipeline.triggers.get(), payload={"order": 5}
    ).enrolled
    run_at(at)
    return run


def test_a_key_that_cannot_be_worked_out_any_more_keeps_nobody_from_going_on(team: Team, run_at: Run) -> None:
    trigger = {"type": "event", "event": "order", "reentry": {"key": "= trigger.order + 1"}}
    pipeline = active(team, [COPY, *WAIT], triggers=[trigger])
    contact = Contact.objects.create(team=team, job_title=LONG)
    run = ordered(pipeline, contact, at=NOON, run_at=run_at)
    RunContext.objects.update(trigger={"order": "gone"})
    Contact.objects.update(job_title="short")
    assert retry_runs(run_ids=[run]) == 1
    assert PipelineRun.objects.get(pk=run).dedup is None
