"""Who is not let in is told why, also where nobody is meant: in the answer, in the list, in the log of a webhook."""

from typing import Any

import pytest

from pipelines.engine.incoming import work_off
from pipelines.models import HookDelivery, Trigger
from pipelines.triggers.hooks import open_hook
from tests.api import Api
from tests.pipelines.engine.building import NOON, document

pytestmark = pytest.mark.django_db
COUNT = [{"key": "count", "type": "set_variable", "with": {"n": 1}}]
NEEDED = [{"name": "n", "type": "number", "required": True}]
FULL = {"max_executions": 1}


def without_a_subject(api: Api, **more: object) -> None:
    body = {**document(COUNT, triggers=[{"type": "manual", "key": "hand"}]), **more}
    body.pop("subject")
    made = api.post("pipelines/", body)
    assert made.status_code == 201, made.content
    assert api.post("pipelines/welcome/activate/").status_code == 200


def test_a_call_about_no_record_that_is_refused_says_why_and_is_listed(api: Api) -> None:
    without_a_subject(api, variables=NEEDED)
    answer = api.post("pipelines/welcome/trigger/", {}).json()
    assert answer["runs"] == []
    ((refused),) = answer["refused"]
    assert refused["subject"] is None and "'n' needs a value" in refused["detail"]
    (listed,) = api.get("enrollment-decisions/?subject=none").json()["results"]
    assert (listed["pipeline"], listed["subject"], listed["decision"]) == ("welcome", None, "error")
    assert "'n' needs a value" in listed["why"][0]["error"]
    assert api.get("enrollment-decisions/?subject=7").status_code == 400


def test_a_post_about_no_record_that_is_refused_says_why_in_its_log_and_is_listed_by_its_trigger(api: Api) -> None:
    without_a_subject(
        api, triggers=[{"type": "webhook", "key": "posted"}], settings=FULL, variables=[{"name": "n", "type": "number"}]
    )
    hook = open_hook(trigger=Trigger.objects.get(), name="Posts", signed=False).hook
    for number in range(2):
        HookDelivery.objects.create(hook=hook, message_id=f"m{number}", body={}, at=NOON)
    work_off(now=NOON)
    first, second = HookDelivery.objects.order_by("id")
    assert first.run_id and second.outcome == "did not enter: limit reached"
    (listed,) = api.get("enrollment-decisions/?trigger=posted").json()["results"]
    assert (listed["trigger"], listed["decision"]) == ("posted", "limit reached")
    assert api.get("enrollment-decisions/?trigger=other").json()["results"] == []


@pytest.mark.parametrize(
    ("kind", "good", "bad", "words"),
    [
        ("string", "12", 12, "a text"),
        ("number", 1.5, "1.5", "a number"),
        ("number", 0, True, "a number"),
        ("boolean", False, "no", "true or false"),
        ("datetime", "2027-03-01T09:00:00Z", "soon", "a time"),
        ("date", "2027-03-01", "1.3.2027", "a date"),
        ("object", {"id": 1}, [1], "an object"),
        ("list", [1], "1, 2", "a list"),
        ("any", "x", None, ""),
    ],
)
def test_a_value_of_another_type_is_refused_with_a_sentence(
    api: Api, kind: str, good: Any, bad: Any, words: str
) -> None:
    variables = [{"name": "given", "type": kind}]
    made = api.post("pipelines/import/?activate=true", {
        "format": "crm.pipeline/1", "key": "typed", "name": "Typed", "variables": variables,
        "triggers": [{"type": "manual"}], "steps": [{"type": "wait"}],
    })  # fmt: skip
    assert made.status_code == 201, made.content
    for value, refused in ((good, False), (bad, bool(words))):
        told = api.post("pipelines/typed/trigger/", {"variables": {"given": value}})
        assert (told.status_code != 200 or told.json()["refused"] != []) is refused, told.content
        assert not refused or f"'given' must be {words}" in told.content.decode()
