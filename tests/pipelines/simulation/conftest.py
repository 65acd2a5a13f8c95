"""A team, and simulations that may not touch anything."""

from collections.abc import Callable
from typing import Any

import pytest

from crm.models import Team
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from tests.pipelines.engine.building import NOON, document
from tests.pipelines.engine.conftest import run_at

__all__ = ["run_at"]

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
