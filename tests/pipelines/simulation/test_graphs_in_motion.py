"""Graphs without circles, moved by the engine: every node starts once, when its last predecessor is settled."""

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts.models import Segment
from crm.models import Team
from pipelines.actions.registry import kinds
from pipelines.definition.graph import graph_of
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from tests.examples import examples
from tests.pipelines.definition.test_graphs import OUTCOMES, drawn, interpreted
from tests.pipelines.engine.building import NOON, active
from tests.pipelines.simulation.stories import PLAIN, VARIABLES

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    team = Team.objects.create(name="Acme", slug="acme")
    Segment.objects.create(team=team, key="warm", name="Warm")
    active(team, [{"type": "wait"}], key="called", triggers=[])
    return team


@settings(deadline=None, max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_every_node_starts_once_and_exactly_when_its_last_predecessor_is_settled(team: Team, seed: int) -> None:
    document, outcomes = decided(Random(seed))
    expected = interpreted(graph_of(document, kinds=kinds()), outcomes)
    report = simulate(team=team, document=document, scenario=scenario_of({}, now=NOON), seconds=60)
    started: dict[str, list[int]] = {}
    for visit in report["steps"]:
        if visit["key"] in outcomes:
            started.setdefault(visit["key"], []).append(round((visit["left_at"] - NOON).total_seconds()))
    assert (report["status"], report["warnings"]) == ("completed", [])
    assert started == expected


# What nodes do that go on at once, whatever it is.
AT_ONCE: dict[str, dict[str, Any]] = {
    **{
        kind: PLAIN[kind][-1 if kind == 'notify' else 0]
        for kind in (
            "wait", "send_email", "send_chat", "notify", "set_variable", "update_record", "create_task",
            "create_record", "find_records", "create_segment", "add_to_segment", "remove_from_segment",
        )
    },
    "call": {"pipeline": "called"},
    "loop": {"times": 2, "steps": [{"type": "set_variable", "with": {"score": 1}}]},
}  # fmt: skip


def decided(rng: Random) -> tuple[dict[str, Any], dict[str, str]]:
    """A random graph whose conditions, cases and variants lead where they are to lead."""
    document, outcomes = drawn(rng), {}
    document |= {"subject": "contacts.contact", "variables": VARIABLES}
    labels = {(edge["from"], edge.get("on")) for edge in document["edges"]}
    for step in document["steps"]:
        # Few different times, so that most nodes come at one with others.
        step["delay"] = 60 * rng.choice((0, 0, 0, 1, 2))
        outcome = outcomes[step["key"]] = rng.choice(OUTCOMES[step["type"]])
        if step["type"] == "condition":
            step["if"] = outcome
        elif step["type"] == "switch" and outcome != "default" and (step["key"], "default") not in labels:
            step["type"] = "split"
            step["with"] = {"variants": [{"name": name, "weight": int(name == outcome)} for name in ("a", "b")]}
        elif step["type"] == "switch":
            cases = [{"name": name, "if": str(name == outcome).lower()} for name in ("a", "b")]
            step["with"] = {"cases": cases}
        else:
            step["type"] = rng.choice(sorted(AT_ONCE))
            step["with"] = AT_ONCE[step["type"]]
        if step["type"] == "set_variable":
            # Two that may run at the same time must not set the same.
            document["variables"] = [*document["variables"], {"name": step["key"], "type": "number"}]
            step["with"] = {step["key"]: "= score + 1"}
    return document, outcomes
