"""Fields that the team defined are offered by their labels, each with the input of its type."""

import re
from typing import TYPE_CHECKING

import pytest

from contacts.models import Contact, FieldDefinition, Segment
from crm.models import Team
from pipelines.models import Pipeline
from tests.browser.test_building import ADD, add_step, save

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def defined(team: Team) -> None:
    for key, label, type, options in (
        ("plan", "Plan of theirs", "select", ["basic", "pro"]),
        ("seats", "Seats", "integer", []),
        ("renewal", "Renewal", "date", []),
        ("vip", "VIP", "boolean", []),
        ("code", "Code", "text", []),
    ):
        FieldDefinition.objects.create(
            team=team, model="contacts.contact", key=key, label=label, type=type, options=options
        )


@pytest.mark.usefixtures("defined")
def test_a_rule_over_defined_fields_keeps_their_types(page: "Page", team: Team) -> None:
    Contact.objects.create(team=team, first_name="Ann", custom={"plan": "pro", "seats": 12, "renewal": "2027-02-01"})
    page.goto("/admin/contacts/segment/add/")
    page.fill("[name=name]", "Big ones")
    page.fill("[name=key]", "big_ones")
    lines = [("plan", "equals", "pro"), ("seats", "greater_than", "10"), ("renewal", "before", "2027-03-01"),
             ("vip", "not_equals", "true"), ("code", "not_equals", "10")]  # fmt: skip
    for key, operator, value in lines:
        page.get_by_role("button", name=re.compile("Add a (line|condition)")).click()
        line = page.locator(".pl-clause").last
        assert line.locator(f"datalist option[value='contact.{key}']").count() == 1
        line.get_by_label("Field").fill(f"contact.{key}")
        line.get_by_label("Operator").select_option(operator)
        given = line.get_by_label("Value")
        if key in ("plan", "vip"):
            given.select_option(value)
        else:
            given.fill(value)
    page.get_by_text("1 contact meets this now").wait_for()
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/admin/contacts/segment/")
    where = Segment.objects.get(name="Big ones").where or {}
    values = [clause["value"] for clause in where["all"]]
    assert values == ["pro", 10, "2027-03-01", True, "10"]


@pytest.mark.usefixtures("defined")
def test_a_step_writes_a_defined_field_with_the_input_of_its_type(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("Upgrade")
    step = add_step(page, "update_record")
    values = step.locator("[data-parameter=values]")
    for key, value in (("plan", "pro"), ("seats", "7"), ("job_title", "Chief")):
        values.get_by_role("button", name="Add a line").click()
        line = values.locator(".pl-pair").last
        line.get_by_label("Name").fill(key)
        given = line.get_by_label("Value")
        if key == "plan":
            given.select_option(value)
        else:
            given.fill(value)
    save(page)
    step_of = Pipeline.objects.get(name="Upgrade").steps.get()
    assert step_of.data["values"] == {"plan": "pro", "seats": 7, "job_title": "Chief"}


@pytest.mark.usefixtures("defined")
def test_a_list_with_own_columns_fits_a_laptop(page: "Page", team: Team) -> None:
    Contact.objects.create(
        team=team, first_name="Oluwaseun", last_name="Fitzwilliam-Abernathy", lifecycle_stage="former",
        email="oluwaseun.fitzwilliam-abernathy@department.of-a-long-name.example", custom={"plan": "basic"},
    )  # fmt: skip
    page.goto("/admin/contacts/contact/")
    page.get_by_text("Oluwaseun").first.wait_for()
    wide = page.locator("#result_list").evaluate("table => table.offsetWidth - table.parentElement.clientWidth")
    assert wide <= 0
