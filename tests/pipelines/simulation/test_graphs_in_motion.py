"""Graphs without circles, moved by the engine: every node starts once, when its last predecessor is settled.

A simulation tells the same of each.
"""

from random import Random
from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import Contact, RecordType, Segment
from crm.models import Team
from pipelines.actions.registry import kinds
from pipelines.definition.graph import graph_of
from pipelines.sandbox import running
from tests.examples import groups, together
from tests.pipelines.definition.test_graphs import OUTCOMES, drawn, interpreted
from tests.pipelines.engine.building import NOON, active
from tests.pipelines.engine.company import open_children_are_right
from tests.pipelines.simulation.side_by_side import part, performed, told
from tests.pipelines.simulation.stories import OWN_FIELDS, PLAIN, VARIABLES

# So many random graphs share a database and its passes.
TOGETHER = together(10)
GROUPS = groups(TOGETHER)


@pytest.fixture
def team(settings: Settings) -> Team:
    settings.PIPELINES_CODE_STEPS = True
    team = Team.objects.create(name="Acme", slug="acme")
    Segment.objects.create(team=team, key="warm", name="Warm")
    RecordType.objects.create(team=team, key="visit", label="Visit", fields=OWN_FIELDS)
    for key in ("called", "beside"):
        active(team, [{"type": "wait"}], key=key, triggers=[])
    return team


@pytest.mark.django_db
@pytest.mark.parametrize("group", GROUPS)
def test_every_node_starts_once_and_exactly_when_its_last_predecessor_is_settled(team: Team, group: int) -> None:
    drawings = [Drawing(number) for number in range(group * TOGETHER, (group + 1) * TOGETHER)]
    counters: list[bool] = []
    parts = [part(team, newcomer(team), each.document, **each.answers) for each in drawings]
    simulated = [each.simulated() for each in parts]
    reports = performed(parts, after_each=lambda: counters.append(open_children_are_right()))
    assert counters and all(counters)
    for drawing, before, report in zip(drawings, simulated, reports, strict=True):
        assert (report["status"], report["warnings"]) == ("completed", []), drawing.document
        assert started(report, drawing) == drawing.expected(), drawing.document
        assert told(before) == told(report), drawing.document


def newcomer(team: Team) -> Contact:
    number = Contact.objects.count()
    return Contact.objects.create(team=team, email=f"ann{number}@example.org", phone=f"+491511234{number:04}", **ANN)


def started(report: dict[str, Any], drawing: "Drawing") -> dict[str, list[int]]:
    """Seconds after noon at which each node of a graph started."""
    found: dict[str, list[int]] = {}
    for visit in report["steps"]:
        if visit["key"] in drawing.outcomes and visit["event"] != "retried":
            found.setdefault(visit["key"], []).append(round((visit["left_at"] - NOON).total_seconds()))
    return found


def test_nodes_are_of_every_kind() -> None:
    found = {step["type"] for seed in range(200) for step in Drawing(seed).document["steps"]}
    assert found == {kind for kind in kinds() if kind != "code" or running.installed()}


ANN = {"first_name": "Ann"}
# What nodes do that go on at once, whatever it is.
AT_ONCE: dict[str, dict[str, Any]] = {
    **{kind: ways[-1 if kind == "notify" else 0] for kind, ways in PLAIN.items()},
    "code": {"source": "result = sum(range(9))"},
    "call": {"pipeline": "called"},
    "loop": {"times": 2, "steps": [{"type": "set_variable", "with": {"score": 1}}]},
}
if not running.installed():
    del AT_ONCE["code"]
# And those that take a minute of their own.
A_MINUTE: dict[str, dict[str, Any]] = {
    "parallel": {
        "branches": [
            {"name": "a", "steps": [{"type": "wait", "delay": 60}]},
            {"name": "b", "steps": [{"type": "wait"}]},
        ]
    },
    "call_api": {"url": "https://receiver.example/"},
}
MINUTE = 60


class Drawing:
    """A random graph whose conditions, cases, variants, people and events lead where they are to lead."""

    def __init__(self, number: int) -> None:
        self._rng = Random(number)
        graph = drawn(self._rng, stem=f"g{number}n")
        self.document = graph | {"key": f"g{number}", "subject": "contacts.contact", "variables": VARIABLES}
        self.outcomes: dict[str, str] = {}
        self._labels = {(edge["from"], edge.get("on")) for edge in self.document["edges"]}
        self._own: dict[str, int] = {}
        self._responses: dict[str, Any] = {}
        self._stubs: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []
        for step in self.document["steps"]:
            self._decide(step)

    def expected(self) -> dict[str, list[int]]:
        """When each node is to start, by the edges alone and the time that steps take by themselves."""
        steps = [step | {"delay": step["delay"] + self._own.get(step["key"], 0)} for step in self.document["steps"]]
        return interpreted(graph_of(self.document | {"steps": steps}, kinds=kinds()), self.outcomes)

    @property
    def answers(self) -> dict[str, Any]:
        """What people, systems and events say."""
        return {"responses": self._responses, "stubs": self._stubs, "events": self._events}

    def _decide(self, step: dict[str, Any]) -> None:
        # Few different times, so that most nodes come at one with others.
        step["delay"] = MINUTE * self._rng.choice((0, 0, 0, 1, 2))
        outcome = self.outcomes[step["key"]] = self._rng.choice(OUTCOMES[step["type"]])
        match step["type"]:
            case "condition":
                self._condition(step, outcome)
            case "switch":
                self._switch(step, outcome)
            case _:
                self._plain(step)
        if step["type"] == "set_variable":
            # Two that may run at the same time must not set the same.
            self.document["variables"] = [*self.document["variables"], {"name": step["key"], "type": "number"}]
            step["with"] = {step["key"]: "= score + 1"}

    def _condition(self, step: dict[str, Any], outcome: str) -> None:
        """A condition, or a person who says yes or no."""
        if self._rng.random() < 0.6:
            step["if"] = outcome
            return
        del step["if"]
        step |= {"type": "human_task", "with": {"title": "Fit?", "outcomes": ["true", "false"]}}
        after = self._own[step["key"]] = MINUTE * self._rng.randint(0, 2)
        self._responses[step["key"]] = [{"after": after, "outcome": outcome}]

    def _switch(self, step: dict[str, Any], outcome: str) -> None:
        """A switch, a split, or a wait for events that were there before, or for none that comes in time."""
        key = step["key"]
        otherwise = (key, "default") in self._labels
        if outcome != "default" and not otherwise:
            variants = [{"name": name, "weight": int(name == outcome)} for name in ("a", "b")]
            step |= {"type": "split", "with": {"variants": variants}}
        elif otherwise and self._rng.random() < 0.5:
            waited = [{"name": name, "event": f"{key}.{name}", "since": "run"} for name in ("a", "b")]
            step |= {"type": "wait_for", "with": {"events": waited}, "timeout": 2 * MINUTE}
            self.document["edges"] = [
                edge | {"on": "timeout"} if (edge["from"], edge.get("on")) == (key, "default") else edge
                for edge in self.document["edges"]
            ]
            if outcome == "default":
                self.outcomes[key], self._own[key] = "timeout", 2 * MINUTE
            else:
                self._events.append({"after": 0, "type": f"{key}.{outcome}"})
        else:
            step["with"] = {"cases": [{"name": name, "if": str(name == outcome).lower()} for name in ("a", "b")]}

    def _plain(self, step: dict[str, Any]) -> None:
        key = step["key"]
        if not any(source == key for source, _ in self._labels) and self._rng.random() < 0.2:
            step |= {"type": "end", "with": {}}
            self.outcomes[key] = "end"
            return
        kind = step["type"] = self._rng.choice(sorted({**AT_ONCE, **A_MINUTE}))
        step["with"] = {**AT_ONCE, **A_MINUTE}[kind]
        if kind in A_MINUTE:
            self._own[key] = MINUTE
        if kind == "call_api":
            step["retry"] = {"max": 1, "delay": MINUTE}
            self._stubs[key] = ["http_5xx", {"ok": True}]
