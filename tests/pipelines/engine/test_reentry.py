"""Who may enter a pipeline again, and when."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.enroll import enroll
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun
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
