"""Outputs of steps that nobody puts out are told of at publish, where all of them are known."""

from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import Contact
from crm.models import MessageTemplate, Team
from pipelines.actions.base import Kind
from pipelines.actions.registry import kinds
from pipelines.operations import import_document
from pipelines.operations.checking import validate_document
from pipelines.operations.output_problems import outputs_known
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from tests.pipelines.engine.building import NOON, document, email
from tests.pipelines.people.asking import member

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team.objects.create(name="Acme", slug="acme")


ASK: dict[str, Any] = {"key": "ask", "type": "human_task",
                       "with": {"title": "Fit?", "form": [{"name": "budget", "type": "number"}]}}  # fmt: skip
BRANCH: dict[str, Any] = {"name": "one", "steps": [{"key": "in_one", "type": "wait"}]}
STEPS: dict[str, dict[str, Any]] = {
    "find": {"type": "find_records", "with": {"model": "contacts.deal"}},
    "case": {"type": "switch", "with": {"cases": [{"name": "vip", "if": "contact.score > 5"}]}},
    "draw": {"type": "split", "with": {"variants": [{"name": "a"}, {"name": "b"}]}},
    "remember": {"type": "set_variable", "with": {"color": "red"}},
    "task": {"type": "create_task", "with": {"title": "Call"}},
    "make": {"type": "create_record", "with": {"model": "crm.task", "values": {"title": "Call"}}},
    "group": {"type": "create_segment", "with": {"segment": "vips"}},
    "join": {"type": "add_to_segment", "with": {"segment": "vips"}},
    "leave": {"type": "remove_from_segment", "with": {"segment": "vips"}},
    "start": {"type": "enroll", "with": {"pipeline": "other"}},
    "stop": {"type": "unenroll", "with": {"pipeline": "other"}},
    "note": {"type": "notify", "with": {"title": "Look", "to": "ann@acme.example"}},
    "call": {"type": "call_api", "with": {"url": "https://a.example/"}},
    "ask": ASK,
    "pause": {"type": "wait"},
    "check": {"type": "condition", "if": "contact.score > 5"},
    "fork": {"type": "parallel", "with": {"branches": [BRANCH]}},
    "each": {"type": "loop", "with": {"over": [1, 2], "steps": [{"key": "in_each", "type": "wait"}]}},
    "below": {"type": "call", "with": {"pipeline": "other"}},
}  # fmt: skip


CALL: dict[str, Any] = {"key": "call", "type": "call_api", "with": {"url": "https://a.example/"}}
FIND = {"key": "find", **STEPS["find"]}


def told(team: Team, *steps: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    """The warnings about what steps of a document put out."""
    problems = validate_document(document(list(steps), **more), team)
    assert {each.severity for each in problems} <= {"warning"}, problems
    return [(each.path, each.message) for each in problems if "puts out" in each.message]


def test_what_kinds_say_they_put_out_is_what_they_put_out(team: Team) -> None:
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    member(team, "ann")
    import_document(team=team, document=document([{"type": "wait"}], key="other", triggers=[]), activate=True)
    steps = [{"key": key, **step} for key, step in STEPS.items()]
    reader = email("".join(f"{{{{ steps.{key} }}}}" for key in STEPS), key="reader")
    played = document([*steps, reader], variables=[{"name": "color", "type": "string"}])
    answers = {"ask": [{"values": {"budget": 5}}]}
    scenario = scenario_of({"subject": ann.pk, "responses": answers}, now=NOON)
    report = simulate(team=team, document=played, scenario=scenario)
    assert report["status"] == "completed"
    found = {key: {*report["context"]["outputs"].get(key, ()), "error"} for key in STEPS}
    known = outputs_known(played)
    assert found == {key: set(known[key]) for key in STEPS}
    closed = {code for code, kind in kinds().items() if type(kind).outputs is not Kind.outputs}
    assert closed - {step["type"] for step in STEPS.values()} == {"end"}


READS: list[tuple[str, dict[str, Any], str, str]] = [
    ("a template", email("{{ steps.find.cuont }}"), "with.text", "'count'? (line 1, column 4)"),
    ("an expression", {"type": "end", "if": "steps.find.cuont > 1"}, "if", "'count'? (line 1, column 1)"),
    ("a clause", {"type": "end", "if": {"field": "steps.find.recods", "operator": "is_empty"}},
     "if.field", "'records'?"),
    ("a parameter", {**CALL, "with": {**CALL["with"], "body": {"n": "= 1 + steps['find'].cuont"}}},
     "with.body.n", "'count'?"),
    ("a delay", {"type": "wait", "delay": "= steps.find.cuont"}, "delay", "'count'?"),
    ("inside a block", {"type": "loop", "with": {"times": 2, "steps": [email("{{ steps.find.cuont }}")]}},
     "with.steps[0].with.text", "'count'?"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "at", "meant"), [each[1:] for each in READS], ids=[each[0] for each in READS])
def test_a_misspelled_output_is_told_of_where_it_is_read(team: Team, step: dict[str, Any], at: str, meant: str) -> None:
    ((path, message),) = told(team, FIND, step)
    assert path == f"steps[1].{at}"
    assert "the step 'find' puts out no '" in message and f"; did you mean {meant}" in message


def test_exit_rules_and_goals_are_looked_at_too(team: Team) -> None:
    rules = [{"where": "steps.find.cuont > 1", "reason": "many"}]
    goals = [{"key": "many", "event": "order.paid", "where": "steps.find.count > 1", "value": "= steps.find.sum"}]
    found = told(team, FIND, {"type": "wait", "delay": "1d"}, exit=rules, goals=goals)
    assert found == [
        ("exit[0].where", "the step 'find' puts out no 'cuont'; did you mean 'count'? (line 1, column 1)"),
        ("goals[0].value", "the step 'find' puts out no 'sum'; there are count, error, records (line 1, column 3)"),
    ]


SLIPS: list[tuple[dict[str, Any], str, str]] = [
    (ASK, "bugdet", "'bugdet'; did you mean 'budget'?"),
    (CALL, "boddy", "'boddy'; did you mean 'body'?"),
    ({"key": "check", **STEPS["check"]}, "outcome", "'outcome' (line"),
    ({"key": "each", **STEPS["each"]}, "item", "'item'; did you mean 'items'?"),
    ({"key": "remember", **STEPS["remember"]}, "colour", "'colour'; did you mean 'color'?"),
]


@pytest.mark.parametrize(("step", "name", "meant"), SLIPS, ids=[each[1] for each in SLIPS])
def test_each_kind_knows_what_was_meant(team: Team, step: dict[str, Any], name: str, meant: str) -> None:
    variables = [{"name": "color", "type": "string"}]
    ((_, message),) = told(team, step, email(f"{{{{ steps.{step['key']}.{name} }}}}"), variables=variables)
    assert f"puts out no {meant}" in message


OPEN: dict[str, tuple[dict[str, Any], str]] = {
    "what the other system answers": (CALL, "body.anything.at.all"),
    "a field of a record": ({"key": "make", "type": "create_record",
                             "with": {"model": "contacts.company", "values": {"name": "A"}}}, "whatever"),
    "what came with an event": ({"key": "paid", "type": "wait_for", "timeout": "1d", "on": {"timeout": "end"},
                                 "with": {"events": [{"event": "order.paid"}]}}, "amount"),
    "a form that is worked out": ({**ASK, "with": {"title": "Fit?", "form": "= questions"}}, "budget"),
    "values that are worked out": ({"key": "keep", "type": "set_variable", "with": {"values": "= questions"}}, "a"),
    "what a provider says": ({**email(), "key": "mail"}, "status"),
    "the error of any step": (FIND, "error.message"),
    "an error of what puts out nothing": ({"key": "check", **STEPS["check"]}, "error.code"),
    "how many there are": (FIND, "size"),
    "a field of what was found": (FIND, "records[0].amount"),
}  # fmt: skip


@pytest.mark.parametrize(("step", "name"), OPEN.values(), ids=OPEN)
def test_nothing_is_said_where_nobody_can_tell(team: Team, step: dict[str, Any], name: str) -> None:
    variables: list[dict[str, Any]] = [{"name": name, "type": "any", "default": []} for name in ("questions", "values")]
    assert told(team, step, email(f"{{{{ steps.{step['key']}.{name} }}}}"), variables=variables) == []


def test_code_is_open(team: Team, settings: Settings) -> None:
    settings.PIPELINES_CODE_STEPS = True
    code = {"key": "sum", "type": "code", "with": {"source": "result = {'n': 1}"}}
    assert told(team, code, email("{{ steps.sum.m }}")) == []


def test_stored_templates_are_held_to_them(team: Team) -> None:
    MessageTemplate.objects.create(
        team=team, key="welcome", name="W", subject="Hi", topic="news", text="{{ steps.find.cuont }}"
    )
    send = {"key": "hello", "type": "send_email", "with": {"template": "welcome"}}
    ((path, message),) = told(team, FIND, send)
    assert path == "steps[1].with.template.welcome.text"
    assert message == "the step 'find' puts out no 'cuont'; did you mean 'count'? (line 1, column 4)"
