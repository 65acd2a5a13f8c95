"""The eight example documents go in as they are, come out as they went in, and reach people over every channel."""

import json
from pathlib import Path

import pytest
from pytest_django import Settings

from contacts.models import Contact, RecordType, Segment
from crm.channels.captured import captured_names, read_captured
from crm.models import MessageTemplate, Team
from pipelines.engine.clock import pretend
from pipelines.engine.enroll import enroll
from pipelines.engine.tick import process_due_runs
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations import export_document, import_document
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, later

FOLDER = Path(__file__).parents[1] / "definition" / "examples"
# Those that others call come first.
NAMES = sorted((path.stem for path in FOLDER.glob("*.json")), key=lambda name: (name == "everything", name))


def named_in(name: str) -> set[str]:
    """The templates that a document names."""
    found: set[str] = set()

    def look(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("template"), str):
                found.add(value["template"])
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    look(json.loads((FOLDER / f"{name}.json").read_text()))
    return found


@pytest.fixture
def team(db: None, settings: Settings, tmp_path: Path) -> Team:
    """A team that has what the examples name, on a machine where messages are captured."""
    settings.PIPELINES_CODE_STEPS = True
    settings.CAPTURED_MAIL_DIR = str(tmp_path / "mail")
    settings.EMAIL_BACKEND = "crm.channels.captured.EmailBackend"
    settings.MESSAGE_CHANNELS = dict.fromkeys(("sms", "push", "whatsapp"), "crm.channels.captured.LetterBox")
    made = Team.objects.create(name="Acme", slug="acme")
    for key in sorted(set().union(*map(named_in, NAMES))):
        MessageTemplate.objects.create(team=made, key=key, name=key, subject=key, text=f"Template {key}")
    for key in ("product", "purchase_order"):
        RecordType.objects.create(team=made, key=key, label=key)
    Segment.objects.create(team=made, key="hot", name="Hot")
    return made


def imported(team: Team, name: str) -> Pipeline:
    document = json.loads((FOLDER / f"{name}.json").read_text())
    return import_document(team=team, document=document, activate=True)


def test_all_eight_are_imported_activated_and_come_out_as_they_went_in(team: Team) -> None:
    assert len(NAMES) == 8
    for name in NAMES:
        pipeline = imported(team, name)
        assert pipeline.status == Pipeline.Status.ACTIVE
        text = export_document(pipeline=pipeline)
        again = import_document(team=team, document=json.loads(text))
        assert again.pk == pipeline.pk and export_document(pipeline=again) == text, name


def test_the_retention_campaign_mails_and_pushes_on_a_weekday_morning(team: Team) -> None:
    pipeline = imported(team, "customer_retention")
    ann = Contact.objects.create(
        team=team, first_name="Ann", email="ann@example.org", timezone="Europe/Paris", custom={"device_token": "tok1"}
    )
    with pretend(NOON):
        enroll(pipeline=pipeline, subject_ids=[ann.pk])
        process_due_runs()
    assert captured_names() == []
    with pretend(later(days=1)):
        while process_due_runs().more:
            pass
    kept = [read_captured(name) for name in reversed(captured_names())]
    shown = [(str(mail["X-Channel"] or "email"), str(mail["Subject"])) for mail in kept if mail is not None]
    assert shown == [("email", "We miss you!"), ("push", "Come back!")]
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED
