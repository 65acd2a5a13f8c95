"""Channels of a team: set up without ever showing a secret again, and tried with a real message."""

import json
import logging
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from crm.models import AuditEntry, Integration, Member, Message, Suppression
from tests.api import Api
from tests.pipelines.engine.building import NOON, active
from tests.pipelines.engine.conftest import Run
from tests.pipelines.letters.conftest import NUMBER, Desk
from tests.sinks.http import Answer
from tests.sinks.providers import SECRET, SmsGateway, said
from tests.sinks.smtp import SmtpSink


def test_secrets_are_sealed_and_never_shown_or_logged(
    desk: Desk, gateway: SmsGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    row = Integration.objects.get()
    shown = desk.api.get(f"integrations/{row.pk}/").json()
    assert shown["secrets_set"] == {"auth_token": "••••ilio"} and shown["channel"] == "sms"
    desk.api.post("integrations/test/", {"channel": "sms", "to": NUMBER})
    texts = (
        json.dumps(shown),
        row.secrets,
        json.dumps(row.options),
        caplog.text,
        str(list(AuditEntry.objects.values())),
    )
    assert not any(SECRET in text for text in texts)
    answer = desk.api.patch(f"integrations/{row.pk}/", {"options": {**row.options, "sender": "Acme"}, "secrets": {}})
    assert answer.json()["options"]["sender"] == "Acme"
    assert desk.api.post("integrations/test/", {"channel": "sms", "to": NUMBER}).json()["ok"]
    assert Api(desk.team, role="manager").patch(f"integrations/{row.pk}/", {"enabled": False}).status_code == 403


def test_settings_that_cannot_work_are_refused_where_they_stand(desk: Desk) -> None:
    body = {"provider": "twilio", "options": {"account_sid": "AC1", "sender": "+4930123456"}, "secrets": {}}
    answer = desk.api.post("integrations/", body)
    assert answer.status_code == 400 and "Auth token is missing." in answer.content.decode()
    body |= {"secrets": {"auth_token": "x"}, "options": {"account_sid": "AC1", "sender": "030", "colour": "red"}}
    assert "no such setting" in desk.api.post("integrations/", body).content.decode()


def test_a_test_says_in_words_what_came_back(desk: Desk, gateway: SmsGateway) -> None:
    def tried(to: str = NUMBER) -> tuple[str, str]:
        found = desk.api.post("integrations/test/", {"channel": "sms", "to": to}).json()
        return found["state"], found["says"]

    assert tried()[0] == "accepted" and "SM0000" in tried()[1]
    gateway.script(said(401, {"code": 20003, "message": "Authenticate"}), Answer(trick="close"))
    assert tried() == ("refused", "Nothing was sent: The SMS gateway refused it: 20003 Authenticate")
    assert tried()[0] == "unknown"
    Suppression.objects.create(team=desk.team, address=NUMBER, topic="sms", reason="unsubscribed")
    before = len(gateway.sent())
    assert tried()[0] == "not_sent" and len(gateway.sent()) == before
    assert Integration.objects.get().tested_at is not None


def test_a_test_tells_that_a_private_address_is_closed(desk: Desk, gateway: SmsGateway, settings: Settings) -> None:
    settings.OUTBOUND_HTTP_ALLOW = ""
    told = desk.api.post("integrations/test/", {"channel": "sms", "to": NUMBER}).json()
    assert told["state"] == "refused" and "OUTBOUND_HTTP_ALLOW" in told["says"] and gateway.sent() == []


def test_mail_is_tried_the_same_way_and_the_command_ends_accordingly(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    with SmtpSink(tmp_path / "mail.jsonl") as sink:
        settings.EMAIL_BACKEND = "crm.channels.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
        out = StringIO()
        call_command("test_channel", "--team", "acme", "--channel", "email", "--to", "ann@example.org", stdout=out)
        assert "accepted" in out.getvalue() and sink.recipients() == ["ann@example.org"]
        sink.behavior = "reject_data"
        with pytest.raises(CommandError, match="554 not wanted here"):
            call_command("test_channel", "--team", "acme", "--channel", "email", "--to", "ann@example.org")


def test_a_channel_whose_secrets_cannot_be_opened_says_so(
    desk: Desk, gateway: SmsGateway, run_at: Run, settings: Settings
) -> None:
    desk.agrees()
    settings.SECRET_KEY = "another" * 10
    active(desk.team, [{"type": "send_sms", "message": "Hi"}])
    desk.contact()
    run_at(NOON)
    assert "ENCRYPTION_KEYS" in Message.objects.get().error and gateway.sent() == []


def test_an_admin_adds_a_channel_and_tries_it(desk: Desk, gateway: SmsGateway, client: Client) -> None:
    user = get_user_model().objects.create_user("ada", "ada@acme.example", "pw", is_staff=True)
    Member.objects.create(team=desk.team, user=user, role="admin")
    client.force_login(user)
    assert "SMS by Twilio" not in client.get("/admin/crm/integration/add/").content.decode()
    Integration.objects.exclude(provider="").delete()
    assert "SMS by Twilio" in client.get("/admin/crm/integration/add/").content.decode()
    path = "/admin/crm/integration/add/?provider=twilio"
    given = {"account_sid": "AC0123456789", "sender": "+4930123456", "base_url": gateway.url, "enabled": "on"}
    assert "Auth token is missing." in client.post(path, given).content.decode()
    assert client.post(path, {**given, "auth_token": SECRET}).status_code == 302
    row = Integration.objects.get()
    page = client.get(f"/admin/crm/integration/{row.pk}/change/").content.decode()
    assert "Kept: ••••ilio" in page and SECRET not in page and row.token in page
    shown = client.post(f"/admin/crm/integration/{row.pk}/test/", {"to": NUMBER}, follow=True).content.decode()
    assert "It was accepted" in shown and len(gateway.sent()) == 1


def test_choices_are_kept_by_the_number_with_the_country_of_the_channel(desk: Desk, gateway: SmsGateway) -> None:
    assert desk.agrees(address="0151 1234 5678").json()["address"] == NUMBER
    refused = desk.agrees(channel="whatsapp", address="0151 1234 5678")
    assert refused.status_code == 400
    assert refused.json()["errors"] == [
        {"path": "address", "message": "Write the number with its country, such as +4915112345678."}
    ]


@pytest.mark.parametrize("token", ["two words", "tab\there", "x" * 300])
def test_what_is_no_token_of_a_device_is_refused_with_a_sentence(desk: Desk, token: str) -> None:
    refused = desk.agrees(channel="push", address=token)
    assert refused.status_code == 400 and refused.json()["errors"][0]["path"] == "address"
