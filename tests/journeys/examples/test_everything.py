"""Every capability in one document, played from the webhook to the segment.

The service that enriches cannot be reached from here, which the document allows for; one test puts a server in place.
"""

import json
import socket
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from contacts.models import Contact
from crm.models import Notification
from crm.signatures import sign
from pipelines.models import Pipeline, PipelineRun
from pipelines.triggers.hooks import Opened, open_hook
from tests.journeys.examples.stage import DAY, HOUR, Stage
from tests.sinks.http import Answer, HttpSink
from tests.sinks.smtp import SmtpSink

ANN = "ann@example.org"
ONBOARDING = ("welcome_email", "welcome_push", "getting_started", "feature_showcase")


@pytest.fixture(autouse=True)
def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of the document is that of nobody."""

    known = socket.getaddrinfo

    def unknown(host: Any, *args: Any, **more: Any) -> Any:
        if str(host).endswith(".example"):
            raise socket.gaierror(f"{host} is not known")
        return known(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


@pytest.fixture
def ann(stage: Stage) -> int:
    """A contact with phone, device and owner, who was there before the pipelines."""
    for key in (*ONBOARDING, "hello", "hello_again"):
        stage.template(key)
    stage.made("segments", {"key": "hot", "name": "Hot"})
    owner = stage.member("ola", groups=["sales"]).pk
    return stage.contact(phone="+491511234567", owner=owner, custom={"device_token": "tok"})


@pytest.fixture
def ready(stage: Stage, ann: int) -> int:
    stage.loaded("user_onboarding")
    stage.loaded("everything")
    return ann


def with_changes(stage: Stage, *, url: str = "", opened: str = "") -> dict[str, Any]:
    """The document with another address, or another patience for its first mail."""
    document = stage.document("everything")
    steps = document["steps"]
    if url:
        steps[0]["with"]["url"] = url
    if opened:
        steps[1]["with"]["branches"][0]["steps"][1]["timeout"] = opened
    return document


def by_hand(stage: Stage, contact: int, **variables: Any) -> int:
    return stage.trigger("everything", contact, variables=variables)


def the_task(stage: Stage) -> dict[str, Any]:
    (task,) = stage.tasks(status="open")
    return task


def in_hot(stage: Stage) -> list[int]:
    (segment,) = stage.api.get("segments/", key="hot").json()["results"]
    members = stage.api.get(f"segments/{segment['id']}/members/").json()["results"]
    return [member["subject"]["id"] for member in members]


def test_a_new_team_is_told_all_that_it_lacks(stage: Stage) -> None:
    assert set(stage.missing("everything")) == {
        "steps[1].with.branches[0].steps[0].with.template", "steps[1].with.branches[0].steps[2].with.template",
        "steps[4].with.pipeline", "steps[6].with.segment",
    }  # fmt: skip


def test_who_does_not_open_is_reminded_and_the_owner_hears_when_all_is_done(stage: Stage, ready: int) -> None:
    run = by_hand(stage, ready, score=12)
    assert stage.walk(0, HOUR) == [
        (0, "email", ANN, "hello"), (HOUR, "sms", "+491511234567", "SMS to +491511234567"),
    ]  # fmt: skip
    assert ("enrich", "error") in stage.story(run) and not Notification.objects.exists()
    assert stage.walk(2 * DAY) == [(2 * DAY, "email", ANN, "hello_again")]
    assert [(note.user.username, note.title) for note in Notification.objects.all()] == [("ola", "Outreach done")]
    stage.walk(2 * DAY + 2)
    assert stage.run(run)["variables"]["attempts"] == 2 and stage.tasks() == []
    stage.walk(2 * DAY + 3)
    assert stage.run(run)["variables"]["attempts"] == 3
    assert the_task(stage)["title"] == "Is Ann a fit?"


def test_who_opens_is_not_reminded(stage: Stage, ready: int) -> None:
    by_hand(stage, ready)
    stage.walk(0, HOUR)
    stage.event("email_opened", ready)
    assert [title for *_, title in stage.walk(2 * HOUR) if title == "hello_again"] == []
    assert [note.title for note in Notification.objects.all()] == ["Outreach done"]
    stage.walk(2 * HOUR + 3)
    assert the_task(stage)["title"] == "Is Ann a fit?"
    assert [title for *_, title in stage.walk(2 * DAY) if title == "hello_again"] == []


def test_without_a_phone_there_is_no_sms_and_the_rest_goes_on(stage: Stage, ready: int) -> None:
    bo = stage.contact("Bo")
    for pipeline in ("everything", "user_onboarding"):
        assert stage.run_of(bo, pipeline)
    arrived = [
        each for each in stage.walk(0, HOUR, 2 * DAY, 2 * DAY + 1, 2 * DAY + 3) if each[3].startswith(("hello", "SMS"))
    ]
    assert [title for *_, title in arrived] == ["hello", "hello_again"]
    assert the_task(stage)["title"] == "Is Bo a fit?"


def asked(stage: Stage, contact: int, **variables: Any) -> int:
    """A run whose question is open, four hours after the start."""
    run = by_hand(stage, contact, **variables)
    stage.walk(0, HOUR)
    stage.event("email_opened", contact)
    stage.walk(2 * HOUR)
    stage.walk(2 * HOUR + 3)
    return run


def test_an_approved_lead_is_handed_over_to_onboarding_and_tagged_after_it(stage: Stage, ready: int) -> None:
    run = asked(stage, ready, score=12)
    assert stage.answer(the_task(stage), "approve", reason="Tall").status_code == 200
    begin = 2 * HOUR + 4
    arrived = stage.walk(begin, begin + 5, begin + 5 + HOUR)
    assert [title for *_, title in arrived if title in ONBOARDING] == list(ONBOARDING[:3])
    assert stage.run(run)["status"] == "waiting" and in_hot(stage) == []
    assert [title for *_, title in stage.walk(begin + 5 + HOUR + DAY)] == ["feature_showcase"]
    assert in_hot(stage) == [ready]
    assert stage.outcome(run) == ("completed", "end")
    assert stage.run(run)["variables"] == {"score": 12, "attempts": 3, "verdict": "approve"}
    assert [step for step, _ in stage.story(run)] == [
        "enrich", "outreach", "probe", "approve", "handover", "score_check", "tag",
    ]  # fmt: skip


def test_an_approved_lead_with_a_low_score_is_cold_in_the_end(stage: Stage, ready: int) -> None:
    run = asked(stage, ready, score=3)
    stage.answer(the_task(stage), "approve")
    begin = 2 * HOUR + 4
    stage.walk(begin, begin + 5, begin + 5 + HOUR, begin + 5 + HOUR + DAY)
    assert stage.outcome(run) == ("completed", "end") and in_hot(stage) == []
    assert ("score_check", "false") in stage.story(run)
    assert stage.api.get(f"contacts/{ready}/").json()["custom"]["status"] == "cold"


def test_a_rejected_lead_is_cold_at_once(stage: Stage, ready: int) -> None:
    run = asked(stage, ready, score=99)
    stage.answer(the_task(stage), "reject", reason="Too small")
    assert stage.walk(2 * HOUR + 5) == []
    assert stage.outcome(run) == ("completed", "end")
    assert stage.run(run)["variables"]["verdict"] == "reject"
    assert stage.api.get(f"contacts/{ready}/").json()["custom"]["status"] == "cold"


def test_a_question_that_nobody_answers_is_asked_again(stage: Stage, ready: int) -> None:
    run = asked(stage, ready)
    first = the_task(stage)
    stage.walk(2 * HOUR + 3 + 3 * DAY)
    second = the_task(stage)
    assert first["id"] != second["id"] and ("approve", "timeout") in stage.story(run)
    assert stage.answer(first, "approve").status_code == 409
    assert stage.answer(second, "reject").status_code == 200


def test_who_unsubscribes_by_the_link_in_the_mail_leaves_at_once(stage: Stage, ready: int, smtp: SmtpSink) -> None:
    run = by_hand(stage, ready)
    stage.walk(0)
    link = urlsplit(str(smtp.messages()[0]["List-Unsubscribe"]).strip().strip("<>"))
    assert Client().post(link.path, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert stage.walk(1, HOUR, 2 * DAY, 12 * DAY) == []
    assert stage.outcome(run) == ("cancelled", "unsubscribed")
    assert not PipelineRun.objects.filter(finished_at=None).exists(), "branches end with their run"


def test_a_block_that_takes_ten_days_is_left_for_the_question(stage: Stage, ann: int) -> None:
    stage.loaded("user_onboarding")
    stage.loaded("everything", with_changes(stage, opened="20d"))
    run = by_hand(stage, ann)
    assert len(stage.walk(0, HOUR)) == 2
    assert stage.walk(2 * DAY) == [] and stage.tasks() == []
    stage.walk(10 * DAY)
    assert stage.story(run)[-1] == ("outreach", "timeout")
    assert the_task(stage)["title"] == "Is Ann a fit?"
    assert stage.run(run)["variables"].get("attempts", 0) == 0 and not Notification.objects.exists()
    assert [title for *_, title in stage.walk(21 * DAY) if title == "hello_again"] == []


def test_the_enriching_service_may_fail_twice_and_its_answer_becomes_the_score(
    stage: Stage, ann: int, web: HttpSink
) -> None:
    stage.loaded("user_onboarding")
    stage.loaded("everything", with_changes(stage, url=f"{web.url}/v1"))
    web.script(Answer(500), Answer(503), Answer(body=b'{"score": 42}'))
    run = by_hand(stage, ann)
    assert stage.walk(0, 0.5) == [], "the first mail waits for the service"
    assert [title for *_, title in stage.walk(1.5)] == ["hello"], "half a minute, and then a whole one"
    assert [json.loads(each["body"]) for each in web.requests()] == [{"email": ANN}] * 3
    assert stage.run(run)["variables"]["score"] == 42


def test_a_post_to_the_webhook_starts_one_run_for_each_id(stage: Stage, ready: int) -> None:
    trigger = Pipeline.objects.get(key="everything").triggers.get(key="hook")
    hook = open_hook(trigger=trigger, name="Form", signed=True)
    assert post(hook, {"id": "f-1", "contact_id": ready, "score": 12}, "msg_1").status_code == 202
    assert post(hook, {"id": "f-1", "contact_id": ready, "score": 99}, "msg_2").status_code == 202
    assert [title for *_, title in stage.walk(0)] == ["hello"]
    run = stage.run_of(ready, "everything")
    assert stage.run(run)["variables"]["score"] == 12


def test_a_new_contact_enters_by_itself(stage: Stage, ready: int) -> None:
    bo = stage.contact("Bo", phone="+491517654321")
    assert Contact.objects.get(pk=bo).email == "bo@example.org"
    assert [title for *_, title in stage.walk(0)].count("hello") == 1


def post(hook: Opened, body: Any, message_id: str) -> Any:
    raw, stamp = json.dumps(body).encode(), int(datetime.now(UTC).timestamp())
    signature = sign(secret=hook.secret, message_id=message_id, timestamp=stamp, body=raw)
    headers = {"webhook-id": message_id, "webhook-timestamp": str(stamp), "webhook-signature": signature}
    return Client().post(f"/api/v1/hooks/{hook.token}/", raw, content_type="application/json", headers=headers)
