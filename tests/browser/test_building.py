"""A pipeline is built with the mouse, and with the keyboard alone."""

import json
from typing import TYPE_CHECKING

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Pipeline, PipelineRun

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
ADD = "/admin/pipelines/pipeline/add/"


def add_step(page: "Page", action: str) -> "Locator":
    """Press the button and choose what the step does."""
    page.get_by_role("button", name="Add a step").click()
    row = page.locator("[data-row=step]").last
    row.locator("select[name$=action_type]").select_option(action)
    return row


def drag(page: "Page", row: "Locator", *, above: "Locator") -> None:
    """Take a step by its handle and let go above another, as a hand does: in many small moves."""
    handle, target = row.locator("[data-handle]").bounding_box(), above.bounding_box()
    assert handle and target
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(target["x"] + 20, target["y"] + 4, steps=25)
    page.mouse.up()


def titles(page: "Page") -> list[str]:
    return page.locator("[data-row=step] [data-title]").all_inner_texts()


def close_all(page: "Page") -> None:
    page.locator("[data-row=step] > details").evaluate_all("rows => rows.forEach((row) => { row.open = false; })")


def save(page: "Page") -> None:
    page.get_by_role("button", name="Save and continue editing").click()
    page.wait_for_load_state()


def test_a_pipeline_is_built_by_mouse_and_greets_the_next_contact(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("Welcome people")
    check = add_step(page, "condition")
    check.get_by_role("button", name="Add a condition").click()
    check.get_by_label("Field").fill("contact.lifecycle_stage")
    check.get_by_label("Operator").select_option("equals")
    check.get_by_label("Value").fill("lead")
    mail = add_step(page, "send_email")
    mail.locator("[data-parameter=subject] input").fill("Hello")
    mail.locator("textarea[name$=-message]").fill("Hello ")
    mail.locator(".pl-field-message .pl-insert").select_option("contact.first_name")
    task = add_step(page, "create_task")
    task.locator("[data-parameter=title] input").fill("Call them")
    wait = task.locator(".pl-duration")
    wait.first.locator("input").fill("3")
    wait.first.locator("select").select_option("d")
    close_all(page)

    drag(page, page.locator("[data-row=step]").nth(1), above=page.locator("[data-row=step]").nth(0))
    assert titles(page) == ["Send email", "Condition", "Create task"]
    check = page.locator("[data-row=step]").nth(1)
    check.locator("summary").first.click()
    check.locator("select[data-outcome='false']").select_option("end")
    page.get_by_role("button", name="Add automatic enrollment").click()
    save(page)

    assert page.get_by_text("Published as version 1.").is_visible()
    assert page.locator(".pl-picture-box svg.pp-page").is_visible()
    pipeline = Pipeline.objects.get()
    steps = list(pipeline.steps.order_by("number"))
    assert [step.action_type for step in steps] == ["send_email", "condition", "create_task"]
    assert steps[0].message == "Hello {{ contact.first_name }}" and steps[0].data == {"subject": "Hello"}
    assert steps[1].condition == {"field": "contact.lifecycle_stage", "operator": "equals", "value": "lead"}
    assert steps[1].edges == {"false": "end"}
    assert (steps[2].delay, steps[2].data) == (259_200, {"title": "Call them"})

    page.get_by_role("link", name="Activate").click()
    page.get_by_role("button", name="Activate").click()
    page.get_by_text("is active.").wait_for()
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", lifecycle_stage="lead")
    assert PipelineRun.objects.get().subject_id == contact.pk


def test_steps_are_moved_and_removed_with_the_keyboard_alone(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("By hand")
    for name in ("One", "Two", "Three"):
        add_step(page, "wait").locator("input[name$=-name]").fill(name)
    close_all(page)
    page.locator("[data-row=step] [data-handle]").nth(2).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert titles(page) == ["Three", "One", "Two"]
    assert page.locator("[data-live]").first.inner_text() == "Three is now step 1."
    save(page)
    assert list(Pipeline.objects.get().steps.order_by("number").values_list("name", flat=True)) == [
        "Three", "One", "Two",
    ]  # fmt: skip

    page.locator("[data-row=step] [data-remove]").nth(1).focus()
    page.keyboard.press("Enter")
    save(page)
    live = Pipeline.objects.get().steps.filter(archived_at=None).order_by("number")
    assert list(live.values_list("name", "number")) == [("Three", 1), ("Two", 2)]


def test_what_was_typed_stands_there_after_an_error(page: "Page", team: Team) -> None:
    page.goto(ADD)
    row = add_step(page, "send_email")
    row.locator("textarea[name$=-message]").fill("Dear reader")
    row.get_by_role("button", name="More…").click()
    row.locator("input[name$=delay_text]").fill("soonish")
    save(page)
    assert page.get_by_text("This field is required.").first.is_visible()
    row = page.locator("[data-row=step]").first
    assert row.locator("textarea[name$=-message]").input_value() == "Dear reader"
    assert row.locator("input[name$=delay_text]").input_value() == "soonish"
    assert row.locator(".pl-field-delay_text .pl-error").is_visible()
    assert not Pipeline.objects.exists()


def test_a_step_is_copied_with_all_it_says_and_stands_below_its_original(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("Calls")
    task = add_step(page, "create_task")
    task.locator("[data-parameter=title] input").fill("Call them")
    task.locator("input[name$=-name]").fill("A call")
    wait = task.locator(".pl-duration")
    wait.first.locator("input").fill("3")
    wait.first.locator("select").select_option("d")
    add_step(page, "end")
    page.get_by_role("button", name="Copy this step").first.press("Enter")
    page.keyboard.type("And again")
    page.get_by_role("button", name="Copy this step").nth(1).click()
    assert titles(page)[0] == "A call" and len(titles(page)) == 4
    save(page)
    steps = list(Pipeline.objects.get().steps.order_by("number"))
    assert [step.action_type for step in steps] == ["create_task", "create_task", "create_task", "end"]
    assert len({step.key for step in steps}) == 4
    for step in steps[:3]:
        assert step.data["title"] == "Call them" and step.delay == 3 * 86_400


def test_changing_the_action_keeps_the_fields_of_the_first_for_a_change_of_mind(page: "Page", team: Team) -> None:
    page.goto(ADD)
    row = add_step(page, "send_email")
    row.locator("[data-parameter=subject] input").fill("Hello")
    row.locator("select[name$=action_type]").select_option("create_task")
    assert row.locator("[data-parameter=subject]").count() == 0
    row.locator("[data-parameter=title] input").fill("Call")
    row.locator("select[name$=action_type]").select_option("send_email")
    assert row.locator("[data-parameter=subject] input").input_value() == "Hello"
    assert json.loads(row.locator("textarea[name$=-data]").input_value()) == {"subject": "Hello"}


def test_the_editor_fits_a_phone(page: "Page", team: Team) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(ADD)
    add_step(page, "condition").get_by_role("button", name="Add a condition").click()
    add_step(page, "send_email")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0


def test_an_order_becomes_a_graph_whose_edges_are_drawn_on_the_page(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("A graph")
    add_step(page, "condition")
    check = page.locator("[data-row=step]").nth(0)
    check.locator("textarea[name$=-condition]").evaluate("node => { node.value = 'contact.email != null'; }")
    for _ in range(3):
        add_step(page, "wait")
    check.locator("summary").first.click()
    check.locator("select[data-outcome='false']").select_option("step_3")
    page.get_by_role("button", name="Draw edges instead of an order").click()
    edges = page.locator(".pl-edge")
    assert edges.count() == 4

    # A second way out of step 2, and the step behind it is entered from there alone.
    page.get_by_role("button", name="Add an edge").click()
    added = page.locator(".pl-edge").last
    added.locator("[data-edge=from]").select_option("step_2")
    added.locator("[data-edge=to]").select_option("step_4")
    page.get_by_role("button", name="Remove edge 3").click()
    save(page)

    assert page.get_by_text("Published as version 1.").is_visible()
    pipeline = Pipeline.objects.get()
    said = [(edge["from"], edge.get("on", "next"), edge["to"]) for edge in pipeline.edges]
    assert said == [
        ("step_1", "false", "step_3"), ("step_1", "next", "step_2"), ("step_3", "next", "step_4"),
        ("step_2", "next", "step_4"),
    ]  # fmt: skip
    assert [step.edges for step in pipeline.steps.order_by("number")] == [{}, {}, {}, {}]

    page.locator(".pl-edge").first.locator("[data-edge=to]").select_option("step_1")
    page.locator(".pl-edge").nth(2).locator("[data-edge=to]").select_option("end")
    page.get_by_role("button", name="Add an edge").click()
    save(page)
    note = page.locator(".pl-edge").nth(4).locator(".pl-edge-notes .pl-error").first
    assert note.is_visible() and "edges[4].to" in note.inner_text()


def test_variables_goals_and_exit_rules_are_written_without_json(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("With a goal")
    add_step(page, "wait")
    page.get_by_text("Settings and advanced").click()
    page.get_by_role("button", name="Add: variable").click()
    page.get_by_label("Kind *").select_option("number")
    page.get_by_label("To begin with").fill("3")
    page.get_by_role("button", name="Add: exit rule").click()
    page.locator("[data-parameter=event] input").first.fill("unsubscribed")
    page.get_by_role("button", name="Add: goal").click()
    page.get_by_label("Key *").fill("bought")
    page.locator("[data-parameter=event] input").last.fill("purchase")
    page.get_by_label("Within").fill("7")
    page.get_by_label("Records in all").fill("500")
    save(page)

    assert page.get_by_text("Published as version 1.").is_visible()
    pipeline = Pipeline.objects.get()
    assert pipeline.variables == [{"name": "variable_1", "type": "number", "default": 3}]
    assert pipeline.exit_rules == [{"event": "unsubscribed"}]
    assert pipeline.goals == [{"key": "bought", "event": "purchase", "within": "7d"}]
    assert pipeline.settings["max_executions"] == 500
