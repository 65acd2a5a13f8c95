"""The second contact of a team takes one statement into its pipelines, and is treated like the first."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from contacts.hooks import announce_created
from contacts.models import Contact
from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.engine.cursor import NewRun
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun, Trigger
from pipelines.operations import import_document
from tests.pipelines.engine.building import AUTOMATIC, NOON, active, document, email

postgres = pytest.mark.skipif(connection.vendor != "postgresql", reason="an embedded database has no short way")
NUMBERS = ("pk", "subject_id", "dedup")


def saved(team: Team, **values: str) -> Contact:
    with pretend(NOON):
        return Contact.objects.create(team=team, email="a@example.org", **values)


def runs(contact: Contact) -> list[PipelineRun]:
    return list(PipelineRun.objects.filter(subject_id=contact.pk).order_by("pk"))


def columns(run: PipelineRun) -> dict[str, Any]:
    """What was written of a new run, but for what tells one contact from another."""
    return {name: getattr(run, name) for name in NewRun.__slots__ if name not in NUMBERS}


@postgres
@pytest.mark.django_db
def test_three_pipelines_cost_a_saved_contact_one_statement(team: Team) -> None:
    for key in ("a", "b", "c"):
        active(team, [email()], key=key)
    saved(team)
    with CaptureQueriesContext(connection) as queries:
        contact = saved(team)
    assert len(runs(contact)) == 3
    said = [query["sql"].partition(" ")[0] for query in queries]
    assert said == ["SAVEPOINT", "INSERT", "SAVEPOINT", "RELEASE"], "the third one asks, enters and is a savepoint"


@pytest.mark.django_db
@pytest.mark.parametrize("reentry", [None, "while_active", "once", "always"])
def test_the_second_contact_is_entered_like_the_first(team: Team, reentry: str | None) -> None:
    trigger = {**AUTOMATIC, "reentry": reentry} if reentry else AUTOMATIC
    active(team, [email()], triggers=[trigger])
    first, second = runs(saved(team))[0], runs(saved(team))[0]
    assert columns(first) == columns(second)
    assert (first.dedup and first.dedup.version) == (second.dedup and second.dedup.version)


def _pause(pipeline: Pipeline) -> None:
    Pipeline.objects.filter(pk=pipeline.pk).update(status=Pipeline.Status.PAUSED)


def _disable(pipeline: Pipeline) -> None:
    pipeline.triggers.update(enabled=False)


def _ask(pipeline: Pipeline) -> None:
    where = {"field": "contact.first_name", "operator": "equals", "value": "Ann"}
    Trigger.objects.filter(pipeline=pipeline).update(where=where)


def _limit(pipeline: Pipeline) -> None:
    """Those who are in already count, so one place is left."""
    full = document([email()], settings={"max_executions": 3})
    import_document(team=pipeline.team, document=full, activate=True)


@pytest.mark.django_db
@pytest.mark.parametrize("change", [_pause, _disable, _ask, _limit])
def test_a_change_holds_for_the_next_contact(team: Team, change: Callable[[Pipeline], None]) -> None:
    pipeline = active(team, [email()])
    assert [len(runs(saved(team))) for _ in range(2)] == [1, 1]
    change(pipeline)
    assert [len(runs(saved(team))) for _ in range(2)] == [1 if change is _limit else 0, 0]


@pytest.mark.django_db
def test_a_new_version_and_a_new_pipeline_hold_for_the_next_contact(team: Team) -> None:
    active(team, [email()])
    saved(team), saved(team)
    changed = active(team, [email("Welcome"), email("Bye", delay="1d")])
    active(team, [email(delay="1h")], key="later")
    made = runs(saved(team))
    assert made[0].version_id == changed.current_version_id
    assert [run.next_step_at is not None and run.next_step_at > NOON for run in made] == [False, True]


@pytest.mark.django_db
def test_one_who_is_in_already_is_told_so(team: Team) -> None:
    active(team, [email()])
    saved(team)
    contact = saved(team)
    assert announce_created(model=Contact, ids=[contact.pk], team=team) == 0
    decision = EnrollmentDecision.objects.get(subject_id=contact.pk)
    assert decision.decision == EnrollmentDecision.Decision.DUPLICATE
    run = PipelineRun.objects.get(subject_id=contact.pk)
    assert decision.why == [{"run": run.pk, "note": f"Run {run.pk} is on its way in this pipeline."}]


@postgres
@pytest.mark.django_db
def test_a_refusal_of_the_database_costs_nobody_the_contact(team: Team) -> None:
    active(team, [email()])
    saved(team)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE pipelines_pipelinerun ADD CONSTRAINT nobody CHECK (subject_id < 0) NOT VALID")
    contact = saved(team)
    assert Contact.objects.filter(pk=contact.pk).exists() and not runs(contact)
    assert EnrollmentDecision.objects.get().decision == EnrollmentDecision.Decision.ERROR
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE pipelines_pipelinerun DROP CONSTRAINT nobody")
    assert len(runs(saved(team))) == 1


@postgres
@pytest.mark.django_db(transaction=True)
def test_a_connection_lost_on_the_short_way_fails_the_save_aloud() -> None:
    acme = Team.objects.create(name="Acme", slug="acme")
    active(acme, [email()])
    saved(acme)
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
        )
        cursor.execute("CREATE TRIGGER gone BEFORE INSERT ON pipelines_pipelinerun EXECUTE FUNCTION gone()")
        with pytest.raises(OperationalError):
            saved(acme)
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION gone CASCADE")
    assert Contact.objects.count() == 1
