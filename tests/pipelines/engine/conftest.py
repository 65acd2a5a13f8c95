"""A team and a clock that stands still until a test moves it."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from pytest_django import Settings

from crm.models import Team
from pipelines.engine.clock import set_test_clock
from pipelines.engine.tick import TickReport, run_until_idle
from tests.pipelines.engine.building import NOON
from tests.sinks.http import HttpSink
from tests.sinks.smtp import SmtpSink

Run = Callable[[datetime], TickReport]


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Acme", slug="acme")


@pytest.fixture
def run_at(db: None, settings: Settings) -> Run:
    """Move the engine's clock there and work until nothing is due."""
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
    set_test_clock(NOON)
    return lambda now: run_until_idle(now=now)


@pytest.fixture
def smtp(tmp_path: Path, settings: Settings) -> Iterator[SmtpSink]:
    """A real mail server on this machine, and settings that point to it."""
    with SmtpSink(tmp_path / "mail.jsonl") as sink:
        settings.EMAIL_BACKEND = "crm.channels.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", sink.port, 15
        yield sink


@pytest.fixture
def web(tmp_path: Path, settings: Settings) -> Iterator[HttpSink]:
    """A real web server on this machine, which calls of steps may reach."""
    with HttpSink(tmp_path / "web.jsonl") as sink:
        settings.OUTBOUND_HTTP_ALLOW = f"127.0.0.0/8:{sink.port}"
        # A busy machine may take its time; tests of silence say how long they listen.
        settings.OUTBOUND_HTTP_SECONDS = 15.0
        yield sink
