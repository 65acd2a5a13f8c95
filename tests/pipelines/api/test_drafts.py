"""What a saved document does to a pipeline in use: lines are published at once, blocks wait as a draft."""

from typing import Any

import pytest
from django.test import Client

from contacts.models import Contact
from pipelines.models import Pipeline, PipelineRun
from tests.api import Api
from tests.pipelines.engine.building import document, email

pytestmark = pytest.mark.django_db
WELCOME = "pipelines/welcome/"
LINK = "http://testserver/api/v1/pipelines/welcome/publish/"


def fork(delay: str = "1d") -> dict[str, Any]:
    branches = [{"name": "mail", "steps": [email(key="hello", delay=delay)]}]
    return {"key": "fork", "type": "parallel", "with": {"branches": branches}}


def in_use(api: Api, *steps: dict[str, Any]) -> None:
    assert api.post("pipelines/", document(steps)).status_code == 201
    answer = api.post(f"{WELCOME}activate/").json()
    assert state(answer) == ("active", 1, False, None)


def state(answer: dict[str, Any]) -> tuple[Any, ...]:
    return answer["status"], answer["version"], answer["unpublished_changes"], answer["publish"]


def put(api: Api, *steps: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = api.put(f"{WELCOME}{query}", document(steps))
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def test_a_line_of_steps_is_published_by_saving_it(api: Api) -> None:
    in_use(api, email(delay="1d"))
    assert state(put(api, email(delay="2d"))) == ("active", 2, False, None)


def test_an_edit_of_blocks_waits_as_a_draft_until_somebody_publishes_it(api: Api) -> None:
    in_use(api, fork())
    Contact.objects.create(team=api.team, first_name="Ann")
    answer = put(api, fork("2d"), email(key="bye"))
    assert state(answer) == ("active", 1, True, LINK)
    assert PipelineRun.objects.get(parent=None).version.number == 1
    assert [step["key"] for step in answer["document"]["steps"]] == ["fork", "bye"]
    told = api.post(f"{WELCOME}publish/?preview=1").json()
    assert (told["version"], told["runs_on_the_way"], told["changes_anything"]) == (2, 1, True)
    assert state(api.get(WELCOME).json()) == ("active", 1, True, LINK)
    assert state(api.post(f"{WELCOME}publish/").json()) == ("active", 2, False, None)


def test_a_line_that_gets_a_block_is_a_draft_from_then_on(api: Api) -> None:
    in_use(api, email(delay="1d"))
    assert state(put(api, fork())) == ("active", 1, True, LINK)
    assert state(put(api, email(delay="2d"))) == ("active", 1, True, LINK)


HELLO = email(key="hello", delay="1d")
ALSO_BLOCKS: dict[str, dict[str, Any]] = {
    "a graph": {"steps": [HELLO, {"key": "bye", "type": "wait"}], "edges": [{"from": "hello", "to": "bye"}]},
    "a called pipeline": {"steps": [HELLO, {"key": "call", "type": "call", "with": {"pipeline": "welcome"}}]},
}


@pytest.mark.parametrize("given", ALSO_BLOCKS.values(), ids=ALSO_BLOCKS)
def test_a_graph_and_a_called_pipeline_are_blocks_too(api: Api, given: dict[str, Any]) -> None:
    in_use(api, HELLO)
    answer = api.put(WELCOME, document(**given))
    assert answer.status_code == 200, answer.content
    assert state(answer.json()) == ("active", 1, True, LINK)


@pytest.mark.parametrize("verb", ["put", "patch"])
def test_saving_and_publishing_is_one_request_where_that_is_asked(api: Api, verb: str) -> None:
    in_use(api, fork())
    body = document([fork("3d")]) if verb == "put" else {"steps": [fork("3d")]}
    assert state(getattr(api, verb)(f"{WELCOME}?publish=true", body).json()) == ("active", 2, False, None)
    assert getattr(api, verb)(f"{WELCOME}?published=true", body).status_code == 400


def test_an_import_follows_the_same_rule_and_activating_publishes(api: Api) -> None:
    in_use(api, fork())
    assert state(api.post("pipelines/import/", document([fork("2d")])).json()) == ("active", 1, True, LINK)
    assert state(api.post("pipelines/import/?publish=1", document([fork("3d")])).json())[:3] == ("active", 2, False)
    assert state(api.post("pipelines/import/?activate=1", document([fork("4d")])).json())[:3] == ("active", 3, False)


def test_a_draft_that_was_never_published_says_so(api: Api) -> None:
    answer = api.post("pipelines/", document([email()])).json()
    assert state(answer) == ("draft", None, True, LINK)
    assert state(api.put(f"{WELCOME}?publish=1", document([email()])).json()) == ("draft", 1, False, None)


def test_whoever_wants_blocks_to_be_published_at_once_says_so_on_the_page(api: Api) -> None:
    in_use(api, fork())
    Pipeline.objects.update(auto_publish=True)
    assert state(put(api, fork("2d"))) == ("active", 2, False, None)


def test_a_copy_is_published_as_its_source_is(api: Api) -> None:
    in_use(api, fork())
    assert api.post(f"{WELCOME}duplicate/").status_code == 201
    assert set(Pipeline.objects.values_list("auto_publish", flat=True)) == {False}


def test_a_list_tells_no_more_than_the_version(api: Api) -> None:
    in_use(api, fork())
    (row,) = api.get("pipelines/").json()["results"]
    assert row["version"] == 1 and "publish" not in row


def test_the_schema_knows_the_parameter(client: Client) -> None:
    paths = client.get("/api/v1/schema/?format=json").json()["paths"]
    for path, verb in (("/api/v1/pipelines/{id}/", "put"), ("/api/v1/pipelines/import/", "post")):
        named = {each["name"] for each in paths[path][verb]["parameters"]}
        assert "publish" in named
