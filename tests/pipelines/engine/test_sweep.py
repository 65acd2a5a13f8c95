"""Records that no signal announced, and enrollments that failed."""

from typing import Any

import pytest
from django.core import mail
from django.db import OperationalError, connection

from contacts.models import Contact
from crm.models import Team
from pipelines.engine import automatic, sweep
from pipelines.engine.clock import pretend
from pipelines.models import EngineState, EnrollmentDecision, PipelineRun
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.project.processes import eventually


def test_rows_written_past_every_signal_are_found(team: Team, run_at: Run) -> None:
    active(team, [email()])
    Contact.objects.bulk_create([Contact(team=team, email=f"c{n}@example.org") for n in range(20)])
    assert not PipelineRun.objects.exists()
    assert run_at(NOON).enrolled == 20
    assert len(mail.outbox) == 20
    assert run_at(NOON).enrolled == 0


def test_who_was_there_before_the_pipeline_is_left_alone(team: Team, run_at: Run) -> None:
    Contact.objects.bulk_create([Contact(team=team, email="old@example.org")])
    active(team, [email()])
    run_at(NOON)
    assert not PipelineRun.objects.exists()


def test_who_was_refused_is_not_asked_again(team: Team, run_at: Run) -> None:
    where = {"field": "contact.email", "operator": "contains", "value": "@example.org"}
    trigger = {"type": "created", "model": "contacts.contact", "automatic": True, "where": where}
    active(team, [email()], triggers=[trigger])
    Contact.objects.bulk_create([Contact(team=team, email="x@other.net")])
    run_at(NOON)
    run_at(NOON)
    assert EnrollmentDecision.objects.count() == 1


def test_a_failing_enrollment_never_fails_the_contact_and_is_tried_again(
    team: Team, run_at: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    active(team, [email()])

    def broken(**_: Any) -> Any:
        raise OperationalError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(automatic, "enroll_batch", broken)
        contact = Contact.objects.create(team=team, email="a@example.org")
    assert Contact.objects.filter(pk=contact.pk).exists() and not PipelineRun.objects.exists()
    decision = EnrollmentDecision.objects.get()
    assert decision.decision == EnrollmentDecision.Decision.ERROR
    assert "disk is full" in (decision.why or [{}])[0]["error"]
    run_at(NOON)
    decision.refresh_from_db()
    assert decision.settled and len(mail.outbox) == 1


def test_who_enters_by_a_later_try_waits_no_longer_than_the_others(
    team: Team, run_at: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    active(team, [email(delay="1h")])

    def broken(**_: Any) -> Any:
        raise OperationalError("the disk is full")

    with monkeypatch.context() as patched, pretend(NOON):
        patched.setattr(automatic, "enroll_batch", broken)
        Contact.objects.create(team=team, email="a@example.org")
    run_at(later(minutes=20))
    run = PipelineRun.objects.get()
    assert (run.created_at, run.next_step_at) == (NOON, later(hours=1))


def test_what_the_sweep_cannot_enroll_is_noted_and_tried_again(
    team: Team, run_at: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    active(team, [email()])
    Contact.objects.bulk_create([Contact(team=team, email="a@example.org")])

    def broken(**_: Any) -> Any:
        raise OperationalError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(sweep, "enroll_batch", broken)
        run_at(NOON)
    decision = EnrollmentDecision.objects.get()
    assert decision.decision == EnrollmentDecision.Decision.ERROR and not mail.outbox
    run_at(NOON)
    assert len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_records_that_were_looked_at_are_not_looked_at_for_ever(team: Team, run_at: Run) -> None:
    active(team, [email()])
    Contact.objects.bulk_create([Contact(team=team, email=f"c{n}@example.org") for n in range(3)])
    newest = Contact.objects.order_by("-pk")[0].pk

    def settled() -> bool:
        # As long as somebody writes beside us, anywhere on the server, a smaller id may yet be committed.
        run_at(NOON)
        return bool(EngineState.objects.get(name="sweep:contacts.contact").data["after"] == newest)

    eventually(settled)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="an embedded database loses no connection")
def test_a_connection_lost_while_enrolling_fails_the_save_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    acme = Team.objects.create(name="Acme", slug="acme")
    active(acme, [email()])

    def lost(**_: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(automatic, "enroll_batch", lost)
    with pytest.raises(OperationalError):
        Contact.objects.create(team=acme, email="a@example.org")
    connection.close()
    assert not Contact.objects.exists()


def test_a_created_trigger_takes_records_in_whether_or_not_it_is_listed_as_automatic(team: Team, run_at: Run) -> None:
    active(team, [email()], triggers=[{"type": "created", "model": "contacts.contact"}])
    seen = Contact.objects.create(team=team, email="a@example.org")
    again = Contact.objects.create(team=team, email="c@example.org")
    (quiet,) = Contact.objects.bulk_create([Contact(team=team, email="b@example.org")])
    run_at(NOON)
    assert set(PipelineRun.objects.values_list("subject_id", flat=True)) == {seen.pk, again.pk, quiet.pk}
