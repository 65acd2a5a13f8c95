"""A team and a clock that stands still until a test moves it."""

from collections.abc import Callable
from datetime import datetime

import pytest
from pytest_django import Settings

from crm.models import Team
from pipelines.engine.clock import set_test_clock
from pipelines.engine.programs import forget_programs
from pipelines.engine.tick import TickReport, run_until_idle
from tests.pipelines.engine.building import NOON

Run = Callable[[datetime], TickReport]


@pytest.fixture(autouse=True)
def fresh_programs() -> None:
    """Version ids begin again with every test, so compiled programs must not outlive one."""
    forget_programs()


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
