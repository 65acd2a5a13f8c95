"""A provider that lets nobody in: its messages wait and use up no try, one looks, others go on, and people see it."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Message, Team
from pipelines.doctor import examine
from pipelines.models import Effect, SendingRules, StepExecution
from tests.api import Api
from tests.pipelines.admin.pages import text_of
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.letters.conftest import Desk
from tests.sinks.http import Answer, HttpSink
from tests.sinks.providers import ACCOUNT, SECRET, SmsGateway, said
from tests.sinks.smtp import SmtpSink, free_port

SMS: dict[str, Any] = {"type": "send_sms", "with": {"text": "Hi", "topic": "transactional"}}
WRONG = said(401, {"code": 20003, "message": "Authenticate"})
BUSY = said(429, {"code": 20429, "message": "Too many requests"}, Retry_After="600")
BROKEN = said(500, {"message": "Internal"})


def people(desk: Desk, count: int) -> None:
    for n in range(count):
        Contact.objects.create(team=desk.team, first_name="Ann", phone=f"+4915112345{n:03}", email=f"c{n}@example.org")


def states() -> dict[str, int]:
    found = list(Message.objects.filter(channel="sms").values_list("state", flat=True))
    return {state: found.count(state) for state in sorted(set(found))}


def tries() -> int:
    return StepExecution.objects.filter(event__in=[StepExecution.Event.RETRIED, StepExecution.Event.FAILED]).count()


@pytest.mark.parametrize(
    "answer",
    [WRONG, said(403, {}), said(503, {"message": "Down"}), BUSY, BROKEN],
    ids=["wrong credentials", "account shut", "down", "too many", "broken"],
)
def test_messages_of_a_provider_that_lets_nobody_in_wait_and_use_up_no_try(
    desk: Desk, gateway: SmsGateway, smtp: SmtpSink, run_at: Run, answer: Answer
) -> None:
    gateway.script(*[answer] * 200)
    active(desk.team, [SMS, email()])
    people(desk, 10)
    for minutes in (0, 1, 6):
        run_at(later(minutes=minutes))
    assert tries() == 0 and states() == {"queued": 10}
    assert set(Effect.objects.filter(kind=Effect.Kind.SMS).values_list("attempt", flat=True)) == {0}
    # Up to eight at once meet it; then one looks at a time, ever more seldom.
    assert len(gateway.sent()) == 8 + (0 if answer is BUSY else 2)
    gateway.unscript()
    run_at(later(minutes=12))
    assert states() == {"sent": 10} and len(smtp.recipients()) == 10


def test_a_provider_that_is_not_there_burns_nothing_and_mail_goes_on(
    desk: Desk, gateway: SmsGateway, smtp: SmtpSink, run_at: Run, settings: Settings, admin_client: Client
) -> None:
    (row,) = desk.api.get("integrations/").json()["results"]
    nowhere = free_port()
    settings.OUTBOUND_HTTP_ALLOW += f",127.0.0.0/8:{nowhere}"
    away = {"options": {**row["options"], "base_url": f"http://127.0.0.1:{nowhere}"}}
    desk.api.patch(f"integrations/{row['id']}/", away)
    active(desk.team, [SMS])
    active(desk.team, [email()], key="letters")
    people(desk, 3)
    for minutes in (0, 1, 4):
        run_at(later(minutes=minutes))
    assert tries() == 0 and states() == {"queued": 3} and len(smtp.recipients()) == 3
    message = Message.objects.filter(channel="sms").latest("pk")
    assert message.held_by.startswith("its provider cannot be reached (No connection") and message.held_until

    # People see it where they look, and programs as well.
    (outage,) = desk.api.get("status/").json()["outages"]
    assert (outage["channel"], outage["code"], outage["since"]) == ("sms", "connection", "2027-03-01T12:00:00Z")
    (seen,) = desk.api.get("integrations/").json()["results"]
    assert seen["trouble"].startswith("The provider of SMS lets nobody in since 12:00 UTC (No connection")
    told = "The provider of SMS lets nobody in since 12:00 UTC"
    assert told in text_of(admin_client.get("/admin/"))
    assert told in text_of(admin_client.get(f"/admin/crm/integration/{row['id']}/change/"))
    assert "channel.outage" in {each.code for each in examine(minutes=60)}

    # Who mends the settings need not wait for the next look.
    desk.api.patch(f"integrations/{row['id']}/", {"options": row["options"]})
    run_at(later(minutes=4))
    assert states() == {"sent": 3} and not desk.api.get("status/").json()["outages"]
    assert told not in text_of(admin_client.get("/admin/"))


def test_one_message_that_a_provider_cannot_bear_holds_nobody_up(desk: Desk, gateway: SmsGateway, run_at: Run) -> None:
    active(desk.team, [SMS])
    people(desk, 1)
    gateway.script(BROKEN)
    run_at(NOON)
    # Alone it says nothing about the provider, and is tried again as ever.
    assert tries() == 1 and not desk.api.get("status/").json()["outages"]
    people(desk, 8)
    run_at(NOON)
    assert states() == {"queued": 1, "sent": 8}


def test_some_that_are_refused_among_many_are_no_outage(desk: Desk, gateway: SmsGateway, run_at: Run) -> None:
    gateway.script(BROKEN, BROKEN)
    active(desk.team, [SMS])
    people(desk, 8)
    run_at(NOON)
    assert states() == {"queued": 2, "sent": 6} and tries() == 2
    assert not desk.api.get("status/").json()["outages"]


def test_when_it_is_back_all_that_wait_leave_at_once(desk: Desk, gateway: SmsGateway, run_at: Run) -> None:
    gateway.script(*[WRONG] * 8)
    active(desk.team, [SMS])
    people(desk, 9)
    run_at(NOON)
    assert states() == {"queued": 9}
    # The one that did not meet it looks; the others were to come after it.
    run_at(later(seconds=30))
    assert states() == {"sent": 9}


def test_lost_answers_do_not_make_everybody_uncertain(desk: Desk, gateway: SmsGateway, run_at: Run) -> None:
    gateway.script(*[Answer(trick="close")] * 60)
    active(desk.team, [SMS])
    people(desk, 12)
    for seconds in (0, 31, 100, 101):
        run_at(later(seconds=seconds))
    # Those of the first eight at once, and one at each look.
    assert states() == {"queued": 2, "uncertain": 10}


def test_another_teams_provider_goes_on(desk: Desk, gateway: SmsGateway, run_at: Run, tmp_path: Any) -> None:
    other = Team.objects.create(name="Other", slug="other")
    with SmsGateway(tmp_path / "other.jsonl") as well:
        desk.reach(well)
        body = {"account_sid": ACCOUNT, "sender": "+4930123456", "base_url": well.url}
        Api(other).post("integrations/", {"provider": "twilio", "options": body, "secrets": {"auth_token": SECRET}})
        gateway.script(*[WRONG] * 20)
        for team in (desk.team, other):
            active(team, [SMS])
            Contact.objects.create(team=team, first_name="Ann", phone="+4915112345678")
        run_at(NOON)
        run_at(later(minutes=1))
        assert len(well.sent()) == 1
        assert dict(Message.objects.values_list("team__slug", "state")) == {"acme": "queued", "other": "sent"}
        assert not Api(other).get("status/").json()["outages"]


def test_a_rate_of_the_chat_is_kept_by_all_workers_together(desk: Desk, run_at: Run, tmp_path: Any) -> None:
    SendingRules.objects.create(team=desk.team, throttles={"chat": "6 per minute"})
    with HttpSink(tmp_path / "chat.jsonl") as room:
        desk.reach(room)
        desk.add("slack", options={}, secrets={"address": f"{room.url}/hook"})
        active(desk.team, [{"type": "send_chat", "with": {"text": "New: {{ contact.email }}"}}])
        people(desk, 4)
        run_at(NOON)
        assert len(room.requests()) == 1
        assert "pace of chat (6 per minute)" in Message.objects.values_list("held_by", flat=True)
        for seconds in (10, 20, 30):
            run_at(later(seconds=seconds))
        assert len(room.requests()) == 4
