"""The team, clock and servers that the examples run with; SMS and push are kept by their twin."""

from pathlib import Path

import pytest
from pytest_django import Settings

from crm.models import Team
from tests.api import Api
from tests.journeys.examples.stage import Stage
from tests.pipelines.engine.conftest import Run, run_at, smtp, team, web
from tests.sinks.smtp import SmtpSink

__all__ = ["run_at", "smtp", "team", "web"]


@pytest.fixture
def stage(team: Team, run_at: Run, smtp: SmtpSink, settings: Settings, tmp_path: Path) -> Stage:
    settings.CAPTURED_MAIL_DIR = str(tmp_path / "letters")
    settings.MESSAGE_CHANNELS = dict.fromkeys(("sms", "push", "whatsapp"), "crm.channels.captured.LetterBox")
    return Stage(Api(team), run_at, smtp)
