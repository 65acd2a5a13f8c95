"""A team with providers on loopback, its API, and a clock that stands still."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Team
from tests.api import Api
from tests.pipelines.engine.conftest import run_at, smtp, team
from tests.sinks.http import HttpSink
from tests.sinks.providers import ACCOUNT, SECRET, Browser, PushService, SmsGateway

__all__ = ["run_at", "smtp", "team"]
NUMBER = "+4915112345678"


class Desk:
    """The team as its admin sees it through the API."""

    def __init__(self, team: Team, settings: Settings) -> None:
        self.team, self.api, self._settings = team, Api(team), settings
        # A busy machine may take its time; tests of silence say how long they listen.
        settings.OUTBOUND_HTTP_SECONDS = 15.0

    def reach(self, sink: HttpSink) -> None:
        """Let outgoing calls reach a server on this machine."""
        known = self._settings.OUTBOUND_HTTP_ALLOW
        self._settings.OUTBOUND_HTTP_ALLOW = f"{known},127.0.0.1/32:{sink.port}".lstrip(",")

    def add(self, provider: str, *, options: dict[str, str], secrets: dict[str, str], **more: Any) -> dict[str, Any]:
        body = {"provider": provider, "options": options, "secrets": secrets, **more}
        answer = self.api.post("integrations/", body)
        assert answer.status_code == 201, answer.content
        found: dict[str, Any] = answer.json()
        return found

    def contact(self, **more: Any) -> Contact:
        return Contact.objects.create(team=self.team, first_name="Ann", phone=NUMBER, **more)

    def agrees(self, channel: str = "sms", address: str = NUMBER, *, granted: bool = True) -> Any:
        return self.api.post("opt-ins/", {"channel": channel, "address": address, "granted": granted, "source": "form"})

    def registers(self, contact: Contact, browser: Browser) -> dict[str, Any]:
        about = {"type": "contacts.contact", "id": contact.pk}
        answer = self.api.post("devices/", {"about": about, "subscription": browser.subscription})
        assert answer.status_code == 201, answer.content
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def desk(team: Team, settings: Settings) -> Desk:
    return Desk(team, settings)


@pytest.fixture
def gateway(tmp_path: Path, desk: Desk) -> Iterator[SmsGateway]:
    """An SMS gateway that the team sends by."""
    with SmsGateway(tmp_path / "sms.jsonl") as sink:
        desk.reach(sink)
        options = {"account_sid": ACCOUNT, "sender": "+4930123456", "base_url": sink.url, "country": "+49"}
        desk.add("twilio", options=options, secrets={"auth_token": SECRET})
        yield sink


@pytest.fixture
def pushes(tmp_path: Path, desk: Desk) -> Iterator[PushService]:
    """The push service of somebody's browser, and the key pair that the team sends with."""
    with PushService(tmp_path / "push.jsonl") as sink:
        desk.reach(sink)
        desk.add("webpush", options={"contact": "mailto:ops@acme.example"}, secrets={})
        yield sink
