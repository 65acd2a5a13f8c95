"""A team with a key, and the engine's clock in the hands of the test."""

import pytest
from pytest_django import Settings

from crm.models import Team
from crm.teams import create_team
from tests.api import Api


@pytest.fixture
def team(db: None) -> Team:
    return create_team(name="Acme", slug="acme")


@pytest.fixture
def api(team: Team) -> Api:
    return Api(team)


@pytest.fixture
def test_clock(settings: Settings) -> None:
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
