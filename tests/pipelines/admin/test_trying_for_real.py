"""The page that starts a test run says what is real and what is not, and the run says that it is a test."""

from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from contacts.models import Contact
from crm.models import Message, Team
from pipelines.engine.enroll import enroll
from pipelines.engine.retrying import failed_at, failures
from pipelines.engine.tick import process_due_runs
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations import import_document
from pipelines.states import RunStatus
from tests.pipelines.admin.pages import text_of
from tests.pipelines.engine.building import active, document, email

STEPS: list[dict[str, Any]] = [
    {"key": "mark", "name": "Make a customer", "type": "update_record",
     "with": {"values": {"lifecycle_stage": "customer"}}},
    email(key="hello", name="Say hello"),
    {"key": "ask", "type": "call_api",
     "with": {"url": "https://example.org/order", "body": {"a": "{{ contact.email }}"}}},
]  # fmt: skip


@pytest.fixture
def pipeline(team: Team) -> Pipeline:
    return active(team, STEPS, triggers=[{"type": "manual"}])


@pytest.fixture
def ann(team: Team) -> Contact:
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")


def address(pipeline: Pipeline) -> str:
    return f"/admin/pipelines/pipeline/{pipeline.pk}/test-run/"


def test_the_page_says_what_is_real_before_anything_begins(manager: Client, pipeline: Pipeline) -> None:
    page = manager.get(reverse("admin:pipelines_pipeline_change", args=[pipeline.pk])).content.decode()
    assert address(pipeline) in page
    said = text_of(manager.get(address(pipeline)))
    assert "What its steps change of records is real, and stays." in said
    changes, _, captured = said.partition("Nothing leaves.")
    assert "Make a customer" in changes and "Say hello" not in changes
    assert "Say hello" in captured and "Make a customer" not in captured
    assert not PipelineRun.objects.exists()


def test_a_test_run_is_begun_for_who_is_named_and_its_page_tells_what_did_not_happen(
    manager: Client, pipeline: Pipeline, ann: Contact
) -> None:
    answer = manager.post(address(pipeline), {"record": "ann@example.org"})
    run = PipelineRun.objects.get()
    page = reverse("admin:pipelines_pipelinerun_change", args=[run.pk])
    assert (run.test, answer.headers["Location"]) == (True, page)
    process_due_runs()
    said = text_of(manager.get(page))
    assert "A test run: nothing of it is sent" in said
    assert "captured by this test run, not sent" in said
    assert "Would call POST https://example.org/order" in said and "ann@example.org" in said
    assert "Sent ‘" not in said and not mail.outbox
    messages = text_of(manager.get(reverse("admin:crm_message_changelist")))
    assert "Captured by a test" in messages


def test_lists_say_which_runs_are_tests_and_can_show_them_alone(
    manager: Client, pipeline: Pipeline, ann: Contact
) -> None:
    manager.post(address(pipeline), {"record": str(ann.pk)})
    runs = reverse("admin:pipelines_pipelinerun_changelist")
    assert "Test: Ann" in text_of(manager.get(runs))
    assert "Test: Ann" in text_of(manager.get(runs, {"test": "yes"}))
    assert "Test: Ann" not in text_of(manager.get(runs, {"test": "no"}))


def test_a_failed_one_is_no_failure_and_the_page_of_its_contact_says_that_it_was_a_test(
    manager: Client, team: Team, ann: Contact
) -> None:
    step = {"key": "set", "type": "set_variable", "with": {"n": "= 1 / contact.custom.score"}}
    pipeline = active(team, [step], variables=[{"name": "n", "type": "number"}], triggers=[{"type": "manual"}])
    bob = Contact.objects.create(team=team, first_name="Bob", email="bob@example.org")
    (real,) = enroll(pipeline=pipeline, subject_ids=[bob.pk]).enrolled
    manager.post(address(pipeline), {"record": str(ann.pk)})
    process_due_runs()
    test = PipelineRun.objects.get(test=True)
    assert test.status == RunStatus.FAILED
    first_page = manager.get("/admin/").content.decode()
    assert [reverse("admin:pipelines_pipelinerun_change", args=[pk]) in first_page for pk in (real, test.pk)] == [
        True, False,
    ]  # fmt: skip
    assert [each.runs for each in failures(pipeline=pipeline)] == [1]
    assert list(failed_at(pipeline=pipeline, step="set").values_list("pk", flat=True)) == [real]
    page = text_of(manager.get(reverse("admin:contacts_contact_change", args=[ann.pk])))
    assert "Test: Welcome" in page and "Test: Entered Welcome" in page and "Test: Failed: Welcome" in page


def test_among_several_one_chooses_and_nobody_is_told(manager: Client, pipeline: Pipeline, team: Team) -> None:
    for name in ("Ann", "Anna"):
        Contact.objects.create(team=team, first_name=name, last_name="Berg", email=f"{name}@example.org")
    answer = manager.post(address(pipeline), {"record": "Berg"})
    assert "Whom do you mean?" in text_of(answer) and not PipelineRun.objects.exists()
    assert "Nobody is found by “Zed”." in text_of(manager.post(address(pipeline), {"record": "Zed"}))
    assert "There is no such record" in text_of(manager.post(address(pipeline), {"record": "999999"}))
    anna = Contact.objects.get(first_name="Anna")
    manager.post(address(pipeline), {"record": ["Berg", str(anna.pk)]})
    assert PipelineRun.objects.get().subject_id == anna.pk


def test_a_draft_without_a_version_says_what_to_do(manager: Client, team: Team, ann: Contact) -> None:
    draft = import_document(team=team, document=document(STEPS, key="draft"))
    assert "publish it first" in text_of(manager.get(address(draft)))
    assert "publish it first" in text_of(manager.post(address(draft), {"record": str(ann.pk)}))
    assert not PipelineRun.objects.exists()


def test_who_may_enroll_nobody_tests_nothing(viewer: Client, pipeline: Pipeline, ann: Contact) -> None:
    assert viewer.post(address(pipeline), {"record": str(ann.pk)}).status_code == 403
    assert not PipelineRun.objects.exists() and not Message.objects.exists()
