"""A pipeline is tried out by hand: values, conditions, events and answers are filled in, and nobody writes JSON."""

from typing import TYPE_CHECKING

import pytest

from contacts.models import Contact
from crm.models import Team
from tests.pipelines.engine.building import active, email

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def play(page: "Page") -> None:
    page.get_by_role("button", name="Play").click()
    page.locator(".ps-result .ps-head").wait_for()


def test_a_sample_is_changed_line_by_line(page: "Page", team: Team) -> None:
    pipeline = active(team, [email("For {{ contact.first_name }} of {{ contact.city }}")])
    page.goto(f"/admin/pipelines/pipeline/{pipeline.pk}/simulate/")
    lines = page.locator(".ps-for-sample .pl-pair")
    lines.first.get_by_label("Value").fill("Zoe")
    page.locator(".ps-for-sample").get_by_role("button", name="Add a line").click()
    offered = lines.last.locator("datalist option").evaluate_all("all => all.map((each) => each.value)")
    assert "job_title" in offered and not {"id", "created_at", "updated_at"} & {*offered}
    lines.last.get_by_label("Name").fill("city")
    lines.last.get_by_label("Value").fill("Porto")
    play(page)
    page.locator(".ps-result .ps-mail summary").click()
    assert "For Zoe of Porto" in page.locator(".ps-result").inner_text()


def test_an_audience_is_chosen_by_lines_of_a_condition(page: "Page", team: Team) -> None:
    pipeline = active(team, [email()], triggers=[{"type": "manual", "key": "hand"}])
    for number in range(3):
        stage = "customer" if number else "lead"
        Contact.objects.create(team=team, email=f"c{number}@example.org", lifecycle_stage=stage)
    page.goto(f"/admin/pipelines/pipeline/{pipeline.pk}/simulate/?who=audience")
    page.get_by_role("button", name="Add a condition").click()
    page.get_by_label("Field", exact=True).fill("contact.lifecycle_stage")
    page.get_by_label("Value", exact=True).fill("customer")
    play(page)
    assert "2 of 2 would enter" in page.locator(".ps-result").inner_text()


def test_what_people_answer_and_what_happens_is_filled_in(page: "Page", team: Team) -> None:
    form = [{"name": "budget", "type": "number"}]
    ask = {"key": "ask", "type": "human_task", "name": "Fit?",
           "with": {"title": "Fit?", "outcomes": ["yes", "no"], "form": form}}  # fmt: skip
    wait = {
        "key": "paid",
        "type": "wait_for",
        "with": {"events": [{"event": "order.paid"}]},
        "timeout": "9d",
        "on": {"timeout": "end"},
    }
    tell = {"key": "tell", **email("{{ steps.ask.outcome }} {{ steps.ask.budget }} {{ color }}")}
    variables = [{"name": "color", "type": "string"}]
    pipeline = active(team, [ask, wait, tell], variables=variables)
    page.goto(f"/admin/pipelines/pipeline/{pipeline.pk}/simulate/")
    answers = page.locator("[data-field=responses]")
    answers.get_by_label("Answer", exact=True).select_option("no")
    answers.locator(".pl-pair").get_by_label("Value").fill("70")
    page.get_by_text("Events, answers of other systems, variables").click()
    events = page.locator("[data-field=events]")
    events.get_by_role("button", name="Add: event").click()
    events.locator("[data-parameter=after] input").fill("3")
    events.locator("[data-parameter=type] input").fill("order.paid")
    page.locator("[data-field=variables] [data-parameter=color] input").fill("green")
    play(page)
    told = page.locator(".ps-result").inner_text()
    assert "is through after 3 days" in told and page.get_by_text("no 70 green").count()
