"""Steps of every kind are filled in by their own fields, without writing JSON."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from contacts.models import RecordType, Segment
from crm.models import Member, Team
from pipelines.documents import apply_document, document_of
from pipelines.models import EventType, Hook, Pipeline, Trigger
from tests.browser.test_building import ADD, add_step, save
from tests.pipelines.engine.building import active

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def stored() -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = document_of(Pipeline.objects.get())["steps"]
    return steps


def test_a_switch_a_form_and_a_block_are_built_without_writing_json(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("Ask them")
    route = add_step(page, "switch")
    route.get_by_role("button", name="Add: case").click()
    case = route.locator("[data-parameter=cases] .pl-entry-card").first
    case.locator("[data-parameter=name] input").fill("lead")
    case.get_by_role("button", name="Add a condition").click()
    case.get_by_label("Field").fill("contact.lifecycle_stage")
    case.get_by_label("Operator").select_option("equals")
    case.get_by_label("Value", exact=True).fill("lead")
    assert route.get_by_text("On “lead”, go to").count() == 1, "each case shows where it leads"

    ask = add_step(page, "human_task")
    ask.locator("[data-parameter=title] input").fill("Is it a fit?")
    ask.locator("[data-parameter=outcomes] input").fill("approve, reject")
    ask.get_by_role("button", name="Add a question").click()
    question = ask.locator("[data-parameter=form] .pl-entry-card").first
    question.get_by_label("Question").fill("How large?")
    question.get_by_label("Kind of answer").select_option("select")
    question.get_by_label("Options").fill("small\nl = Large")
    question.get_by_label("Must be answered").check()
    assert ask.get_by_text("On “reject”, go to").count() == 1
    save(page)

    switch, human = stored()
    assert switch["with"] == {
        "cases": [{"name": "lead", "if": {"field": "contact.lifecycle_stage", "operator": "equals", "value": "lead"}}]
    }
    assert human["with"]["outcomes"] == ["approve", "reject"]
    assert human["with"]["form"] == [
        {
            "name": "question_1",
            "type": "select",
            "label": "How large?",
            "options": ["small", {"value": "l", "label": "Large"}],
            "required": True,
        }
    ]


def test_branches_and_their_steps_are_built_from_nothing(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("Both")
    fork = add_step(page, "parallel")
    for name in ("mail", "call"):
        fork.get_by_role("button", name="Add: branch").click()
        fork.locator("[data-parameter=branches] .pl-entry-card").last.locator("[data-parameter=name] input").fill(name)
    fork.locator("[data-parameter=cancel_rest] select").select_option("no")
    fork.locator("[data-parameter=join] input").fill("1")
    for name in ("mail", "call"):
        branch = fork.locator(f"[data-branch={name}]")
        branch.get_by_role("button", name="Add a step here").click()
        branch.get_by_text("Edit", exact=True).click()
        branch.get_by_label("Action").select_option("create_task")
        branch.locator("[data-parameter=title] input").fill(f"Do {name}")
    save(page)
    given = stored()[0]["with"]
    assert (given["join"], given["cancel_rest"]) == (1, False)
    assert [(each["name"], each["steps"][0]["with"]["title"]) for each in given["branches"]] == [
        ("mail", "Do mail"),
        ("call", "Do call"),
    ]


def test_a_wait_offers_the_events_there_are_and_shows_how_long_it_waits(page: "Page", team: Team) -> None:
    EventType.objects.create(team=team, name="order.paid")
    Segment.objects.create(team=team, key="vips", name="Best customers")
    page.goto(ADD)
    wait = add_step(page, "wait_for")
    wait.get_by_role("button", name="Add: event").click()
    offered = wait.locator("[data-parameter=event] option").evaluate_all("all => all.map((each) => each.value)")
    assert {"order.paid", "email_clicked", "unsubscribed"} <= set(offered)
    assert wait.get_by_label("It may take at most", exact=True).is_visible()
    joins = add_step(page, "add_to_segment").locator("[data-parameter=segment] option")
    assert joins.evaluate_all("all => all.map((each) => each.value)") == ["vips"]
    page.get_by_role("button", name="Add trigger").click()
    assert page.locator("input[name$=-event]").last.get_attribute("list") == "pl-events"
    assert "order.paid" in page.locator("#pl-events option").evaluate_all("all => all.map((each) => each.value)")


def test_steps_about_other_records_offer_their_kinds_and_the_fields_of_each(page: "Page", team: Team) -> None:
    number = {"key": "quantity", "label": "In stock", "type": "integer"}
    RecordType.objects.create(team=team, key="product", label="Product", fields=[number])
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("Order")
    find = add_step(page, "find_records")
    kinds = find.locator("[data-parameter=model] select")
    assert kinds.locator("option").all_inner_texts() == ["Choose…", "Contact", "Company", "Deal", "Product"]
    kinds.select_option("records.product")
    find.get_by_role("button", name="Add a condition").first.click()
    find.locator("[data-parameter=where]").get_by_label("Field").fill("quantity")
    find.locator("[data-parameter=where]").get_by_label("Operator").select_option("less_than")
    find.locator("[data-parameter=where]").get_by_label("Value").fill("5")
    make = add_step(page, "create_record")
    assert "Task" in make.locator("[data-parameter=model] option").all_inner_texts()
    make.locator("[data-parameter=model] select").select_option("contacts.deal")
    make.get_by_role("button", name="Add a line").first.click()
    offered = make.locator("[data-parameter=values] datalist").first.locator("option")
    assert {"title", "stage", "amount"} <= set(offered.evaluate_all("all => all.map((each) => each.value)"))
    make.locator("[data-parameter=values]").get_by_label("Name", exact=True).fill("title")
    make.locator("[data-parameter=values]").get_by_label("Value").fill("More of it")
    save(page)
    found, made = stored()
    assert found["with"] == {
        "model": "records.product", "where": {"field": "quantity", "operator": "less_than", "value": 5},
    }  # fmt: skip
    assert made["with"] == {"model": "contacts.deal", "values": {"title": "More of it"}}


def test_what_is_wrong_with_a_field_stands_at_the_field(page: "Page", team: Team) -> None:
    variants = [{"name": "a", "weight": 1}, {"name": "b", "weight": "x"}]
    steps = [
        {"key": "draw", "type": "split", "with": {"variants": variants}},
        {"key": "text", "type": "send_email", "with": {"subject": "x", "reply_to": "{{ nobody"}, "message": "Hi"},
    ]
    pipeline = Pipeline.objects.create(team=team, key="p", name="P")
    document = {"format": "crm.pipeline/1", "key": "p", "name": "P", "subject": "contacts.contact"}
    apply_document(pipeline, {**document, "steps": steps})
    page.goto(f"/admin/pipelines/pipeline/{pipeline.pk}/change/")
    for number in (0, 1):
        page.locator("[data-row=step] > details > summary").nth(number).click()
    second = page.locator("[data-parameter=variants] .pl-entry-card").nth(1)
    assert second.locator("[data-parameter=weight] .pl-error").inner_text().startswith("Must be a number")
    assert second.locator("[data-parameter=weight] input").get_attribute("aria-invalid") == "true"
    reply = page.locator("[data-parameter=reply_to] .pl-error")
    assert reply.is_visible(), "the fold it lies in is opened"


def test_several_people_take_turns_and_stand_there_again(page: "Page", team: Team) -> None:
    for name in ("ann", "bea"):
        user = User.objects.create_user(name, email=f"{name}@acme.example")
        Member.objects.create(team=team, user=user, role="member")
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("Calls")
    ask = add_step(page, "human_task")
    ask.locator("[data-parameter=title] input").fill("Call")
    ask.locator("[data-parameter=assignee] input").fill("ann@acme.example, bea@acme.example")
    save(page)
    assert stored()[0]["with"]["assignee"] == ["ann@acme.example", "bea@acme.example"]
    page.locator("[data-row=step] summary").first.click()
    shown = page.locator("[data-parameter=assignee] input").first
    assert shown.input_value() == "ann@acme.example, bea@acme.example"


def test_a_webhook_says_in_rows_what_it_fills_of_a_new_contact(page: "Page", team: Team, manager: User) -> None:
    Member.objects.update(role="owner")
    trigger = {"type": "webhook", "key": "form"}
    active(team, [{"key": "hold", "type": "wait"}], key="signup", triggers=[trigger])
    page.goto(f"/admin/pipelines/hook/add/?trigger={Trigger.objects.get().pk}")
    page.get_by_label("Name", exact=False).first.fill("Form")
    page.get_by_role("button", name="Remove this line").last.click()
    page.get_by_role("button", name="Add a line").click()
    page.get_by_label("Name", exact=True).last.fill("job_title")
    page.get_by_label("Value").last.fill("{{ trigger.work.title }}")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Copy this now").wait_for()
    assert Hook.objects.get().fields == {
        "first_name": "{{ trigger.first_name }}",
        "last_name": "{{ trigger.last_name }}",
        "job_title": "{{ trigger.work.title }}",
    }


def test_a_block_is_copied_with_all_its_steps_which_go_on_naming_each_other(page: "Page", team: Team) -> None:
    ask = {"key": "ask", "type": "human_task", "with": {"title": "Fit?"}, "on": {"done": "note"}}
    note = {"key": "note", "type": "create_task", "with": {"title": "{{ steps.ask.outcome }}, {{ steps.before.id }}"}}
    again = {"key": "again", "type": "loop", "with": {"times": 2, "steps": [{"key": "pause", "type": "wait"}]}}
    branches = [{"name": "one", "steps": [ask, note]}, {"name": "two", "steps": [again]}]
    fork = {"key": "fork", "type": "parallel", "with": {"join": "all", "branches": branches}}
    before = {"key": "before", "type": "create_task", "with": {"title": "First"}}
    pipeline = Pipeline.objects.create(team=team, key="p", name="P")
    document = {"format": "crm.pipeline/1", "key": "p", "name": "P", "subject": "contacts.contact"}
    apply_document(pipeline, {**document, "steps": [before, fork]})
    page.goto(f"/admin/pipelines/pipeline/{pipeline.pk}/change/")
    page.get_by_role("button", name="Copy this step").nth(1).click()
    copied = page.locator("[data-row=step]").nth(2)
    copied.locator("[data-branch=two] .pl-entry-card").get_by_role("button", name="Copy", exact=True).first.click()
    save(page)

    assert stored()[1]["with"]["branches"] == branches, "the original stays as it was"
    made = stored()[2]
    assert made["key"] == "fork_2"
    one, two = made["with"]["branches"]
    assert [step["key"] for step in one["steps"]] == ["ask_2", "note_2"]
    assert one["steps"][0]["on"] == {"done": "note_2"}
    assert one["steps"][1]["with"]["title"] == "{{ steps.ask_2.outcome }}, {{ steps.before.id }}"
    assert [(step["key"], step["with"]["steps"][0]["key"]) for step in two["steps"]] == [
        ("again_2", "pause_2"),
        ("again_3", "pause_3"),
    ]


def test_steps_inside_a_block_are_added_moved_and_removed(page: "Page", team: Team) -> None:
    inner = [{"key": "first", "type": "wait"}, {"key": "second", "type": "create_task", "with": {"title": "Call"}}]
    block = {"key": "again", "type": "loop", "with": {"times": 2, "steps": inner}}
    pipeline = Pipeline.objects.create(team=team, key="p", name="P")
    document = {"format": "crm.pipeline/1", "key": "p", "name": "P", "subject": "contacts.contact", "steps": [block]}
    apply_document(pipeline, document)
    page.goto(f"/admin/pipelines/pipeline/{pipeline.pk}/change/")
    row = page.locator("[data-row=step]").first
    row.locator("summary").first.click()
    cards = row.locator("[data-inside] .pl-entry-card")
    assert cards.count() == 2
    cards.nth(1).get_by_role("button", name="Move up").click()
    row.get_by_role("button", name="Add a step here").click()
    third = cards.nth(2)
    third.get_by_text("Edit", exact=True).click()
    third.get_by_label("Action").select_option("create_task")
    third.locator("[data-parameter=title] input").fill("Write")
    cards.nth(1).get_by_role("button", name="Remove").click()
    save(page)
    steps = stored()[0]["with"]["steps"]
    assert [step["with"]["title"] for step in steps] == ["Call", "Write"], json.dumps(steps)
    assert steps[0]["key"] == "second"


def test_steps_inside_a_block_lead_somewhere_and_wait_by_a_rule(page: "Page", team: Team) -> None:
    inner = [
        {"key": "ask", "type": "condition", "if": "1 > 2"},
        {"key": "no", "type": "wait"},
        {"key": "last", "type": "wait"},
    ]
    block = {"key": "again", "type": "loop", "with": {"times": 2, "steps": inner}}
    pipeline = Pipeline.objects.create(team=team, key="p", name="P")
    document = {"format": "crm.pipeline/1", "key": "p", "name": "P", "subject": "contacts.contact", "steps": [block]}
    apply_document(pipeline, document)
    page.goto(f"/admin/pipelines/pipeline/{pipeline.pk}/change/")
    row = page.locator("[data-row=step]").first
    row.locator("summary").first.click()
    cards = row.locator("[data-inside] .pl-branch > .pl-cards > .pl-entry-card")
    for index in (0, 2):
        cards.nth(index).get_by_text("Edit", exact=True).click()
    cards.nth(0).get_by_label("When it is not met, go to").select_option("last")
    cards.nth(0).get_by_text("When it fails or takes long").click()
    cards.nth(0).get_by_label("When it fails, go to").select_option("end")
    cards.nth(0).get_by_role("button", name="Add a rule of trying again").click()
    cards.nth(0).get_by_label("Tries after the first").fill("5")
    cards.nth(2).get_by_role("button", name="More…").click()
    cards.nth(2).get_by_label("At", exact=True).fill("09:00")
    cards.nth(2).get_by_label("Mon").check()
    save(page)
    ask, _, last = stored()[0]["with"]["steps"]
    assert ask["on"] == {"false": "last", "error": "end"}
    assert ask["retry"] == {"max": 5, "delay": 300, "backoff": 2}
    assert last["delay"] == {"at": "09:00", "days": ["mon"]}


def test_tries_times_hours_and_waits_have_fields_of_their_own(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("Careful")
    row = add_step(page, "send_email")
    row.locator("[data-parameter=subject] input").fill("Hello")
    row.locator("textarea[name$=-message]").fill("You")
    row.get_by_role("button", name="More…").click()
    row.locator(".pl-delay-rule").get_by_label("Wait", exact=True).fill("2")
    row.locator(".pl-delay-rule").get_by_label("Tue").check()
    row.locator(".pl-delay-rule").get_by_label("By the clock of").select_option("subject")
    row.get_by_text("More options").click()
    window = row.locator("[data-parameter=window]")
    window.get_by_label("Fri").check()
    window.get_by_label("Hours", exact=True).fill("09:00-12:00\n13:00-17:00")
    window.get_by_label("By the clock of").select_option("fixed")
    window.get_by_label("Time zone").fill("Europe/Berlin")
    row.get_by_text("When it fails or takes long").click()
    row.get_by_role("button", name="Add a rule of trying again").click()
    row.get_by_label("Mail put off (4xx)").check()
    row.get_by_label("Longest wait").fill("1")
    row.get_by_label("It may take at most", exact=True).fill("3")
    row.locator(".pl-field-timeout select").select_option("m")
    row.get_by_label("When the time is over, go to").select_option("end")
    row.get_by_label("When it fails, go to").select_option("next")
    page.get_by_text("Advanced", exact=True).last.click()
    save(page)
    (mail,) = stored()
    assert mail["delay"] == {"for": 172800, "days": ["tue"], "tz": "subject"}
    assert mail["with"]["window"] == {"days": ["fri"], "hours": ["09:00-12:00", "13:00-17:00"], "tz": "Europe/Berlin"}
    assert mail["retry"] == {"max": 3, "delay": 300, "backoff": 2, "max_delay": 86400, "on": ["smtp_4xx"]}
    assert (mail["timeout"], mail["on"]) == (180, {"timeout": "end", "error": "next"})


def test_whom_to_tell_and_to_ask_is_offered_with_the_owner_and_their_manager(page: "Page", team: Team) -> None:
    page.goto(ADD)
    page.get_by_label("Name", exact=False).first.fill("Tell them")
    for kind, parameter in (("notify", "to"), ("human_task", "assignee")):
        field = add_step(page, kind).locator(f"[data-parameter={parameter}]")
        offered = field.locator("option").evaluate_all("all => all.map((each) => [each.value, each.label])")
        assert offered == [
            ["{{ contact.owner }}", "Owner of the record"],
            ["{{ contact.owner.manager }}", "Manager of the owner"],
            ["maya@acme.example", "maya@acme.example"],
        ]
        field.locator("input").fill("{{ contact.owner.manager }}")
    menu = page.get_by_label("Insert a variable").first
    assert menu.locator("option[value='contact.owner.manager.email']").count() == 1
    save(page)
    notify, ask = stored()
    assert notify["with"] == {"to": "{{ contact.owner.manager }}"}
    assert ask["with"]["assignee"] == "{{ contact.owner.manager }}"
