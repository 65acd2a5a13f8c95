"""Runs of contacts that turn out to be one person."""

from typing import Any

from contacts.models import Contact
from contacts.operations import merge_contacts
from crm.models import Team
from pipelines.engine.enroll import enroll
from pipelines.models import PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.engine.building import active, later
from tests.pipelines.engine.conftest import Run


def created(reentry: Any) -> list[dict[str, Any]]:
    return [{"type": "created", "model": "contacts.contact", "automatic": True, "reentry": reentry}]


WAIT = [{"type": "wait", "delay": "1h"}]


def test_the_run_goes_on_for_the_contact_that_stays(team: Team, run_at: Run) -> None:
    keep = Contact.objects.create(team=team, email="a@example.org")
    pipeline = active(team, WAIT)
    other = Contact.objects.create(team=team, email="b@example.org")
    merge_contacts(keep=keep, others=[other])
    run = PipelineRun.objects.get()
    assert run.subject_id == keep.pk
    assert not enroll(pipeline=pipeline, subject_ids=[keep.pk]).enrolled
    run_at(later(hours=1))
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED
    assert enroll(pipeline=pipeline, subject_ids=[keep.pk]).enrolled


def test_nobody_is_left_twice_in_a_pipeline(team: Team, run_at: Run) -> None:
    active(team, WAIT)
    keep, *others = (Contact.objects.create(team=team, email=f"{name}@example.org") for name in "abc")
    merge_contacts(keep=keep, others=others)
    statuses = PipelineRun.objects.order_by("pk").values_list("status", "reason")
    assert list(statuses) == [
        (RunStatus.PENDING, None),
        (RunStatus.CANCELLED, "merged"),
        (RunStatus.CANCELLED, "merged"),
    ]


def test_once_still_means_once_after_merging(team: Team, run_at: Run) -> None:
    keep = Contact.objects.create(team=team, email="keep@example.org")
    pipeline = active(team, WAIT, triggers=created("once"))
    others = [Contact.objects.create(team=team, email=f"{name}@example.org") for name in "ab"]
    run_at(later(hours=1))
    merge_contacts(keep=keep, others=others)
    again = enroll(pipeline=pipeline, subject_ids=[keep.pk], trigger=pipeline.triggers.get())
    assert not again.enrolled


def test_a_key_made_from_a_value_is_left_alone(team: Team, run_at: Run) -> None:
    active(team, WAIT, triggers=created({"key": "{{ contact.phone }}"}))
    keep = Contact.objects.create(team=team, email="a@example.org", phone="1")
    other = Contact.objects.create(team=team, email="b@example.org", phone="2")
    before = PipelineRun.objects.get(subject_id=other.pk).dedup
    PipelineRun.objects.filter(subject_id=keep.pk).delete()
    merge_contacts(keep=keep, others=[other])
    assert PipelineRun.objects.get().dedup == before
