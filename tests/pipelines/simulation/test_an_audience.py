"""Many real contacts at once: who comes how far, and what would be sent when."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.operations import bulk_create_contacts
from crm.models import Team
from pipelines.models import PipelineRun
from pipelines.simulation.audience import audience_of, simulate_audience
from pipelines.simulation.scenario import ScenarioError, scenario_of
from tests.pipelines.engine.building import NOON, document, email, later

STEPS = [
    {"key": "hello", **email()},
    {"key": "check", "type": "condition", "delay": "1d", "if": "contact.lifecycle_stage == 'customer'",
     "on": {"true": "thank", "false": "end"}},
    {"key": "thank", "delay": "1h", **email(subject="Thanks")},
]  # fmt: skip


def crowd(team: Team, count: int, **values: Any) -> None:
    stem = values.get("lifecycle_stage", "lead")
    bulk_create_contacts(team=team, items=[{"email": f"{stem}{n}@example.org", **values} for n in range(count)])


def played(team: Team, audience: dict[str, Any], steps: Any = None, **scenario: Any) -> dict[str, Any]:
    return simulate_audience(
        team=team,
        document=document(steps or STEPS, triggers=[]),
        audience=audience_of(audience),
        scenario=scenario_of(scenario, now=NOON),
    )


def test_the_funnel_says_how_many_come_how_far(team: Team) -> None:
    crowd(team, 30)
    crowd(team, 12, lifecycle_stage="customer")
    report = played(team, {"limit": 1000})
    assert (report["subjects"], report["enrolled"]) == (42, 42)
    assert [(step["key"], step["subjects"], step["outcomes"]) for step in report["funnel"]] == [
        ("hello", 42, {"next": 42}),
        ("check", 42, {"true": 12, "false": 30}),
        ("thank", 12, {"next": 12}),
    ]
    assert report["statuses"] == {"completed": 42}
    assert not PipelineRun.objects.exists() and not mail.outbox


def test_the_calendar_says_what_would_be_sent_when(team: Team) -> None:
    crowd(team, 5, lifecycle_stage="customer")
    report = played(team, {"limit": 1000})
    assert [(each["at"], each["step"], each["kind"], each["count"]) for each in report["calendar"]] == [
        (NOON, "hello", "email", 5),
        (later(days=1, hours=1), "thank", "email", 5),
    ]


def test_only_those_who_meet_a_condition_are_simulated(team: Team) -> None:
    crowd(team, 8)
    crowd(team, 3, lifecycle_stage="customer")
    where = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}
    assert played(team, {"where": where})["subjects"] == 3
    assert played(team, {"where": where, "limit": 2})["subjects"] == 2


def test_a_failing_step_is_counted_by_its_error(team: Team) -> None:
    crowd(team, 2)
    steps = [{"key": "ask", "type": "call_api", "with": {"url": "https://receiver.example/"}}]
    report = played(team, {"limit": 10}, steps, stubs={"ask": {"error": "http_4xx", "detail": "No such thing."}})
    assert report["errors"] == [{"step": "ask", "message": "No such thing.", "count": 2}]
    assert report["statuses"] == {"failed": 2}


def test_a_thousand_contacts_cost_no_more_reading_than_ten(team: Team) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as seen:
            played(team, {"limit": 1000}, until="1d")
        return len(seen)

    crowd(team, 10)
    few = statements()
    crowd(team, 290, lifecycle_stage="customer")
    assert statements() <= few


def test_moments_that_differ_by_seconds_are_taken_together(team: Team) -> None:
    crowd(team, 40)
    steps = [{"type": "wait", "delay": {"for": "1h", "jitter": "10m"}}, {"key": "hello", **email()}]
    report = played(team, {"limit": 100}, steps)
    assert report["statuses"] == {"completed": 40}
    assert sum(each["count"] for each in report["calendar"]) == 40
    assert all(later(hours=1) <= each["at"] + timedelta(hours=1) for each in report["calendar"])


@pytest.mark.parametrize(
    ("audience", "path"),
    [
        ({"limit": 0}, "audience.limit"),
        ({"limit": 5_000}, "audience.limit"),
        ({"ids": ["a"]}, "audience.ids"),
        ({"who": 1}, "audience.who"),
        ({"where": {"field": "contact.email", "operator": "resembles", "value": 1}}, "audience.where"),
    ],
    ids=["none", "too many", "no ids", "unknown", "condition"],
)
def test_an_audience_that_cannot_be_is_refused_with_its_path(team: Team, audience: dict[str, Any], path: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        played(team, audience)
    assert refused.value.path == path
