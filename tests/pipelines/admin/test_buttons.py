"""Every button asks first, acts on POST only, and belongs to a role."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from contacts.models import Contact
from crm.models import AuditEntry, Team
from crm.teams import create_team
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations import export_document
from pipelines.states import RunStatus
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import PIPELINE, form_of, text_of
from tests.pipelines.engine.building import document, email

BUTTONS = ["publish", "pause", "archive", "duplicate", "export"]


def page(pipeline: Pipeline, name: str) -> str:
    return f"{PIPELINE}{pipeline.pk}/{name}/"


@pytest.mark.parametrize("name", BUTTONS)
def test_a_viewer_cannot_press_a_button(viewer: Client, welcome: Pipeline, name: str) -> None:
    assert viewer.get(page(welcome, name)).status_code == 403
    assert viewer.post(page(welcome, name), {}).status_code == 403
    welcome.refresh_from_db()
    assert welcome.status == Pipeline.Status.ACTIVE and Pipeline.objects.count() == 1


def test_a_viewer_sees_the_pipeline_and_no_way_to_change_it(viewer: Client, welcome: Pipeline) -> None:
    answer = viewer.get(page(welcome, "change"))
    html = answer.content.decode()
    assert answer.status_code == 200 and "Hello {{ contact.first_name }}" in html
    assert "/publish/" not in html and "data-handle" not in html and 'name="_save"' not in html
    assert viewer.post(page(welcome, "change"), {"name": "Mine"}).status_code == 403
    assert viewer.get(f"{PIPELINE}add/").status_code == 403
    assert viewer.get(f"{PIPELINE}import/").status_code == 403
    assert viewer.get(f"{PIPELINE}recipes/").status_code == 403


@pytest.mark.parametrize("name", ["publish", "pause", "archive", "duplicate"])
def test_looking_at_a_button_does_nothing(manager: Client, welcome: Pipeline, name: str) -> None:
    answer = manager.get(page(welcome, name))
    assert answer.status_code == 200 and "?" in text_of(answer)
    welcome.refresh_from_db()
    assert welcome.status == Pipeline.Status.ACTIVE and Pipeline.objects.count() == 1


@pytest.mark.parametrize("name", [*BUTTONS, "change", "history", "delete"])
def test_a_pipeline_of_another_team_does_not_exist(sign_in: SignIn, welcome: Pipeline, name: str) -> None:
    stranger = sign_in("owner", of=create_team(name="Other", slug="other"))
    assert stranger.get(page(welcome, name)).status_code in (302, 404)
    assert stranger.post(page(welcome, name), {}).status_code in (302, 404)
    welcome.refresh_from_db()
    assert welcome.status == Pipeline.Status.ACTIVE


def test_pausing_and_resuming_keep_the_runs(manager: Client, team: Team, welcome: Pipeline) -> None:
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    manager.post(page(welcome, "pause"), {})
    welcome.refresh_from_db()
    assert welcome.status == Pipeline.Status.PAUSED
    assert manager.post(page(welcome, "pause"), {}).status_code == 404
    unanswered = manager.post(page(welcome, "resume"), {})
    assert "Shift by the length of the pause" in text_of(unanswered)
    manager.post(page(welcome, "resume"), {"choice": "now"})
    welcome.refresh_from_db()
    assert welcome.status == Pipeline.Status.ACTIVE and PipelineRun.objects.get().status == RunStatus.PENDING


def test_archiving_asks_what_becomes_of_runs(manager: Client, team: Team, welcome: Pipeline) -> None:
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    assert "1 run is still on the way" in text_of(manager.get(page(welcome, "archive")))
    manager.post(page(welcome, "archive"), {"choice": "cancel"})
    welcome.refresh_from_db()
    assert welcome.status == Pipeline.Status.ARCHIVED
    assert PipelineRun.objects.get().status == RunStatus.CANCELLED
    assert AuditEntry.objects.filter(action="pipeline.archive", actor__username__startswith="manager").exists()


def test_a_copy_is_a_draft_with_the_same_steps(manager: Client, welcome: Pipeline) -> None:
    answer = manager.post(page(welcome, "duplicate"), {}, follow=True)
    copy = Pipeline.objects.get(key="welcome_copy")
    assert copy.status == Pipeline.Status.DRAFT and copy.steps.count() == 2
    assert "This is “Copy of Welcome”, a draft." in text_of(answer)


def test_an_export_comes_back_in_by_import(manager: Client, team: Team, welcome: Pipeline) -> None:
    download = manager.get(page(welcome, "export"))
    assert download["Content-Disposition"] == 'attachment; filename="welcome.json"'
    assert download.content.decode() == export_document(pipeline=welcome)
    text = download.content.decode().replace('"welcome"', '"welcome_two"')
    upload = SimpleUploadedFile("welcome.json", text.encode(), "application/json")
    answer = manager.post(f"{PIPELINE}import/", {"file": upload}, follow=True)
    assert "“Welcome” was imported." in text_of(answer)
    assert Pipeline.objects.get(key="welcome_two").steps.count() == 2


def test_an_import_lists_every_problem_with_its_path_and_keeps_the_text(manager: Client, team: Team) -> None:
    text = json.dumps(document([{"type": "nothing_known"}, {**email(), "delay": "soonish"}]))
    answer = manager.post(f"{PIPELINE}import/", {"text": text})
    seen = text_of(answer)
    assert "steps[0].type" in seen and "steps[1].delay" in seen
    assert '"soonish"' in form_of(answer, "import_form")["text"]
    assert not Pipeline.objects.exists()


def test_an_import_does_not_replace_unless_told_to(manager: Client, welcome: Pipeline) -> None:
    text = json.dumps(document([{"type": "wait"}]))
    answer = manager.post(f"{PIPELINE}import/", {"text": text})
    assert "already has a pipeline" in text_of(answer) and welcome.steps.filter(archived_at=None).count() == 2
    manager.post(f"{PIPELINE}import/", {"text": text, "replace": "on"})
    assert welcome.steps.filter(archived_at=None).count() == 1


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "Choose a file or paste a document."),
        ({"text": "{"}, "Not valid JSON: line 1"),
        ({"text": "[]"}, "object"),
        ({"text": "[" * 100_000}, "nested too deeply"),
    ],
    ids=["nothing", "broken", "a list", "deep"],
)
def test_what_is_no_document_is_refused_in_words(manager: Client, sent: dict[str, Any], said: str) -> None:
    answer = manager.post(f"{PIPELINE}import/", sent)
    assert answer.status_code == 200 and said in text_of(answer)


def test_a_team_without_pipelines_is_shown_how_to_begin(manager: Client, team: Team) -> None:
    empty = text_of(manager.get(PIPELINE))
    assert "No pipelines yet" in empty and "Start with a recipe" in empty and "Import a document" in empty


def test_only_a_pipeline_that_never_ran_can_be_deleted(sign_in: SignIn, team: Team, welcome: Pipeline) -> None:
    admin = sign_in("admin")
    run = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    asked = text_of(admin.get(page(welcome, "delete"), follow=True))
    assert "archive it instead" in asked and "Delete this pipeline?" not in asked
    answer = admin.post(page(welcome, "delete"), {}, follow=True)
    assert "archive it instead" in text_of(answer) and PipelineRun.objects.filter(subject_id=run.pk).exists()
    PipelineRun.objects.all().delete()
    assert "Delete this pipeline?" in text_of(admin.get(page(welcome, "delete")))
    admin.post(page(welcome, "delete"), {})
    assert not Pipeline.objects.exists()
