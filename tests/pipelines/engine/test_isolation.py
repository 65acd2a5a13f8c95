"""One bad run, and the others that must not notice."""

from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from pytest_django import Settings

from contacts.models import Company, Contact
from crm.models import Member, Message, Team
from pipelines.actions.base import Create, Done, Input, Kind, Outcome, Update
from pipelines.actions.registry import kinds
from pipelines.definition.program import Step
from pipelines.engine.enroll import enroll
from pipelines.models import PipelineRun, PipelineStep, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.sinks.smtp import SmtpSink


class Picky(Kind):
    """Raises for one contact."""

    code = "custom.picky"
    label = "Picky"

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._one(visit) for visit in batch]

    def _one(self, visit: Input) -> Outcome:
        subject: Any = visit.subject
        if subject["first_name"] == "Bad":
            raise ZeroDivisionError("no")
        return Done()


class Overflow(Kind):
    """Asks for a change that only the database finds out to be impossible."""

    code = "custom.overflow"
    label = "Overflow"

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._one(visit) for visit in batch]

    def _one(self, visit: Input) -> Outcome:
        subject: Any = visit.subject
        company = 999_999_999 if subject["first_name"] == "Bad" else None
        return Done(changes=(Update("contacts.contact", subject["id"], {"company": company}),))


@pytest.fixture(autouse=True)
def actions_of_a_project(settings: Settings) -> Any:
    settings.PIPELINES_ACTIONS = [f"{__name__}.Picky", f"{__name__}.Overflow"]
    kinds.cache_clear()
    yield
    kinds.cache_clear()


def ten_contacts(team: Team) -> None:
    for number in range(10):
        Contact.objects.create(team=team, first_name="Bad" if number == 4 else "Good", email=f"c{number}@example.org")


def test_an_action_that_raises_fails_its_run_alone(team: Team, run_at: Run) -> None:
    active(team, [{"type": "custom.picky"}, email()])
    ten_contacts(team)
    run_at(NOON)
    assert len(mail.outbox) == 9
    failed = PipelineRun.objects.get(status=RunStatus.FAILED)
    assert "ZeroDivisionError" in (StepExecution.objects.get(run_id=failed.pk).error or "")


@pytest.mark.django_db(transaction=True)
def test_a_write_that_the_database_refuses_fails_its_run_alone(transactional_team: Team, run_at: Run) -> None:
    active(transactional_team, [{"type": "custom.overflow"}, email()])
    ten_contacts(transactional_team)
    run_at(NOON)
    assert len(mail.outbox) == 9
    assert PipelineRun.objects.filter(status=RunStatus.FAILED).count() == 1


@pytest.fixture
def transactional_team(transactional_db: None) -> Team:
    return Team.objects.create(name="Acme", slug="acme")


@pytest.mark.parametrize("values", [{"company": "= foreign"}, {"owner": "= foreign"}], ids=["company", "owner"])
def test_a_step_cannot_point_a_record_at_another_team(team: Team, run_at: Run, values: dict[str, Any]) -> None:
    other = Team.objects.create(name="B", slug="b")
    foreign = Company.objects.create(team=other, name="Theirs")
    stranger = User.objects.create_user("stranger")
    Member.objects.create(team=other, user=stranger)
    default = foreign.pk if "company" in values else stranger.pk
    active(team, [{"type": "update_record", "with": {"values": values}}],
           variables=[{"name": "foreign", "type": "number", "default": default}])  # fmt: skip
    contact = Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    contact.refresh_from_db()
    assert (contact.company_id, contact.owner_id) == (None, None)
    assert "no such record" in (StepExecution.objects.get().error or "")


def test_a_step_cannot_write_to_a_record_of_another_team(team: Team, run_at: Run) -> None:
    theirs = Contact.objects.create(team=Team.objects.create(name="B", slug="b"), first_name="Untouched")
    record = {"id": theirs.pk, "model": "contacts.contact"}
    active(team, [{"type": "update_record", "with": {"record": record, "values": {"first_name": "Hacked"}}}])
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    theirs.refresh_from_db()
    assert theirs.first_name == "Untouched"
    assert PipelineRun.objects.get().status == RunStatus.FAILED


def test_a_step_that_no_value_fits_stops_neither_its_pipeline_nor_another_team(
    team: Team, run_at: Run, smtp: SmtpSink
) -> None:
    """The values are refused by neither database: they break while the batch is written."""
    wrong = {"type": "update_record", "with": {"values": {"owner": "{{ contact.email }}"}}}
    active(team, [wrong, email()], key="wrong")
    other = Team.objects.create(name="Other", slug="other")
    active(other, [email()], key="right")
    Contact.objects.create(team=team, email="a@example.org")
    Contact.objects.create(team=other, email="b@example.org")
    run_at(NOON)
    assert smtp.recipients() == ["b@example.org"]
    assert PipelineRun.objects.for_team(team).get().status == RunStatus.FAILED


def test_a_bad_step_after_a_mail_leaves_the_mail_settled(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    wrong = {"type": "update_record", "with": {"values": {"owner": "{{ contact.job_title }}"}}}
    active(team, [email(), wrong])
    for name, title in (("ann", "x"), ("bob", "")):
        Contact.objects.create(team=team, email=f"{name}@example.org", job_title=title)
    run_at(NOON)
    assert sorted(smtp.recipients()) == ["ann@example.org", "bob@example.org"]
    assert set(Message.objects.values_list("state", flat=True)) == {"sent"}


def test_a_refused_step_does_not_fail_the_steps_of_its_error_path(team: Team, run_at: Run) -> None:
    wrong = {"type": "update_record", "with": {"values": {"owner": "{{ contact.email }}"}}, "on": {"error": "next"}}
    active(team, [wrong, {"type": "update_record", "with": {"values": {"lead_source": "went on"}}}])
    contact = Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    contact.refresh_from_db()
    assert contact.lead_source == "went on" and PipelineRun.objects.get().status == RunStatus.COMPLETED


def test_a_run_of_another_team_in_the_same_batch_writes_nothing_of_ours(
    team: Team, run_at: Run, smtp: SmtpSink
) -> None:
    other = Team.objects.create(name="Other", slug="other")
    ours = Contact.objects.create(team=team, email="ann@example.org")
    into = {"record": "{{ contact.custom.rec }}", "values": {"job_title": "not theirs"}}
    active(other, [email(), {"type": "update_record", "with": into}], key="theirs")
    Contact.objects.create(
        team=other, email="eve@example.org", custom={"rec": {"id": ours.pk, "model": "contacts.contact"}}
    )
    mark = {"type": "update_record", "with": {"values": {"lead_source": "x"}}}
    pipeline = active(team, [email(), mark], key="ours", triggers=[])
    enroll(pipeline=pipeline, subject_ids=[ours.pk], now=NOON)
    run_at(NOON)
    ours.refresh_from_db()
    assert (ours.job_title, ours.lead_source) == ("", "x")


@pytest.mark.django_db(transaction=True)
def test_what_the_database_refuses_is_told_at_the_step_that_wrote_it(transactional_team: Team, run_at: Run) -> None:
    """A run goes through several steps in one transaction; the one that cannot be written takes its own error edge."""
    steps = [
        {"key": "first", "type": "set_variable", "with": {"n": 1}, "on": {"error": "fail"}},
        {"key": "wrong", "type": "custom.overflow", "on": {"error": "next"}},
        email(key="told"),
    ]
    active(transactional_team, steps, variables=[{"name": "n", "type": "number"}])
    ten_contacts(transactional_team)
    run_at(NOON)
    assert len(mail.outbox) == 10
    told = StepExecution.objects.get(error__startswith="The database refused this step")
    assert (PipelineStep.objects.get(pk=told.step_id).key, told.outcome) == ("wrong", "error")


@pytest.mark.django_db(transaction=True)
def test_others_go_on_when_what_the_error_path_writes_is_refused_too(transactional_team: Team, run_at: Run) -> None:
    wrong = {"type": "custom.overflow", "on": {"error": "next"}}
    active(transactional_team, [{"key": "wrong", **wrong}, {"key": "again", **wrong}, email(key="told")])
    ten_contacts(transactional_team)
    run_at(NOON)
    assert len(mail.outbox) == 10
    assert StepExecution.objects.filter(error__startswith="The database refused this step").count() == 2


@pytest.mark.django_db(transaction=True)
def test_what_the_database_refuses_may_be_tried_again(transactional_team: Team, run_at: Run) -> None:
    wrong = {"key": "wrong", "type": "custom.overflow", "retry": {"max": 2, "delay": "10m", "on": ["database"]}}
    active(transactional_team, [wrong, email()])
    ten_contacts(transactional_team)
    run_at(NOON)
    run = PipelineRun.objects.get(status=RunStatus.PENDING)
    assert (run.attempt, run.next_step_at, len(mail.outbox)) == (1, later(minutes=10), 9)
    Contact.objects.filter(first_name="Bad").update(first_name="Good")
    run_at(later(minutes=10))
    run.refresh_from_db()
    assert (run.status, len(mail.outbox)) == (RunStatus.COMPLETED, 10)


def test_a_value_that_does_not_fit_may_be_tried_again(team: Team, run_at: Run) -> None:
    given = {"values": {"owner": "{{ contact.job_title }}"}}
    active(team, [{"type": "update_record", "with": given, "retry": {"max": 1, "delay": "1h", "on": ["validation"]}}])
    Contact.objects.create(team=team, email="a@example.org", job_title="nobody")
    run_at(NOON)
    run = PipelineRun.objects.get()
    assert (run.status, run.attempt) == (RunStatus.PENDING, 1)
    Contact.objects.update(job_title="")
    run_at(later(hours=1))
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED


class Twofold(Kind):
    """Makes a record and changes another, which may be impossible."""

    code = "custom.twofold"
    label = "Twofold"

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._one(visit) for visit in batch]

    def _one(self, visit: Input) -> Outcome:
        subject: Any = visit.subject
        made = Create("contacts.company", {"columns": {"name": f"Of {subject['first_name']}"}, "custom": {}})
        return Done(changes=(made, Update("contacts.contact", subject["id"], {"owner": subject["job_title"] or None})))


def test_nothing_is_left_of_a_visit_that_is_tried_again(team: Team, run_at: Run, settings: Settings) -> None:
    settings.PIPELINES_ACTIONS = [f"{__name__}.Twofold"]
    kinds.cache_clear()
    active(team, [{"type": "custom.twofold", "retry": {"max": 3, "delay": "1h"}}])
    Contact.objects.create(team=team, first_name="Ann", job_title="nobody")
    for hours in (0, 1):
        run_at(later(hours=hours))
    assert not Company.objects.exists()
    Contact.objects.update(job_title="")
    run_at(later(hours=2))
    assert Company.objects.get().name == "Of Ann"
