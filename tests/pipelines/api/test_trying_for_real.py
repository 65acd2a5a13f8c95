"""Test runs over the API: begun by `test`, told apart by `test`."""

import pytest

from contacts.models import Contact
from crm.models import Message
from pipelines.models import PipelineRun
from tests.api import Api
from tests.pipelines.engine.building import NOON, document, email


@pytest.fixture
def contact(api: Api) -> Contact:
    return Contact.objects.create(team=api.team, first_name="Ann", email="ann@example.org")


def made(api: Api, *, active: bool = True) -> None:
    steps = [email("Hello {{ contact.first_name }} {{ trigger.word }}")]
    answer = api.post(
        f"pipelines/import/?activate={str(active).lower()}", document(steps, triggers=[{"type": "manual"}])
    )
    assert answer.status_code == 201, answer.content


@pytest.mark.usefixtures("test_clock")
def test_what_was_begun_as_a_test_is_shown_as_one_and_its_message_as_captured(api: Api, contact: Contact) -> None:
    made(api)
    begun = {"subject": contact.pk, "payload": {"word": "there"}, "test": True}
    (run,) = api.post("pipelines/welcome/trigger/", begun).json()["runs"]
    (other,) = api.post("pipelines/welcome/enroll/", {"subjects": [contact.pk], "test": True}).json()["runs"]
    (real,) = api.post("pipelines/welcome/enroll/", {"subjects": [contact.pk]}).json()["runs"]
    api.post("engine/tick/", {"now": NOON.isoformat()})
    assert api.get(f"pipeline-runs/{run}/").json()["test"] is True
    assert {row["id"] for row in api.get("pipeline-runs/?test=true").json()["results"]} == {run, other}
    assert {row["id"]: row["test"] for row in api.get("pipeline-runs/?test=false").json()["results"]} == {real: False}
    assert api.get("pipeline-runs/?test=maybe").status_code == 400
    captured = Message.objects.get(run_id=run)
    shown = api.get(f"messages/{captured.pk}/").json()
    assert (shown["state"], shown["sent_at"], captured.text) == ("captured", None, "Hello Ann there")
    assert api.get("pipelines/welcome/metrics/").json()["total"] == 1


def test_a_pipeline_that_was_never_published_says_what_to_do(api: Api, contact: Contact) -> None:
    made(api, active=False)
    answer = api.post("pipelines/welcome/enroll/", {"subjects": [contact.pk], "test": True})
    assert answer.status_code == 409 and "publish it first" in answer.content.decode()
    assert api.post("pipelines/welcome/publish/", {}).status_code == 200
    answer = api.post("pipelines/welcome/enroll/", {"subjects": [contact.pk], "test": True})
    assert PipelineRun.objects.get(pk=answer.json()["runs"][0]).test
