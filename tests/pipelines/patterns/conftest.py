"""A person who automates through the API alone: post a definition, save a contact, let the time pass, look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from crm.models import Team
from crm.teams import create_team
from tests.api import Api
from tests.pipelines.engine.building import NOON, document

Step = dict[str, Any]


@dataclass(slots=True)
class Story:
    """One pipeline and the run of one contact."""

    api: Api
    run: int = 0
    hours: float = 0
    names: dict[str, Any] = field(default_factory=dict)

    def begins(self, *steps: Step, variables: Mapping[str, Any] | None = None, **more: Any) -> "Story":
        """Post the definition and save a contact, who enters it at once."""
        self.passes(0)
        self.defines("pattern", *steps, variables=variables, **more)
        contact = self.api.post("contacts/", {"first_name": "Ann", "email": "ann@example.org"}).json()["id"]
        (run,) = self.api.get("pipeline-runs/", contact=contact).json()["results"]
        self.run = run["id"]
        self.passes(0)
        return self

    def defines(self, key: str, *steps: Step, variables: Mapping[str, Any] | None = None, **more: Any) -> None:
        named = [{"name": name, "type": "any", "default": value} for name, value in (variables or {}).items()]
        answer = self.api.post(
            "pipelines/import/?activate=true", document(list(steps), key=key, variables=named, **more)
        )
        assert answer.status_code in (200, 201), answer.content

    def passes(self, hours: float) -> "Story":
        """Let so many hours pass, stopping at each of them."""
        until = self.hours + hours
        while True:
            now = NOON + timedelta(hours=self.hours)
            answer = self.api.post("engine/tick/", {"now": now.isoformat()})
            assert answer.status_code == 200, answer.content
            if self.hours >= until:
                return self
            self.hours = min(until, self.hours + 1)

    @property
    def status(self) -> str:
        return str(self._shown["status"])

    @property
    def variables(self) -> dict[str, Any]:
        return dict(self._shown["variables"])

    @property
    def path(self) -> list[tuple[str, str | None]]:
        """(step, outcome) of the run itself in order."""
        return [(visit["step"], visit["outcome"]) for visit in self._shown["logs"] if not visit["branch"]]

    def inside(self) -> list[str]:
        """The states of the runs inside this one, the oldest first."""
        rows: Sequence[dict[str, Any]] = self.api.get("pipeline-runs/", root=self.run).json()["results"]
        return [row["status"] for row in sorted(rows, key=lambda row: row["id"])]

    @property
    def _shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.api.get(f"pipeline-runs/{self.run}/").json()
        return shown


@pytest.fixture
def team(db: None) -> Team:
    return create_team(name="Acme", slug="acme")


@pytest.fixture
def story(team: Team, settings: Settings) -> Story:
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
    return Story(Api(team))


def add(key: str, text: str, **more: Any) -> Step:
    """A step that appends a letter to the variable `trace`."""
    return {"key": key, "type": "set_variable", "with": {"trace": f"= trace + '{text}'"}, **more}


def rest(key: str, delay: str = "1h", **more: Any) -> Step:
    return {"key": key, "type": "wait", "delay": delay, **more}


def fork(*branches: Mapping[str, Any], step: Mapping[str, Any] | None = None, **more: Any) -> Step:
    return {
        "key": "fork",
        "type": "parallel",
        "with": {"branches": [dict(b) for b in branches], **more},
        **(step or {}),
    }


def branch(name: str, *steps: Step, **more: Any) -> dict[str, Any]:
    return {"name": name, "steps": list(steps), **more}


def loop(*steps: Step, step: Mapping[str, Any] | None = None, **more: Any) -> Step:
    return {"key": "loop", "type": "loop", "with": {"steps": list(steps), **more}, **(step or {})}
