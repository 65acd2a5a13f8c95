"""Lead nurturing: a welcome that is tried again, three days, and then a call for the engaged or a task for the others.

The event `lead_qualified` is told to the pipeline by hand.
"""

from datetime import timedelta

import pytest

from tests.journeys.examples.stage import DAY, HOUR, Stage
from tests.pipelines.engine.building import NOON
from tests.sinks.smtp import SmtpSink


@pytest.fixture
def owner(stage: Stage) -> int:
    stage.template("welcome_qualified_lead", subject="Welcome", text="Hello {{ firstName }} of {{ companyName }}")
    stage.template("followup_engaged_lead", subject="Follow-up")
    stage.loaded("lead_nurture_sequence")
    return int(stage.member("ola").pk)


def lead(stage: Stage, owner: int, *, seen_after: timedelta) -> int:
    """The run of a lead who was last heard of that long after the start."""
    company = stage.made("companies", {"name": "Tea Ltd"})
    ann = stage.contact(company=company, owner=owner, last_interaction=(NOON + seen_after).isoformat())
    return stage.trigger("lead_nurture_sequence", ann, payload={"score": 80})


WELCOME = (0, "email", "ann@example.org", "Welcome")


def test_an_engaged_lead_gets_a_follow_up_and_a_form_whose_answers_are_kept(stage: Stage, owner: int) -> None:
    run = lead(stage, owner, seen_after=timedelta(days=1))
    assert stage.walk(0, 3 * DAY)[:2] == [WELCOME, (3 * DAY, "email", "ann@example.org", "Follow-up")]
    assert stage.texts()[0].startswith("Hello Ann of Tea Ltd")
    (task,) = stage.tasks()
    assert (task["title"], task["assignee"]) == ("Schedule Discovery Call", owner)
    assert task["description"] == "Schedule a discovery call with engaged lead"
    assert [(field["name"], field["type"], field["required"]) for field in task["form"]] == [
        ("callDate", "datetime", True), ("agenda", "text", False),
    ]  # fmt: skip
    refused = stage.answer(task, agenda="Prices")
    assert refused.status_code == 400 and refused.json()["errors"][0]["path"] == "values.callDate"
    assert stage.run(run)["status"] == "waiting"
    assert stage.answer(task, callDate="2027-03-08T10:00", agenda="Prices").status_code == 200
    assert stage.outcome(run) == ("completed", "end")
    assert stage.run(run)["variables"] == {"call_date": "2027-03-08T10:00:00+00:00", "agenda": "Prices"}


def test_a_silent_lead_becomes_a_task_of_its_owner(stage: Stage, owner: int) -> None:
    run = lead(stage, owner, seen_after=timedelta(minutes=-1))
    assert stage.walk(0, 3 * DAY) == [WELCOME]
    (task,) = stage.tasks()
    assert (task["title"], task["description"]) == (
        "Follow up with unengaged lead", "Lead has not engaged in 3 days",
    )  # fmt: skip
    assert (task["assignee"], task["priority"]) == (owner, "medium")
    assert stage.outcome(run) == ("completed", "end")
    assert stage.story(run)[-2:] == [("check_engagement", "false"), ("create_task", "next")]


def test_a_mail_server_that_fails_twice_gets_the_mail_at_the_third_try(
    stage: Stage, owner: int, smtp: SmtpSink
) -> None:
    run = lead(stage, owner, seen_after=timedelta(minutes=-1))
    smtp.behavior = "greylist"
    assert stage.walk(0, 1) == []
    smtp.behavior = "accept"
    assert stage.walk(2) == []
    assert stage.walk(3) == [(3, "email", "ann@example.org", "Welcome")], "a minute, and then two"
    assert stage.walk(3 * DAY) == [] and stage.tasks() == []
    stage.walk(3 * DAY + 3)
    assert len(stage.tasks()) == 1, "three days are counted from the mail"
    assert stage.outcome(run) == ("completed", "end")


def test_a_mail_server_that_never_recovers_fails_the_run_with_its_words(
    stage: Stage, owner: int, smtp: SmtpSink
) -> None:
    run = lead(stage, owner, seen_after=timedelta(minutes=-1))
    smtp.behavior = "greylist"
    assert stage.walk(0, 1, 3, 7) == []
    assert stage.run(run)["status"] == "failed"
    smtp.behavior = "accept"
    assert stage.walk(HOUR, 4 * DAY) == [], "tried once and three times again"
    assert "451" in str(stage.run(run)["logs"][-1])


def test_a_call_may_be_scheduled_without_an_agenda(stage: Stage, owner: int) -> None:
    run = lead(stage, owner, seen_after=timedelta(days=1))
    stage.walk(0, 3 * DAY)
    (task,) = stage.tasks()
    assert stage.answer(task, callDate="2027-03-08T10:00").status_code == 200
    assert stage.outcome(run) == ("completed", "end")
    assert not stage.run(run)["variables"].get("agenda")


def test_its_figures_say_how_many_came_through_how_long_it_took_and_where_it_failed(
    stage: Stage, owner: int, smtp: SmtpSink
) -> None:
    stage.trigger("lead_nurture_sequence", stage.contact("Bo", owner=owner))
    stage.walk(0)
    smtp.behavior = "greylist"
    stage.trigger("lead_nurture_sequence", stage.contact("Cy", owner=owner))
    stage.walk(0, 1, 3, 7)
    smtp.behavior = "accept"
    stage.walk(3 * DAY)
    told = stage.api.get("pipelines/lead_nurture_sequence/metrics/").json()
    assert (told["total"], told["runs"]["completed"], told["runs"]["failed"]) == (2, 1, 1)
    assert (told["success_rate"], told["elapsed_seconds"]) == (0.5, 259_200)
    steps = {step["key"]: step for step in told["steps"]}
    assert steps["welcome_email"]["failed"] == 1 and steps["create_task"]["outcomes"] == {"next": 1}
    assert steps["check_engagement"]["outcomes"] == {"false": 1}
