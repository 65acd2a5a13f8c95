"""Every action keeps the contract of actions, and the small ones do what they say."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Company, Contact
from crm.models import Member, Notification, Task, Team
from pipelines.actions.base import Kind
from pipelines.actions.registry import kinds
from pipelines.models import PipelineRun, StepExecution
from pipelines.operations import InvalidDocument
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later, log
from tests.pipelines.engine.conftest import Run
from tests.sinks.smtp import SmtpSink


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.code)
def test_every_action_can_be_shown_and_explained(kind: Kind) -> None:
    assert kind.label and kind.description.endswith(".") and kind.icon and kind.group
    assert type(kind).__doc__
    assert kind.schema["type"] == "object"
    assert kind.schema.get("additionalProperties") is False or kind.schema.get("x-widget") == "fields"
    for name, field in kind.schema.get("properties", {}).items():
        assert field.get("title"), name
    assert kind.outcomes or kind.code == "end"


STRICT = [kind for kind in kinds().values() if kind.schema.get("additionalProperties") is False]


@pytest.mark.parametrize("kind", STRICT, ids=lambda kind: kind.code)
def test_every_action_refuses_what_it_does_not_know_with_its_path(team: Team, kind: Kind) -> None:
    with pytest.raises(InvalidDocument) as refused:
        active(team, [{"type": kind.code, "with": {"nonsense": 1}}])
    assert any(problem.path.startswith("steps[0]") for problem in refused.value.problems)


@pytest.fixture
def ann(team: Team) -> User:
    user = User.objects.create_user("ann", email="ann@acme.example")
    Member.objects.create(team=team, user=user, role="owner")
    return user


def one(team: Team, *steps: dict[str, Any], **values: Any) -> PipelineRun:
    active(team, list(steps))
    Contact.objects.create(team=team, first_name="Bo", email="bo@example.org", **values)
    return PipelineRun.objects.get()


@pytest.mark.parametrize(
    ("title", "said", "read"),
    [
        ("Call {{ contact.first_name }}", "Call Bo", {"first_name"}),
        ("{{ subject.name }} at {{ contact.company.name }}", "Bo Berg at Acme", {"first_name", "last_name"}),
        ("{{ contact.plan }}, {{ contact.custom.plan }}", "gold, gold", {"custom"}),
        ("{{ contact }}", "", {"first_name", "last_name", "email", "phone", "custom"}),
    ],
)
def test_a_step_finds_what_it_reads_of_its_subject_and_nothing_else_is_fetched(
    team: Team, run_at: Run, title: str, said: str, read: set[str]
) -> None:
    company = Company.objects.create(team=team, name="Acme")
    one(
        team,
        {"type": "create_task", "with": {"title": title}},
        last_name="Berg",
        company=company,
        custom={"plan": "gold"},
    )
    with CaptureQueriesContext(connection) as queries:
        run_at(NOON)
    task = Task.objects.get()
    assert task.title == said if said else "bo@example.org" in task.title
    (asked,) = {
        query["sql"] for query in queries if 'FROM "contacts_contact"' in query["sql"] and "timezone" in query["sql"]
    }
    for name in ("first_name", "last_name", "email", "phone", "custom"):
        assert (f'"contacts_contact"."{name}"' in asked) is (name in read), name


def test_a_task_lands_on_the_list_of_the_right_person(team: Team, run_at: Run, ann: User) -> None:
    one(team, {"type": "create_task", "with": {"title": "Call {{ contact.first_name }}", "assignee": "ann@acme.example",
                                              "due": "2d", "priority": "high"}})  # fmt: skip
    run_at(NOON)
    task = Task.objects.get()
    assert (task.title, task.assignee, task.due_at, task.priority) == ("Call Bo", ann, later(days=2), "high")
    assert str(task.subject) == "Bo"


def test_a_stranger_gets_no_task(team: Team, run_at: Run, ann: User) -> None:
    with pytest.raises(InvalidDocument):
        one(team, {"type": "create_task", "with": {"title": "x", "assignee": "stranger@else.example"}})


def test_a_note_reaches_the_owners(team: Team, run_at: Run, ann: User) -> None:
    one(team, {"type": "notify", "with": {"title": "New: {{ contact.first_name }}"}})
    run_at(NOON)
    note = Notification.objects.get()
    assert (note.user, note.title) == (ann, "New: Bo")


def test_an_end_ends(team: Team, run_at: Run) -> None:
    run = one(team, {"type": "end"}, email())
    run_at(NOON)
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED and StepExecution.objects.count() == 1


def test_a_related_record_can_be_changed(team: Team, run_at: Run) -> None:
    company = Company.objects.create(team=team, name="Acme")
    one(team, {"type": "update_record", "with": {"record": "{{ contact.company }}", "values": {"industry": "Tea"}}},
        company=company)  # fmt: skip
    run_at(NOON)
    company.refresh_from_db()
    assert company.industry == "Tea"


def test_a_value_that_its_column_refuses_fails_the_step_with_a_sentence(team: Team, run_at: Run) -> None:
    step = {"type": "update_record", "with": {"values": {"lifecycle_stage": "{{ contact.last_name }}"}}}
    run = one(team, step, last_name="King")
    run_at(NOON)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert "lifecycle_stage" in (StepExecution.objects.get().error or "")


def test_files_are_attached_by_reference(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    default_storage.save("attachments/acme/brochures/intro.txt", ContentFile("Grüße".encode()))
    step = email()
    step["with"]["attachments"] = [{"file": "brochures/intro.txt", "name": "Intro.txt"}]
    one(team, step)
    run_at(NOON)
    (mail,) = smtp.messages()
    (part,) = mail.iter_attachments()
    assert (part.get_filename(), part.get_payload(decode=True)) == ("Intro.txt", "Grüße".encode())


@pytest.mark.parametrize("file", ["none.txt", "../../etc/passwd", "/etc/passwd", "../other/secret.txt"])
def test_a_file_that_is_not_there_fails_the_step_and_nothing_else_is_read(
    team: Team, run_at: Run, smtp: SmtpSink, file: str
) -> None:
    default_storage.save("attachments/other/secret.txt", ContentFile(b"secret"))
    step = email()
    step["with"]["attachments"] = [{"file": file}]
    run = one(team, step)
    run_at(NOON)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED and not smtp.recipients()


def test_a_failed_step_may_let_the_run_go_on(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    values = {"lifecycle_stage": "{{ contact.last_name }}"}
    bad = {"type": "update_record", "with": {"values": values}, "on": {"error": "next"}}
    run = one(team, bad, email(), last_name="King")
    run_at(NOON)
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED
    assert [outcome for _, _, outcome in log(run)] == ["error", "next"]
