"""Three examples end to end through servers that speak what real ones do: SMTP, an SMS gateway, a push service, a
webhook receiver, and a mailbox that mail comes back to.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Message, MessageTemplate, Notification, Suppression, Team
from pipelines.models import Event, Pipeline
from pipelines.triggers.hooks import open_hook
from tests.crm.inbound.test_mailbox import ANSWER, BOUNCE
from tests.journeys.examples.stage import DAY, HOUR, Stage
from tests.journeys.examples.test_everything import ONBOARDING, in_hot, post, the_task, with_changes
from tests.pipelines.engine.building import NOON
from tests.pipelines.letters.conftest import NUMBER, Desk, gateway, pushes
from tests.sinks.http import Answer, HttpSink
from tests.sinks.imap import ImapBox
from tests.sinks.providers import Browser, PushService, SmsGateway
from tests.sinks.smtp import SmtpSink

__all__ = ["gateway", "pushes"]
ANN = "ann@example.org"


@pytest.fixture
def desk(team: Team, settings: Settings) -> Desk:
    return Desk(team, settings)


@pytest.fixture
def receiver(tmp_path: Path, desk: Desk) -> Iterator[HttpSink]:
    """What calls of steps reach."""
    with HttpSink(tmp_path / "calls.jsonl") as sink:
        desk.reach(sink)
        yield sink


@pytest.fixture
def box(settings: Settings) -> Iterator[ImapBox]:
    with ImapBox() as box:
        settings.BOUNCE_MAILBOX = box.url
        yield box


def ann(stage: Stage, desk: Desk, pushes: PushService, **more: Any) -> tuple[int, Browser]:
    """A contact whose browser has subscribed."""
    contact, browser = stage.contact(**more), Browser(pushes, "ann")
    desk.registers(Contact.objects.get(pk=contact), browser)
    return contact, browser


def happens(stage: Stage, kind: str, **payload: Any) -> None:
    assert stage.api.post("events/", {"type": kind, "email": ANN, "payload": payload}).status_code in (200, 201, 202)


def titles(browser: Browser) -> list[str]:
    return [each["title"] for each in browser.shown()]


def test_an_abandoned_cart_is_recalled_until_the_mail_bounces(
    stage: Stage, desk: Desk, pushes: PushService, smtp: SmtpSink, box: ImapBox
) -> None:
    stage.template("cart_reminder", text="{{ user_name }}: {{ cart_items | join: ', ' }} for {{ cart_total }}")
    stage.loaded("abandoned_cart_recovery")
    _, browser = ann(stage, desk, pushes)
    happens(stage, "abandoned_cart", cart={"id": "c-7", "value": 80, "total": 80, "items": ["Tea", "Cup"]})
    arrived = stage.walk(0, DAY, DAY + 4 * HOUR)
    assert arrived == [(DAY, "email", ANN, "Your cart is waiting!")] and titles(browser) == ["Don't forget your cart!"]
    assert stage.texts()[0].startswith("Ann: Tea, Cup for 80")
    box.put(BOUNCE.format(to=ANN, action="failed", status="5.1.1", id=smtp.messages()[0]["Message-ID"]))
    call_command("read_mailbox")
    assert Suppression.objects.get().reason == "bounced"
    happens(stage, "abandoned_cart", cart={"id": "c-8", "value": 90, "total": 90, "items": ["Pot"]})
    again = DAY + 4 * HOUR + 1
    assert stage.walk(again, again + DAY, again + DAY + 4 * HOUR) == [], "no mail to a mailbox that does not exist"
    assert titles(browser) == ["Don't forget your cart!"] * 2


def test_an_inactive_customer_is_written_to_at_nine_and_the_answer_is_heard(
    stage: Stage, desk: Desk, pushes: PushService, smtp: SmtpSink, box: ImapBox
) -> None:
    stage.template("we_miss_you", text="{{ user_name }}, last seen {{ last_activity }}")
    stage.loaded("customer_retention")
    custom = {"last_activity": "2027-02-01T10:00:00+00:00"}
    contact, browser = ann(stage, desk, pushes, timezone="Europe/Paris", custom=custom)
    happens(stage, "user_inactive", days_since_last_activity=28)
    assert stage.walk(0, 20 * HOUR) == [(20 * HOUR, "email", ANN, "We miss you!")]
    assert titles(browser) == ["Come back!"]
    assert stage.outcome(stage.run_of(contact, "customer_retention")) == ("completed", "end")
    box.put(ANSWER.format(id=smtp.messages()[0]["Message-ID"], subject="Re: We miss you!", more=""))
    call_command("read_mailbox")
    assert Event.objects.get(type="email_replied").subject_id == contact


def test_everything_leaves_and_comes_back_by_servers_of_others(
    stage: Stage, desk: Desk, gateway: SmsGateway, pushes: PushService, receiver: HttpSink, smtp: SmtpSink
) -> None:
    for key in (*ONBOARDING, "hello", "hello_again"):
        stage.template(key)
    Team.objects.update(track_opens=True)
    # What tells of an open is a picture, so the mail has an HTML part.
    MessageTemplate.objects.filter(key="hello").update(html="<p>Hello</p>")
    owner = stage.member("ola", groups=["sales"]).pk
    stage.made("segments", {"key": "hot", "name": "Hot"})
    contact, browser = ann(stage, desk, pushes, phone=NUMBER, owner=owner)
    desk.agrees()
    stage.loaded("user_onboarding")
    stage.loaded("everything", with_changes(stage, url=f"{receiver.url}/v1"))
    receiver.script(Answer(503), Answer(body=b'{"score": 42}'))
    hook = open_hook(trigger=Pipeline.objects.get(key="everything").triggers.get(key="hook"), name="Form")
    assert post(hook, {"id": "f-1", "contact_id": contact, "score": 1}, "msg_1").status_code == 202

    assert [title for *_, title in stage.walk(0, 1)] == ["hello"], "after the second answer of the service"
    stage.walk(HOUR + 1)
    (sms,) = gateway.sent()
    assert (sms["To"], sms["Body"]) == (NUMBER, "Hi Ann")
    assert gateway.report(Client(), "delivered").status_code == 204
    assert Message.objects.get(channel="sms").events.get().kind == "delivered"
    opened(smtp, minutes=HOUR + 5)
    assert [title for *_, title in stage.walk(2 * HOUR)] == []
    assert [note.title for note in Notification.objects.all()] == ["Outreach done"]
    stage.walk(2 * HOUR + 3)
    assert stage.answer(the_task(stage), "approve", reason="Tall").status_code == 200
    begin = 2 * HOUR + 4
    stage.walk(begin, begin + 5, begin + 5 + HOUR, begin + 5 + HOUR + DAY)
    assert set(ONBOARDING) <= {*(str(mail["Subject"]) for mail in smtp.messages()), *titles(browser)}
    assert in_hot(stage) == [contact] and stage.outcome(stage.run_of(contact, "everything")) == ("completed", "end")


def opened(smtp: SmtpSink, *, minutes: int) -> None:
    """A mail program shows the first mail, with its pictures."""
    body = smtp.messages()[0].get_body(["html"])
    assert body is not None
    found = re.search(r"http://testserver(/o/[^\"']+\.gif)", body.get_content())
    assert found is not None
    with time_machine.travel(NOON + timedelta(minutes=minutes), tick=False):
        Client().get(found[1], headers={"User-Agent": "Mozilla/5.0 (X11; Linux) Thunderbird/140"})
