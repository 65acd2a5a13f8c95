"""SMS by a gateway that speaks Twilio's HTTP: sent at most once, with consent, and followed to the receiver."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from crm.models import Message, MessageEvent, OptIn, Suppression
from pipelines.models import Effect, Event, PipelineRun, StepExecution
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.letters.conftest import NUMBER, Desk
from tests.sinks.http import Answer
from tests.sinks.providers import SmsGateway, post_signed, said

SMS: dict[str, Any] = {"type": "send_sms", "message": "Hi {{ contact.first_name }}"}
WAIT: dict[str, Any] = {
    "type": "wait_for", "timeout": "2d", "on": {"timeout": "end"},
    "with": {"events": [{"name": "arrived", "event": "sms_delivered"}]},
}  # fmt: skip


def told() -> str:
    return str(StepExecution.objects.filter(event=StepExecution.Event.SKIPPED).latest("id").error)


def state() -> tuple[str, str]:
    return Message.objects.values_list("state", "reason").latest("pk")


def test_an_sms_is_sent_once_and_its_delivery_wakes_who_waits_for_it(
    desk: Desk, gateway: SmsGateway, run_at: Run, client: Client
) -> None:
    desk.agrees()
    active(desk.team, [SMS, WAIT])
    desk.contact()
    run_at(NOON)
    (form,) = gateway.sent()
    assert (form["To"], form["From"], form["Body"]) == (NUMBER, "+4930123456", "Hi Ann")
    message = Message.objects.get()
    assert message.state == "sent" and message.message_id.startswith("SM")
    for _ in range(2):
        assert gateway.report(client, "delivered").status_code == 204
    assert gateway.report(client, "sent").status_code == 204
    assert list(message.events.order_by("id").values_list("kind", "count")) == [("delivered", 1), ("sent", 1)]
    assert Event.objects.filter(type="sms_delivered", subject_id=message.about_id).count() == 1
    run_at(later(minutes=1))
    assert PipelineRun.objects.get().get_status_display() == "completed" and len(gateway.sent()) == 1


def test_what_is_not_signed_by_the_provider_changes_nothing(
    desk: Desk, gateway: SmsGateway, run_at: Run, client: Client
) -> None:
    desk.agrees()
    active(desk.team, [SMS])
    desk.contact()
    run_at(NOON)
    url = gateway.sent()[0]["StatusCallback"]
    form = {"MessageSid": "SM1", "MessageStatus": "failed"}
    assert post_signed(client, url, form, secret="another").status_code == 401
    assert client.post(url.removeprefix("http://testserver"), form).status_code == 401
    assert client.post("/api/v1/channels/nowhere/", form).status_code == 404
    assert state() == ("sent", "") and not MessageEvent.objects.exists()


def test_without_consent_nothing_is_sent_and_the_run_says_why(desk: Desk, gateway: SmsGateway, run_at: Run) -> None:
    active(desk.team, [SMS, {**SMS, "with": {"topic": "transactional"}}])
    desk.contact()
    run_at(NOON)
    assert told() == "Not sent: this contact has not agreed to get SMS."
    # What somebody asked for, such as a code, needs no consent.
    assert len(gateway.sent()) == 1


def test_stop_and_start_by_reply_are_heeded_each_once(
    desk: Desk, gateway: SmsGateway, run_at: Run, client: Client
) -> None:
    desk.agrees()
    active(desk.team, [SMS, {**SMS, "delay": "1h"}, {**SMS, "delay": "1h"}], exit=[])
    desk.contact()
    run_at(NOON)
    url = gateway.sent()[0]["StatusCallback"].partition("?")[0]
    stop = {"From": NUMBER, "To": "+4930123456", "Body": " Stop. ", "MessageSid": "SMstop"}
    assert post_signed(client, url, stop).status_code == 204
    assert Suppression.objects.get().topic == "sms"
    assert Event.objects.get(type="unsubscribed").payload == {"address": NUMBER, "topic": "sms"}
    run_at(later(hours=1))
    assert len(gateway.sent()) == 1 and "suppression list (unsubscribed)" in told()
    post_signed(client, url, {**stop, "Body": "START", "MessageSid": "SMstart"})
    # The provider repeats what it is not sure of.
    post_signed(client, url, stop)
    assert not Suppression.objects.exists()
    assert list(OptIn.objects.order_by("pk").values_list("granted", flat=True)) == [True, False, True]
    run_at(later(hours=2))
    assert len(gateway.sent()) == 2


def test_another_reply_is_an_answer(desk: Desk, gateway: SmsGateway, run_at: Run, client: Client) -> None:
    desk.agrees()
    active(desk.team, [SMS])
    desk.contact()
    run_at(NOON)
    url = gateway.sent()[0]["StatusCallback"].partition("?")[0]
    post_signed(client, url, {"From": NUMBER, "Body": "Please do not stop", "MessageSid": "SM9"})
    event = Event.objects.get(type="sms_replied")
    assert event.subject_id == Message.objects.get().about_id and event.payload["text"] == "Please do not stop"
    # Who adds something answers again; the provider repeating itself does not.
    for _ in range(2):
        post_signed(client, url, {"From": NUMBER, "Body": "And thank you", "MessageSid": "SM10"})
    replies = Event.objects.filter(type="sms_replied").order_by("pk")
    assert [each.payload["text"] for each in replies] == ["Please do not stop", "And thank you"]
    assert not Suppression.objects.exists()


def test_who_withdraws_between_planning_and_sending_gets_nothing(desk: Desk, gateway: SmsGateway, run_at: Run) -> None:
    desk.agrees()
    gateway.script(said(503, {"message": "Service unavailable"}))
    active(desk.team, [SMS])
    desk.contact()
    run_at(NOON)
    assert Message.objects.get().state == "queued"
    desk.agrees(granted=False)
    run_at(later(minutes=5))
    assert len(gateway.sent()) == 1 and state()[0] == "skipped"


@pytest.mark.parametrize(
    ("answer", "found", "sent_after_an_hour"),
    [
        (said(400, {"code": 21408, "message": "Permission to send to this region is missing"}), "failed", 1),
        (said(429, {"code": 20429, "message": "Too many requests"}, Retry_After="600"), "sent", 2),
        (said(400, {"code": 21611, "message": "The queue of this number is full"}), "sent", 2),
        (said(500, {"message": "Internal"}), "sent", 2),
        (Answer(502), "sent", 2),
        (Answer(504), "sent", 2),
        (Answer(trick="close"), "uncertain", 1),
        (Answer(trick="silent"), "uncertain", 1),
        (Answer(201, body=b"", trick="cut"), "uncertain", 1),
    ],
    ids=[
        "not allowed",
        "too many",
        "queue full",
        "broken",
        "bad gateway",
        "late gateway",
        "lost answer",
        "late answer",
        "cut answer",
    ],
)
def test_a_no_is_a_no_and_a_lost_answer_is_never_repeated(
    desk: Desk,
    gateway: SmsGateway,
    run_at: Run,
    settings: Settings,
    answer: Answer,
    found: str,
    sent_after_an_hour: int,
) -> None:
    if answer.trick == "silent":
        settings.OUTBOUND_HTTP_SECONDS = 1.0
    desk.agrees()
    gateway.script(answer)
    active(desk.team, [SMS])
    desk.contact()
    run_at(NOON)
    run_at(later(minutes=5))
    if "Retry-After" in answer.headers:
        assert len(gateway.sent()) == 1
    run_at(later(hours=1))
    assert state()[0] == found and len(gateway.sent()) == sent_after_an_hour


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_lone_message_that_a_server_answers_no_is_tried_as_often_as_its_step_says(
    desk: Desk, gateway: SmsGateway, run_at: Run, status: int
) -> None:
    desk.agrees()
    gateway.script(*[Answer(status)] * 9)
    active(desk.team, [{**SMS, "retry": {"max": 2, "delay": "1m"}}])
    desk.contact()
    for minutes in (0, 2, 4, 60):
        run_at(later(minutes=minutes))
    assert len(gateway.sent()) == 3
    assert state()[0] == "failed" and str(status) in Message.objects.get().error


def test_a_report_settles_what_was_uncertain(desk: Desk, gateway: SmsGateway, run_at: Run, client: Client) -> None:
    desk.agrees()
    gateway.script(Answer(trick="close"))
    active(desk.team, [SMS])
    desk.contact()
    run_at(NOON)
    assert Message.objects.get().state == "uncertain"
    assert gateway.report(client, "delivered").status_code == 204
    message = Message.objects.get()
    assert message.state == "sent" and message.decided_at and Effect.objects.count() == len(gateway.sent()) == 1


def test_what_does_not_arrive_is_failed_with_the_providers_words(
    desk: Desk, gateway: SmsGateway, run_at: Run, client: Client
) -> None:
    desk.agrees()
    active(desk.team, [SMS])
    desk.contact()
    run_at(NOON)
    gateway.report(client, "undelivered", ErrorCode="30006", ErrorMessage="Landline or unreachable carrier")
    message = Message.objects.get()
    assert (message.state, message.error) == ("failed", "30006 Landline or unreachable carrier")
    assert Suppression.objects.get().reason == "bounced" and Event.objects.filter(type="sms_undelivered").count() == 1


def test_a_number_that_takes_no_sms_is_not_tried_again(desk: Desk, gateway: SmsGateway, run_at: Run) -> None:
    desk.agrees()
    gateway.script(said(400, {"code": 21614, "message": "'To' number is not a valid mobile number"}))
    active(desk.team, [SMS])
    desk.contact()
    run_at(NOON)
    assert (Suppression.objects.get().address, Suppression.objects.get().topic) == (NUMBER, "sms")


def test_numbers_get_the_country_of_the_channel(desk: Desk, gateway: SmsGateway, run_at: Run) -> None:
    desk.agrees()
    active(desk.team, [SMS])
    contact = desk.contact()
    type(contact).objects.update(phone="0151 / 12345678")
    run_at(NOON)
    assert gateway.sent()[0]["To"] == Message.objects.get().recipient == NUMBER
