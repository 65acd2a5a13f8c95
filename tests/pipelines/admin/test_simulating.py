"""The page that tries a pipeline out."""

import json
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations import import_document
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import form_of, text_of
from tests.pipelines.engine.building import active, document, email


def address(pipeline: Pipeline) -> str:
    return f"/admin/pipelines/pipeline/{pipeline.pk}/simulate/"


def shown(client: Client, pipeline: Pipeline, **query: Any) -> str:
    answer = client.get(address(pipeline), query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_page_of_a_pipeline_leads_there(manager: Client, welcome: Pipeline) -> None:
    page = manager.get(reverse("admin:pipelines_pipeline_change", args=[welcome.pk])).content.decode()
    assert address(welcome) in page
    assert "What would happen?" in shown(manager, welcome)


def test_a_sample_gets_a_timetable_with_its_messages(manager: Client, welcome: Pipeline) -> None:
    page = shown(manager, welcome, who="sample", sample='{"first_name": "Zoe", "email": "zoe@example.org"}')
    assert "Hello Zoe" in page and "zoe@example.org" in page and "is through after 1 day" in page
    assert not PipelineRun.objects.exists() and not mail.outbox


def test_a_contact_is_found_by_words_or_chosen_among_several(manager: Client, welcome: Pipeline, team: Team) -> None:
    welcome.triggers.update(enabled=False)
    ann = Contact.objects.create(team=team, first_name="Ann", last_name="Berg", email="ann@example.org")
    assert "Hello Ann" in shown(manager, welcome, who="record", record="ann@example.org")
    assert "Hello Ann" in shown(manager, welcome, who="record", record=str(ann.pk))
    Contact.objects.create(team=team, first_name="Anna", last_name="Berg", email="anna@example.org")
    page = shown(manager, welcome, who="record", record="Berg")
    assert "Whom do you mean?" in page and f"record={ann.pk}" in page
    assert "nobody is found" in shown(manager, welcome, who="record", record="Nobody")


def test_html_is_shown_in_a_frame_without_rights(manager: Client, team: Team) -> None:
    html = "<p style='color:red'>Hi</p><script>alert(1)</script>"
    step = {"type": "send_email", "with": {"subject": "Hi", "html": html}}
    pipeline = active(team, [step])
    page = shown(manager, pipeline, who="sample")
    frame = page.partition('<iframe sandbox loading="lazy"')[2].partition('src="')[2].partition('"')[0]
    answer = manager.get(frame)
    assert "Hi" in answer.content.decode() and "script" not in answer.content.decode()
    assert "sandbox" in answer["Content-Security-Policy"]
    assert Client().get(frame).status_code == 302


def test_an_audience_shows_bars_and_a_calendar(manager: Client, welcome: Pipeline, team: Team) -> None:
    for n in range(3):
        Contact.objects.create(team=team, email=f"c{n}@example.org")
    page = shown(manager, welcome, who="audience", limit="10")
    assert "<strong>3</strong> of 3 would enter" in page
    calendar = page.partition("What would be sent when")[2]
    assert "<b>3</b> Send email" in calendar and "step_1" not in calendar


def test_expectations_are_shown_kept_and_broken(manager: Client, team: Team) -> None:
    stories = [
        {"name": "Good", "given": {}, "then": [{"status": "completed"}]},
        {"name": "Bad", "given": {}, "then": [{"status": "failed"}]},
    ]
    pipeline = import_document(team=team, document=document([email()], meta={"expect": stories}))
    page = shown(manager, pipeline, who="expect")
    assert page.index("broken") < page.index("kept")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"who": "sample", "stubs": '{"nope": {}}'}, "stubs.nope"),
        ({"who": "sample", "sample": "{"}, "Not valid JSON"),
        ({"who": "sample", "until": "yesterday"}, "until"),
        ({"who": "record", "record": "999999"}, "there is no contact"),
        ({"who": "audience", "where": '{"field": "contact.email", "operator": "resembles"}'}, "audience.where"),
    ],
    ids=["stub", "json", "until", "record", "where"],
)
def test_what_cannot_be_played_says_why(manager: Client, welcome: Pipeline, query: dict[str, str], told: str) -> None:
    assert told in shown(manager, welcome, **query)


def test_people_are_asked_in_the_form_with_answers_to_begin_with(manager: Client, team: Team) -> None:
    form = [{"name": "budget", "type": "number", "required": True}]
    step = {"key": "ask", "type": "human_task", "with": {"title": "Fit?", "outcomes": ["yes", "no"], "form": form}}
    pipeline = active(team, [step, {"key": "tell", **email("{{ steps.ask.budget }}")}])
    page = shown(manager, pipeline)
    assert "&quot;budget&quot;: 1" in page and "&quot;outcome&quot;: &quot;yes&quot;" in page
    answers = {"ask": [{"after": "2h", "outcome": "yes", "values": {"budget": 70}}]}
    assert "70" in shown(manager, pipeline, who="sample", responses=json.dumps(answers))


def test_how_each_step_came_out_is_told_in_words(manager: Client, team: Team) -> None:
    lead = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "lead"}
    steps = [
        {"key": "check", "type": "condition", "if": lead, "on": {"true": "ask", "false": "end"}},
        {"key": "ask", "type": "human_task", "timeout": "2d", "with": {"title": "Fit?", "outcomes": ["yes", "no"]},
         "on": {"timeout": "wait"}},
        {"key": "wait", "type": "wait_for", "with": {"events": [{"event": "order.paid"}]}, "timeout": "1d",
         "on": {"timeout": "end"}},
    ]  # fmt: skip
    pipeline = active(team, steps)
    silent = text_of(manager.get(address(pipeline), {"who": "sample"}))
    for sentence in ("The condition was met.", "Nobody answered in time.", "It did not come in time."):
        assert sentence in silent
    story = {
        "responses": json.dumps({"ask": [{"after": "1h", "outcome": "yes", "values": {}}]}),
        "events": json.dumps([{"after": "2h", "type": "order.paid"}]),
    }
    told = text_of(manager.get(address(pipeline), {"who": "sample", **story}))
    assert "Answered with “yes”." in told and "“order.paid” came." in told


def test_viewers_and_strangers_may_not(viewer: Client, sign_in: SignIn, welcome: Pipeline) -> None:
    assert viewer.get(address(welcome)).status_code == 403
    other = Team.objects.create(name="Other", slug="other")
    assert sign_in("manager", of=other).get(address(welcome)).status_code == 404


def test_a_broken_promise_refuses_publishing_unless_the_box_is_ticked(manager: Client, team: Team) -> None:
    story = {"name": "Bad", "given": {}, "then": [{"status": "failed"}]}
    pipeline = import_document(team=team, document=document([email()], meta={"expect": [story]}))
    publish = f"/admin/pipelines/pipeline/{pipeline.pk}/publish/"
    assert "Even if it does not do what it promises" in manager.get(publish).content.decode()
    told = manager.post(publish, follow=True).content.decode()
    assert "1 promise is not kept: the status of the run is" in told and not pipeline.versions.exists()
    manager.post(publish, {"force": "1"})
    assert pipeline.versions.count() == 1


def test_a_save_that_breaks_a_promise_says_which_and_where_it_is_played(manager: Client, team: Team) -> None:
    story = {"name": "Soon", "given": {}, "then": [{"step": "hello", "at": "1h"}, {"message": "hello", "at": "1h"}]}
    steps = [email(key="hello", delay=3_600)]
    pipeline = import_document(team=team, document=document(steps, meta={"expect": [story]}), activate=True)
    page = f"/admin/pipelines/pipeline/{pipeline.pk}/change/"
    values = {**form_of(manager.get(page)), "steps-0-delay_text": "2h", "_continue": "1"}
    answer = manager.post(page, values, follow=True)
    told, html = text_of(answer), answer.content.decode()
    assert (
        "Saved, not published: 1 promise is not kept: hello comes 2 hours after the start, not 1 hour after the start."
        in told
    )
    assert f"{address(pipeline)}?who=expect" in html and pipeline.versions.count() == 1
    refused = manager.post(f"/admin/pipelines/pipeline/{pipeline.pk}/publish/", {"policy": "follow"}, follow=True)
    assert "Not done: 1 promise is not kept: hello comes 2 hours" in text_of(refused)
    assert "see the list on this page" not in text_of(refused)
