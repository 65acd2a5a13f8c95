"""What a simulation says is what then happens: the same visits at the same times, messages and variables."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts.models import Contact
from crm.models import Member, Team
from pipelines.engine.clock import pretend
from pipelines.models import PipelineRun
from pipelines.operations import import_document
from pipelines.simulation.report import report_of
from pipelines.simulation.scenario import Scenario, scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.simulation.stage import Stage
from pipelines.simulation.world import World
from tests.examples import examples
from tests.pipelines.engine.building import NOON, document

FAR = datetime.fromisoformat("2030-01-01T00:00:00+00:00")
STAGES = ["lead", "customer", "former"]
CONDITIONS = [
    "score > 2",
    "contact.lifecycle_stage == 'customer'",
    {"field": "contact.lifecycle_stage", "operator": "in_list", "value": ["lead", "former"]},
    {"all": [{"field": "score", "operator": "less_than", "value": 4}, "contact.first_name != 'Zoe'"]},
]
DELAYS: list[Any] = [
    0,
    0,
    60,
    3600,
    "1d",
    {"for": "2d", "at": "09:00", "days": ["mon", "wed"]},
    {"for": "3h", "from": "start"},
]
ANSWERS: list[Any] = [
    [{"score": 7}], ["http_5xx", {"score": 1}], ["timeout", "timeout", {"score": 3}], [{"error": "http_4xx"}],
    ["http_5xx"], [{"uncertain": True}, {"score": 2}],
]  # fmt: skip

EVENTS = [
    {"after": "5h", "type": "mail.opened"},
    {"after": "1d", "type": "order.paid", "payload": {"total": 3}},
    {"after": "30h", "type": "order.paid", "payload": {"total": 9}},
    {"after": "6d", "type": "order.paid", "payload": {"total": 7}},
]
ANSWERS_OF_PEOPLE = [
    {"after": "4h", "outcome": "yes", "values": {"points": 5}},
    {"after": "9d", "outcome": "no", "values": {"points": 1}},
    {"after": "1d", "outcome": "no", "values": {"points": 2}},
]


@st.composite
def steps(draw: Any, depth: int = 2, stem: str = "s", reach: bool = True) -> list[dict[str, Any]]:
    """A list of steps, with jumps inside it and blocks within blocks."""
    count = draw(st.integers(1, 5 if depth == 2 else 3))
    keys = [f"{stem}{n}" for n in range(count)]
    return [draw(step(key, keys, depth, reach)) for key in keys]


@st.composite
def step(draw: Any, key: str, keys: list[str], depth: int, reach: bool) -> dict[str, Any]:
    kinds = ["mail", "mail", "count", "change", "task", "check", "wait", "call", "switch", "listen", "ask"]
    kinds += ["parallel", "loop"] if depth else []
    kind = draw(st.sampled_from(kinds))
    targets = [*keys, "end", "next"]
    one: dict[str, Any] = {"key": key, "delay": draw(st.sampled_from(DELAYS))}
    if kind not in ("check", "switch") and draw(st.integers(0, 3)) == 0:
        one["if"] = draw(st.sampled_from(CONDITIONS))
    match kind:
        case "mail":
            text = "{{ contact.first_name }} {{ contact.lifecycle_stage }} {{ score }}"
            one |= {"type": "send_email", "with": {"subject": key, "text": text}}
        case "count":
            one |= {"type": "set_variable", "with": {"score": "= score + 1"}}
        case "change":
            stage = draw(st.sampled_from(STAGES))
            one |= {"type": "update_record", "with": {"values": {"lifecycle_stage": stage, "mark": "= score"}}}
        case "task":
            one |= {"type": "create_task", "with": {"title": "Call {{ contact.first_name }} {{ score }}"}}
        case "check":
            on = {"true": draw(st.sampled_from(targets)), "false": draw(st.sampled_from(targets))}
            one |= {"type": "condition", "if": draw(st.sampled_from(CONDITIONS)), "on": on}
        case "switch":
            cases = [{"name": "high", "if": "score > 3"}, {"name": "low", "if": "score < 2"}]
            on = {name: draw(st.sampled_from(targets)) for name in ("high", "low", "default")}
            one |= {"type": "switch", "with": {"cases": cases}, "on": on}
        case "wait":
            one |= {"type": "wait"}
        case "call":
            one |= {
                "type": "call_api", "with": {"url": "https://receiver.example/{{ score }}"},
                "retry": {"max": 2, "delay": 300}, "on": {"error": draw(st.sampled_from([*keys, "next", "fail"]))},
                "set": {"score": f"= steps.{key}.body.score or score"},
            }  # fmt: skip
        case "listen":
            events = [
                {"name": "paid", "event": "order.paid", "where": "event.total > 5"},
                {"name": "opened", "event": "mail.opened"},
            ]
            on = {name: draw(st.sampled_from([*keys, "end"])) for name in ("paid", "opened", "timeout")}
            one |= {"type": "wait_for", "timeout": "3d", "with": {"events": events}, "on": on}
        case "ask":
            form = [{"name": "points", "type": "number", "required": True}]
            asked = {"title": "Fit? {{ score }}", "outcomes": ["yes", "no"], "form": form, "assignee": "maya@x.org"}
            on = {name: draw(st.sampled_from([*keys, "end"])) for name in ("yes", "no", "timeout")}
            note = {"score": f"= steps.{key}.points or score"}
            one |= {"type": "human_task", "timeout": "2d", "with": asked, "on": on, "set": note}
        case "parallel":
            names = ["a", "b", "c"][: draw(st.integers(2, 3))]
            branches = [
                {"name": name, "steps": draw(steps(depth=depth - 1, stem=f"{key}{name}", reach=False))}
                for name in names
            ]
            join = draw(st.sampled_from(["all", "any", 1]))
            one |= {"type": "parallel", "with": {"branches": branches, "join": join, "on_branch_error": "ignore"}}
        case "loop":
            body = draw(steps(depth=depth - 1, stem=f"{key}i", reach=False))
            times = draw(st.integers(1, 3))
            one |= {"type": "loop", "with": {"times": times, "steps": body, "on_branch_error": "ignore"}}
    return one


@st.composite
def stories(draw: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    line = draw(steps())
    stubs = {key: draw(st.sampled_from(ANSWERS)) for key in _of_kind(line, "call_api")}
    return line, stubs


def _of_kind(line: list[dict[str, Any]], kind: str) -> Iterator[str]:
    for one in line:
        if one["type"] == kind:
            yield one["key"]
        given = one.get("with", {})
        for branch in given.get("branches", []):
            yield from _of_kind(branch["steps"], kind)
        yield from _of_kind(given.get("steps", []), kind)


def told(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what differs by nature: ids of runs and references of messages."""
    steps = [
        {name: each[name] for name in
         ("key", "branch", "visit", "entered_at", "left_at", "event", "outcome", "attempt", "why", "error")}
        for each in report["steps"]
    ]  # fmt: skip
    # Mail about a task holds the number of its form, which differs by nature.
    messages = [
        {"text": each["text"] if each["to"] == "ann@example.org" else "",
         **{name: each[name] for name in ("step", "at", "to", "subject", "state")}}
        for each in report["messages"]
    ]  # fmt: skip
    return {
        "status": report["status"], "reason": report["reason"], "finished_at": report["finished_at"],
        "steps": sorted(steps, key=lambda each: (str(each["left_at"]), each["branch"], each["visit"], each["attempt"])),
        "messages": sorted(messages, key=str),
        "vars": report["context"]["vars"],
    }  # fmt: skip


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=examples(12),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stories())
def test_a_simulation_tells_what_then_happens(team: Team, story: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    line, stubs = story
    if not Member.objects.filter(team=team).exists():
        maya = User.objects.create_user("maya", email="maya@x.org", password="x")
        Member.objects.create(team=team, user=maya, role="owner")
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    definition = document(
        line, key=f"p{ann.pk}", triggers=[], settings={"max_hops": 12},
        variables=[{"name": "score", "type": "number", "default": 1}],
    )  # fmt: skip
    answers = dict.fromkeys(_of_kind(line, "human_task"), ANSWERS_OF_PEOPLE)
    given = {"subject": ann.pk, "stubs": stubs, "until": FAR, "events": EVENTS, "responses": answers}
    scenario = scenario_of(given, now=NOON)
    before = simulate(team=team, document=definition, scenario=scenario, seconds=120)
    after = _performed(team, definition, scenario, ann.pk)
    assert told(before) == told(after)


def _performed(team: Team, definition: dict[str, Any], scenario: Scenario, subject_id: int) -> dict[str, Any]:
    """The same story by the engine in the real database, with the same answers from outside."""
    pipeline = import_document(team=team, document=definition, activate=True)
    stage = Stage(World(team), definition, scenario, pipeline, {})
    with pretend(NOON):
        (run_id,) = stage.enroll([subject_id]).enrolled
    stage.play([subject_id], seconds=120)
    return report_of(PipelineRun.objects.get(pk=run_id))
