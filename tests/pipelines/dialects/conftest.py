"""A team that has what the imported definitions name, and speaks to the API alone."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from crm.models import MessageTemplate, Team
from crm.teams import create_team
from tests.api import Api
from tests.pipelines.engine.building import NOON

TEMPLATES = (
    "welcome", "welcome_email", "getting_started", "feature_showcase", "cart_reminder", "welcome_qualified_lead",
    "followup_engaged_lead", "demo_followup", "welcome_push",
)  # fmt: skip
VARIABLES = "{{ user_name }}{{ firstName }} {{ cart_total }}{{ companyName }}"


class House:
    """Definitions go in, time passes, and the runs tell where they stand."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def takes(self, source: dict[str, Any]) -> dict[str, Any]:
        """Import and activate; the definition as it is kept."""
        answer = self.api.post("pipelines/import/?activate=true", source)
        assert answer.status_code == 201, answer.content
        kept: dict[str, Any] = self.api.get(f"pipelines/{answer.json()['key']}/export/").json()
        return kept

    def refuses(self, source: dict[str, Any]) -> dict[str, str]:
        answer = self.api.post("pipelines/import/?activate=true", source)
        assert answer.status_code == 400, answer.content
        return {each["path"]: each["message"] for each in answer.json()["errors"]}

    def contact(self, **values: Any) -> int:
        answer = self.api.post("contacts/", {"first_name": "Ann", "email": "ann@example.org", **values})
        return int(answer.json()["id"])

    def hears(self, event: str, contact: int, **payload: Any) -> None:
        body = {"type": event, "subject": {"model": "contacts.contact", "id": contact}, "payload": payload}
        assert self.api.post("events/", body).status_code == 202

    def at(self, **span: float) -> None:
        now = NOON + timedelta(**span)
        assert self.api.post("engine/tick/", {"now": now.isoformat()}).status_code == 200

    def path(self, key: str) -> list[tuple[str, str | None]]:
        """(step, outcome) of the newest run of a pipeline."""
        newest = max(row["id"] for row in self.api.get("pipeline-runs/", pipeline=key).json()["results"])
        shown = self.api.get(f"pipeline-runs/{newest}/").json()
        return [(visit["step"], visit["outcome"]) for visit in shown["logs"]]


@pytest.fixture
def team(db: None) -> Team:
    return create_team(name="Acme", slug="acme")


@pytest.fixture
def house(team: Team, settings: Settings) -> House:
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
    found = House(Api(team))
    found.at()
    MessageTemplate.objects.all().delete()
    for key in TEMPLATES:
        body = {"key": key, "name": key, "subject": key, "text": VARIABLES, "topic": "marketing"}
        answer = found.api.post("templates/", body)
        assert answer.status_code == 201, answer.content
    return found
