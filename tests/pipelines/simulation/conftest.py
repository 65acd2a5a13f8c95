"""A team, and simulations that may not touch anything."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import FieldDefinition
from crm.models import Team
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from tests.pipelines.engine.building import NOON, document
from tests.pipelines.engine.company import furnish as members_and_pipelines
from tests.pipelines.engine.conftest import run_at, smtp

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
    furnish(team)
    return team


def furnish(team: Team) -> None:
    """What steps of random stories may name."""
    members_and_pipelines(team)
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="mark", label="Mark", type="integer")
