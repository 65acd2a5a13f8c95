"""A team, and simulations that may not touch anything."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from contacts.models import FieldDefinition, RecordType, Segment
from crm.models import Member, Team
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from tests.pipelines.engine.building import NOON, active, document
from tests.pipelines.engine.conftest import run_at, smtp
from tests.pipelines.simulation.stories import BESIDE, CALLED, OWN_FIELDS, VARIABLES

__all__ = ["run_at", "smtp"]

Play = Callable[..., dict[str, Any]]


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Acme", slug="acme")


@pytest.fixture
def play(team: Team) -> Play:
    """Simulate a line of steps from noon on."""

    def run(steps: list[dict[str, Any]], *, more: dict[str, Any] | None = None, **scenario: Any) -> dict[str, Any]:
        story = scenario_of(scenario, now=NOON)
        return simulate(team=team, document=document(steps, **(more or {})), scenario=story)

    return run


@pytest.fixture
def furnished(team: Team, settings: Settings) -> Team:
    """A team with what steps may name."""
    settings.PIPELINES_CODE_STEPS = True
    maya = User.objects.create_user("maya", email="maya@x.org", password="x")
    Member.objects.create(team=team, user=maya, role="owner")
    RecordType.objects.create(team=team, key="visit", label="Visit", fields=OWN_FIELDS)
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="mark", label="Mark", type="integer")
    Segment.objects.create(team=team, key="warm", name="Warm")
    active(team, CALLED, key="called", triggers=[], variables=VARIABLES)
    active(team, BESIDE, key="beside", triggers=[])
    return team
