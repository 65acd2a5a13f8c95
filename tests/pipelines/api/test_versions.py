"""Versions through the API: history, differences, previews that match what happens, the way back, and pictures."""

from typing import Any
from xml.etree import ElementTree

import pytest

from contacts.models import Contact
from pipelines.models import Pipeline, PipelineRun
from tests.api import Api
from tests.pipelines.engine.building import document, email

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(api: Api) -> Pipeline:
    """Two mails; one contact waits an hour for the first. Nothing is published by itself."""
    steps = [email(key="hello", delay=3_600), email(key="again", delay="1d")]
    assert api.post("pipelines/", document(steps)).status_code == 201
    assert api.post("pipelines/welcome/activate/").status_code == 200
    Contact.objects.create(team=api.team, email="a@example.org")
    Pipeline.objects.update(auto_publish=False)
    return Pipeline.objects.get()


def edit(api: Api, *steps: dict[str, Any]) -> None:
    assert api.put("pipelines/welcome/", document(list(steps))).status_code == 200


def test_a_preview_tells_what_a_publish_then_does(api: Api, waiting: Pipeline) -> None:
    edit(api, email(key="again", delay="2d"))
    told = api.post("pipelines/welcome/publish/?preview=1").json()
    assert (told["version"], told["changes_anything"], told["runs_on_the_way"]) == (2, True, 1)
    assert told["moved"] == {"retimed": 0, "passed_on": 1, "completed": 0, "cancelled": 0}
    (line,) = told["lines"]
    assert (line["step"], line["runs"], line["what"], line["to"]) == ("hello", 1, "passed_on", "again")
    assert [change["what"] for change in told["changes"]] == ["changed", "removed"]
    assert Pipeline.objects.get().current_version_id == waiting.current_version_id
    assert api.post("pipelines/welcome/publish/", {"note": "shorter"}).json()["version"] == 2
    run = PipelineRun.objects.get()
    assert run.step is not None and run.step.key == "again"


def test_the_policy_of_a_publish_is_chosen(api: Api, waiting: Pipeline) -> None:
    edit(api, email(key="again"))
    assert api.post("pipelines/welcome/publish/?preview=1", {"policy": "cancel"}).json()["moved"]["cancelled"] == 1
    assert api.post("pipelines/welcome/publish/", {"policy": "cancel"}).status_code == 200
    assert PipelineRun.objects.get().reason == "version_replaced"
    assert api.post("pipelines/welcome/publish/", {"policy": "leave"}).status_code == 400


def test_the_history_counts_the_runs_on_each_version(api: Api, waiting: Pipeline) -> None:
    edit(api, email(key="hello", delay=3_600))
    api.post("pipelines/welcome/publish/", {"policy": "pin", "note": "shorter"})
    rows = api.get("pipelines/welcome/versions/").json()["results"]
    assert [(row["number"], row["note"], row["policy"], row["runs_on_the_way"]) for row in rows] == [
        (2, "shorter", "pin", 0),
        (1, "", "follow", 1),
    ]
    assert api.get("pipelines/welcome/versions/1/").json()["document"]["steps"][0]["key"] == "hello"


def test_two_versions_are_compared(api: Api, waiting: Pipeline) -> None:
    edit(api, email(key="hello", delay=7_200), email(key="again", delay="1d"))
    (change,) = api.get("pipelines/welcome/diff/").json()["changes"]
    assert change["fields"] == [
        {"field": "delay", "before": 3600, "after": 7200, "words": "wait 1 hour → 2 hours"},
    ]  # fmt: skip
    assert api.get("pipelines/welcome/diff/?from=1&to=1").json()["changes"] == []
    assert api.get("pipelines/welcome/diff/?from=9").status_code == 400
    assert api.get("pipelines/welcome/diff/?since=1").status_code == 400
    assert api.get("pipelines/welcome/diff/?from=12345678901").json()["errors"][0]["path"] == "from"


def test_going_back_is_a_new_version(api: Api, waiting: Pipeline) -> None:
    edit(api, email(key="again"))
    api.post("pipelines/welcome/publish/")
    told = api.post("pipelines/welcome/roll-back/?preview=1", {"version": 1}).json()
    assert told["version"] == 3 and [change["what"] for change in told["changes"]] == ["added", "changed"]
    assert api.post("pipelines/welcome/roll-back/", {"version": 1}).json()["version"] == 3
    assert api.post("pipelines/welcome/roll-back/", {"version": 3}).status_code == 409
    assert api.post("pipelines/welcome/roll-back/", {"version": 8}).status_code == 400


def test_going_back_keeps_a_word_about_it_and_drops_a_draft(api: Api, waiting: Pipeline) -> None:
    edit(api, email(key="again"))
    assert api.post("pipelines/welcome/roll-back/", {"version": 1}).json()["version"] == 1
    assert api.get("pipelines/welcome/diff/").json()["changes"] == []
    edit(api, email(key="again"))
    api.post("pipelines/welcome/publish/")
    api.post("pipelines/welcome/roll-back/", {"version": 1, "note": "too short"})
    notes = [row["note"] for row in api.get("pipelines/welcome/versions/").json()["results"]]
    assert notes == ["Back to version 1: too short", "", ""]


@pytest.mark.parametrize("query", ["", "?theme=dark", "?theme=light&version=1", "?counts=1", "?small=1"])
def test_a_picture_stands_alone(api: Api, waiting: Pipeline, query: str) -> None:
    answer = api.get(f"pipelines/welcome/picture.svg{query}")
    assert answer.status_code == 200 and answer["Content-Type"].startswith("image/svg+xml")
    root = ElementTree.fromstring(answer.content)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and "prefers-color-scheme" in answer.content.decode()
    assert ("1 here now" in answer.content.decode()) is (query == "?counts=1")


def test_a_picture_that_cannot_be_drawn_so_is_refused(api: Api, waiting: Pipeline) -> None:
    assert api.get("pipelines/welcome/picture.svg?theme=pink").status_code == 400
    assert api.get("pipelines/welcome/picture.svg?version=7").status_code == 400
    assert api.get("pipelines/nobody/picture.svg").status_code == 404


def test_a_step_is_given_to_those_who_have_passed_it(api: Api, waiting: Pipeline) -> None:
    edit(api, email(key="first"), email(key="hello", delay=3_600), email(key="again", delay="1d"))
    api.post("pipelines/welcome/publish/")
    told = api.post("pipelines/welcome/backfill/?preview=1", {"step": "first"}).json()
    assert (told["on_the_way"], told["completed"], told["done"]) == (1, 0, 0)
    assert api.post("pipelines/welcome/backfill/", {"step": "first"}).json()["done"] == 1
    assert api.post("pipelines/welcome/backfill/", {"step": "first"}).json()["done"] == 0
    assert api.post("pipelines/welcome/backfill/", {"step": "nothing"}).status_code == 409
