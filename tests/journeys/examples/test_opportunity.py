"""Opportunities: a research task, a form whose delay is escalated, and the way that its answer names."""

import pytest

from crm.models import Member, Notification
from crm.people import set_manager
from tests.journeys.examples.stage import DAY, Stage


@pytest.fixture
def deal(stage: Stage) -> int:
    """The run of a new deal, whose owner, her manager and contact are known."""
    stage.template("demo_followup", subject="After the demo", text="{{ demoDate }}: {{ nextSteps }}")
    stage.loaded("opportunity_pipeline")
    owner = stage.member("ola")
    stage.member("olga", role="owner")
    ola, max_ = (Member.objects.get(user=user) for user in (owner, stage.member("max", role="manager")))
    set_manager(member=ola, manager=max_)
    contact = stage.contact()
    made = stage.made("deals", {"title": "100 cups", "contact": contact, "owner": owner.pk})
    (run,) = stage.api.get("pipeline-runs/", deal=made).json()["results"]
    return int(run["id"])


def research(stage: Stage) -> dict[str, str]:
    (task,) = [task for task in stage.tasks(status="open") if task["title"] == "Complete Research"]
    return task


def test_a_new_deal_gives_its_owner_a_task_due_in_two_days_and_a_form(stage: Stage, deal: int) -> None:
    stage.walk(0)
    first, form = sorted(stage.tasks(), key=lambda task: str(task["title"] != "Research prospect company"))
    assert (first["title"], form["title"]) == ("Research prospect company", "Complete Research")
    assert first["due_at"] == "2027-03-03T12:00:00Z" and form["due_at"] == "2027-03-06T12:00:00Z"
    assert first["assignee"] == form["assignee"]
    assert first["description"] == "Gather information about prospect needs and challenges"
    assert form["description"] == "Mark research as complete and provide findings"
    findings, action = form["form"]
    assert (findings["type"], findings["required"], action["type"], action["required"]) == (
        "textarea", True, "select", False,
    )  # fmt: skip
    assert [option["value"] for option in action["options"]] == ["schedule_demo", "send_proposal", "qualify_further"]
    assert stage.run(deal)["status"] == "waiting"
    refused = stage.answer(form, keyFindings="They need tea", nextAction="dance")
    assert refused.status_code == 400 and refused.json()["errors"][0]["path"] == "values.nextAction"
    empty = stage.answer(form, nextAction="send_proposal")
    assert empty.status_code == 400 and empty.json()["errors"][0]["path"] == "values.keyFindings"


def test_a_demo_is_scheduled_and_followed_up_a_day_after_it(stage: Stage, deal: int) -> None:
    stage.walk(0)
    stage.answer(research(stage), keyFindings="They need tea", nextAction="schedule_demo")
    stage.walk(1)
    (demo,) = [task for task in stage.tasks(status="open") if task["title"] == "Schedule product demo"]
    assert demo["due_at"][:10] == "2027-03-08"
    assert demo["description"] == "Schedule and prepare product demonstration"
    assert stage.answer(demo, demoDate="2027-03-10T12:00").status_code == 200
    mails = [each for each in stage.walk(2, 9 * DAY, 10 * DAY) if each[2] == "ann@example.org"]
    assert mails == [(10 * DAY, "email", "ann@example.org", "After the demo")]
    assert stage.texts()[-1].startswith("2027-03-10T12:00:00+00:00: They need tea")
    assert stage.outcome(deal) == ("completed", "end")
    assert stage.run(deal)["variables"] == {
        "key_findings": "They need tea", "next_action": "schedule_demo", "demo_date": "2027-03-10T12:00:00+00:00",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("action", "title", "way"),
    [
        ("send_proposal", "Send proposal", "proposal"),
        ("qualify_further", "Qualify further", "default"),
        ("", "Qualify further", "default"),
    ],
)
def test_other_answers_lead_to_other_tasks(stage: Stage, deal: int, action: str, title: str, way: str) -> None:
    stage.walk(0)
    stage.answer(research(stage), keyFindings="Tea", nextAction=action)
    stage.walk(1)
    assert title in [task["title"] for task in stage.tasks(status="open")]
    assert stage.outcome(deal) == ("completed", "end")
    assert ("route_next_action", way) in stage.story(deal)


def told() -> list[tuple[str, str]]:
    """Whom notes reached, and what they say, in order."""
    return list(Notification.objects.order_by("pk").values_list("user__username", "title"))


def test_overdue_research_is_escalated_to_the_owners_manager_and_asked_for_again(stage: Stage, deal: int) -> None:
    stage.walk(0)
    first = research(stage)
    stage.walk(5 * DAY)
    again = research(stage)
    assert again["id"] != first["id"]
    assert told() == [("max", "Research for 100 cups is overdue")]
    assert again["assignee"] == first["assignee"], "the research stays hers"
    late = stage.answer(first, keyFindings="Tea", nextAction="send_proposal")
    assert late.status_code == 409 and "time was over" in late.json()["detail"]
    assert stage.story(deal)[-2:] == [("wait_for_research", "timeout"), ("escalate", "next")]
    stage.walk(10 * DAY)
    assert [step for step, _ in stage.story(deal)].count("escalate") == 2
    assert [who for who, _ in told()] == ["max", "max"]
    stage.answer(research(stage), keyFindings="Tea", nextAction="send_proposal")
    stage.walk(10 * DAY + 1)
    assert stage.outcome(deal) == ("completed", "end")


def test_research_of_an_owner_without_a_manager_is_escalated_to_the_owner(stage: Stage, deal: int) -> None:
    set_manager(member=Member.objects.get(user__username="ola"), manager=None)
    stage.walk(0, 5 * DAY)
    assert told() == [("ola", "Research for 100 cups is overdue")]
