"""Why did Ann (not) get this mail: the first answer that fits, with the values as they were."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact
from crm.models import MessageTemplate, Suppression, Team
from pipelines.engine.controls import cancel_runs, pause_runs
from pipelines.models import Pipeline, PipelineRun
from pipelines.simulation.explain import explain
from tests.api import Api
from tests.pipelines.engine.building import AUTOMATIC, NOON, active, email, later
from tests.pipelines.engine.conftest import Run

CUSTOMER = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}


@pytest.fixture
def ann(team: Team) -> Contact:
    """Someone who is there before anything else."""
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")


def newcomer(team: Team) -> Contact:
    return Contact.objects.create(team=team, first_name="Zoe", email="zoe@example.org")


def asked(pipeline: Pipeline, contact: Contact, **more: Any) -> dict[str, Any]:
    (answer,) = explain(team=contact.team, subject=contact, pipeline=pipeline, now=NOON, **more)
    return answer


def test_a_message_that_was_sent_names_its_run_version_and_trigger(team: Team, run_at: Run) -> None:
    pipeline = active(team, [{"key": "hello", **email()}], triggers=[{**AUTOMATIC, "key": "new"}])
    zoe = newcomer(team)
    run_at(NOON)
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"], answer["at"]) == ("sent", "hello", NOON)
    assert "was sent to zoe@example.org" in answer["sentence"]
    assert answer["entered"] == {"at": NOON, "by": "new", "version": 1}
    assert [each["step"] for each in answer["path"]] == ["hello"]


def test_a_step_whose_condition_said_no_tells_expected_and_actual(team: Team, run_at: Run) -> None:
    pipeline = active(team, [{"key": "hello", "if": CUSTOMER, **email()}])
    zoe = newcomer(team)
    run_at(NOON)
    Contact.objects.update(lifecycle_stage="customer")
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"]) == ("skipped", "hello")
    assert (answer["why"][0]["expected"], answer["why"][0]["actual"]) == ("customer", "lead")


def test_suppression_is_named(team: Team, run_at: Run) -> None:
    pipeline = active(team, [email()])
    Suppression.objects.create(team=team, address="zoe@example.org", reason="unsubscribed")
    zoe = newcomer(team)
    run_at(NOON)
    answer = asked(pipeline, zoe)
    assert answer["verdict"] == "skipped" and "suppression list (unsubscribed)" in answer["sentence"]


def test_who_is_on_the_way_is_told_when(team: Team, run_at: Run) -> None:
    pipeline = active(team, [{"key": "hello", "delay": "2d", **email()}])
    zoe = newcomer(team)
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"], answer["at"]) == ("on_its_way", "hello", later(days=2))
    pause_runs(run_ids=[PipelineRun.objects.get().pk])
    assert "paused" in asked(pipeline, zoe)["sentence"]


def test_a_branch_that_led_elsewhere_is_named_with_its_clause(team: Team, run_at: Run) -> None:
    steps = [
        {"key": "check", "type": "condition", "if": CUSTOMER, "on": {"true": "thank", "false": "end"}},
        {"key": "thank", **email()},
    ]
    pipeline = active(team, steps)
    zoe = newcomer(team)
    run_at(NOON)
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"]) == ("led_elsewhere", "check")
    assert answer["why"][0]["actual"] == "lead"


def test_a_run_that_was_ended_says_so(team: Team, run_at: Run) -> None:
    pipeline = active(team, [{"key": "hello", "delay": "2d", **email()}])
    zoe = newcomer(team)
    cancel_runs(run_ids=[PipelineRun.objects.get().pk], reason="asked us to")
    answer = asked(pipeline, zoe)
    assert answer["verdict"] == "ended" and "asked us to" in answer["sentence"]
    assert answer["now"][0]["would_enroll"]


def test_who_was_kept_out_is_told_the_clause_and_what_would_happen_now(team: Team, run_at: Run) -> None:
    pipeline = active(team, [email()], triggers=[{**AUTOMATIC, "where": CUSTOMER}])
    zoe = newcomer(team)
    Contact.objects.update(lifecycle_stage="customer")
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["why"][0]["actual"]) == ("not_enrolled", "lead")
    assert answer["now"][0]["would_enroll"] is True
    Contact.objects.update(lifecycle_stage="former")
    assert asked(pipeline, zoe)["now"][0]["why"][0]["actual"] == "former"


def test_who_was_there_before_the_pipeline_is_told_that_nothing_came(ann: Contact, team: Team) -> None:
    pipeline = active(team, [email()])
    assert "existed before" in asked(pipeline, ann)["sentence"]
    carts = active(team, [email()], key="carts", triggers=[{"type": "event", "event": "cart.abandoned"}])
    assert "‘cart.abandoned’" in asked(carts, ann)["sentence"]


def test_one_template_is_asked_about_wherever_it_is_sent(team: Team, run_at: Run) -> None:
    MessageTemplate.objects.create(team=team, key="hello", name="Hello", subject="Hello", text="Hello")
    active(team, [{"key": "mail", "type": "send_email", "with": {"template": "hello"}}], key="one")
    active(team, [email()], key="two")
    zoe = newcomer(team)
    run_at(NOON)
    (answer,) = explain(team=team, subject=zoe, template="hello", now=NOON)
    assert (answer["pipeline"], answer["verdict"], answer["template"]) == ("one", "sent", "hello")


def test_more_history_costs_no_more_statements(team: Team, run_at: Run) -> None:
    pipelines = [active(team, [email(), {"type": "wait", "delay": 60}, email()], key=f"p{n}") for n in range(3)]
    zoe = newcomer(team)

    def statements() -> int:
        with CaptureQueriesContext(connection) as seen:
            explain(team=team, subject=zoe, now=NOON)
        return len(seen)

    few = statements()
    run_at(later(minutes=5))
    assert len(pipelines) == 3 and statements() <= few


def test_the_api_explains_to_its_own_team_only(team: Team, run_at: Run) -> None:
    active(team, [email()])
    zoe = newcomer(team)
    run_at(NOON)
    answer = Api(team, role="viewer").get(f"contacts/{zoe.pk}/explain/", pipeline="welcome")
    assert answer.status_code == 200 and answer.json()["results"][0]["verdict"] == "sent"
    assert Api(team).get(f"contacts/{zoe.pk}/explain/", pipeline="nope").status_code == 400
    assert Api(team).get(f"contacts/{zoe.pk}/explain/", colour="red").status_code == 400
    other = Team.objects.create(name="Other", slug="other")
    assert Api(other).get(f"contacts/{zoe.pk}/explain/").status_code == 404
