"""Who waits for a click is told where no mail of the pipeline counts any."""

from typing import Any

import pytest
from pytest_django import Settings

from crm.models import MessageTemplate, Team
from crm.teams import create_team
from pipelines.operations.checking import validate_document

pytestmark = pytest.mark.django_db
HTML = '<p>Look <a href="https://example.org/tour">here</a>.</p>'


@pytest.fixture
def team(settings: Settings) -> Team:
    settings.MAIL_PROVIDERS = []
    return create_team(name="Acme", slug="acme")


def warned(team: Team, event: str = "email_clicked", **mail: Any) -> list[str]:
    """Places of warnings about tracking, in a pipeline that sends one mail and waits for an event."""
    wait = {"key": "wait", "type": "wait_for", "with": {"events": [{"event": event}]}, "timeout": "2d",
            "on": {"timeout": "end"}}  # fmt: skip
    letter = {"key": "letter", "type": "send_email", "with": {"subject": "Hello", **mail}, "message": "Look here"}
    document = {
        "format": "crm.pipeline/1", "key": "p", "name": "P", "subject": "contacts.contact",
        "goals": [{"key": "clicked", "event": event}], "steps": [letter, wait],
    }  # fmt: skip
    found = validate_document(document, team)
    assert not [each for each in found if each.severity == "error"], found
    return [each.path for each in found if "tells of" in each.message]


PLACES = ["steps[1].with.events[0].event", "goals[0].event"]


def test_a_click_that_nobody_counts_is_told_at_the_wait_and_at_the_goal(team: Team) -> None:
    assert warned(team) == PLACES
    assert warned(team, html=HTML) == PLACES
    assert warned(team, "email_opened", html=HTML) == PLACES
    assert warned(team, html=HTML, tracking="off") == PLACES


def test_a_mail_that_counts_is_enough_whoever_said_so(team: Team) -> None:
    assert warned(team, html=HTML, tracking="on") == []
    team.track_clicks = True
    assert warned(team, html=HTML) == [] and warned(team, "email_opened", html=HTML) == PLACES
    assert warned(team) == PLACES, "a text counts nothing"
    assert warned(team, html=HTML, tracking="off") == PLACES
    for key, html in (("rich", HTML), ("plain", "")):
        MessageTemplate.objects.create(team=team, key=key, name=key, subject="Hello", text="Look", html=html)
    assert (warned(team, template="rich"), warned(team, template="plain")) == ([], PLACES)


def test_other_events_and_providers_that_tell_are_left_alone(team: Team, settings: Settings) -> None:
    assert warned(team, "purchase") == []
    settings.MAIL_PROVIDERS = ["postmark"]
    assert warned(team) == []
