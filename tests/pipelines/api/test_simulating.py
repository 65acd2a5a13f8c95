"""Trying out over the API: stories, audiences, expectations, and which triggers would let a record in."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Pipeline, PipelineRun
from tests.api import Api
from tests.pipelines.engine.building import AUTOMATIC, active, document, email

STEPS = [{"key": "hello", **email()}, {"key": "again", "delay": "3d", **email()}]


@pytest.fixture
def welcome(team: Team) -> Pipeline:
    return active(team, STEPS)


def test_a_pipeline_is_simulated_for_a_contact(api: Api, welcome: Pipeline, team: Team) -> None:
    welcome.triggers.update(enabled=False)
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    answer = api.post("pipelines/welcome/simulate/", {"subject": ann.pk, "start": "2027-03-01T12:00:00Z"})
    assert answer.status_code == 200
    report = answer.json()
    assert report["success"] and [each["key"] for each in report["steps"]] == ["hello", "again"]
    assert report["messages"][1]["at"] == "2027-03-04T12:00:00+00:00"
    assert not PipelineRun.objects.exists()


def test_a_draft_a_version_and_a_document_can_be_simulated(api: Api, welcome: Pipeline) -> None:
    welcome.auto_publish = False
    welcome.save()
    api.patch("pipelines/welcome/", {"steps": STEPS[:1]})
    assert len(api.post("pipelines/welcome/simulate/").json()["steps"]) == 1
    assert len(api.post("pipelines/welcome/simulate/", {"version": 1}).json()["steps"]) == 2
    assert len(api.post("pipelines/welcome/simulate/", {"document": document(STEPS * 1)}).json()["steps"]) == 2
    fresh = {"key": "fresh", "name": "Fresh", "subject": "contacts.contact", "steps": [email()]}
    assert api.post("pipelines/simulate/", {"document": fresh}).json()["messages"][0]["subject"] == "Hi"
    assert api.post("pipelines/welcome/simulate/", {"version": 9}).status_code == 400


def test_an_audience_answers_with_funnel_and_calendar(api: Api, welcome: Pipeline, team: Team) -> None:
    for n in range(3):
        Contact.objects.create(team=team, email=f"c{n}@example.org")
    report = api.post("pipelines/welcome/simulate/", {"audience": {"limit": 10}}).json()
    assert [step["subjects"] for step in report["funnel"]] == [3, 3]
    assert sum(each["count"] for each in report["calendar"]) == 6


def test_expectations_are_played_on_demand(api: Api, team: Team) -> None:
    meta = {"expect": [{"given": {}, "then": [{"step": "again", "at": "3d"}, {"step": "again", "at": "4d"}]}]}
    answer = api.post("pipelines/simulate/", {"document": document(STEPS, meta=meta), "expect": True}).json()
    assert answer["met"] is False
    assert [check["met"] for check in answer["stories"][0]["checks"]] == [True, False]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"subject": 99_999}, "subject"),
        ({"subject": 10**30}, "subject"),
        ({"audience": {"ids": [10**30]}}, "audience.ids"),
        ({"stubs": {"nope": 1}}, "stubs.nope"),
        ({"audience": 3}, "audience"),
        ({"colour": 1}, "colour"),
        ({"document": {"key": "x", "name": "X", "steps": [{"type": "nothing"}]}}, "steps[0].type"),
    ],
    ids=["subject", "far", "far_audience", "stub", "audience", "unknown", "document"],
)
def test_what_cannot_be_simulated_is_refused_with_its_path(
    api: Api, welcome: Pipeline, body: dict[str, Any], path: str
) -> None:
    answer = api.post("pipelines/welcome/simulate/", body)
    assert answer.status_code == 400
    assert path in [error["path"] for error in answer.json()["errors"]]


def test_viewers_may_not_simulate_and_strangers_find_nothing(welcome: Pipeline, team: Team) -> None:
    assert Api(team, role="viewer").post("pipelines/welcome/simulate/").status_code == 403
    other = Team.objects.create(name="Other", slug="other")
    assert Api(other).post("pipelines/welcome/simulate/").status_code == 404


def test_triggers_tell_who_would_enter_and_why_not(api: Api, welcome: Pipeline, team: Team) -> None:
    where = {"field": "contact.email", "operator": "contains", "value": "@example.org"}
    active(team, STEPS, key="picky", triggers=[{**AUTOMATIC, "where": where}])
    active(team, STEPS, key="carts", triggers=[{"type": "event", "event": "cart.abandoned"}])
    ann = Contact.objects.create(team=team, email="ann@other.net")
    results = {each["pipeline"]: each for each in api.post("triggers/test/", {"subject": ann.pk}).json()["results"]}
    assert set(results) == {"welcome", "picky"}
    assert (results["welcome"]["would_enroll"], results["welcome"]["reason"]) == (False, "already in the pipeline")
    assert results["picky"]["why"][0]["actual"] == "ann@other.net"
    (sample,) = [
        each
        for each in api.post("triggers/test/", {"subject": {"email": "zoe@example.org"}}).json()["results"]
        if each["pipeline"] == "picky"
    ]
    assert sample["would_enroll"]
    (cart,) = api.post("triggers/test/", {"subject": ann.pk, "event": "cart.abandoned"}).json()["results"]
    assert cart["would_enroll"] and cart["pipeline"] == "carts"
    assert Contact.objects.count() == 1 and PipelineRun.objects.count() == 1


def test_a_posted_record_of_another_team_is_unknown_to_triggers(api: Api, welcome: Pipeline) -> None:
    other = Team.objects.create(name="Other", slug="other")
    foreign = Contact.objects.create(team=other, email="x@example.org")
    assert api.post("triggers/test/", {"subject": foreign.pk}).status_code == 400
    assert api.post("triggers/test/", {"subject": 10**30}).status_code == 400
