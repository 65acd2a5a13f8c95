"""What is wrong with a document, where, and in which words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.definition.document import (
    Problem,
    canonical,
    check,
    checksum,
    context_names,
    document_schema,
    dumps,
)
from pipelines.definition.shapes import document_shape, parameter_shape

EXAMPLES = sorted(Path(__file__).with_name("examples").glob("*.json"))
LINES = [
    "abandoned_cart_recovery",
    "customer_retention",
    "lead_nurture_sequence",
    "opportunity_pipeline",
    "user_onboarding",
    "welcome_campaign_001",
]


def example(name: str) -> Any:
    return json.loads(Path(__file__).with_name("examples").joinpath(f"{name}.json").read_text())


def document(*steps: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "format": "crm.pipeline/1",
        "key": "test",
        "name": "Test",
        "subject": {"model": "contacts.contact", "as": "user"},
        "steps": list(steps) or [{"type": "wait"}],
    } | more


def told(found: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in found]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_has_the_right_shape(path: Path) -> None:
    assert list(document_shape(json.loads(path.read_text()))) == []


@pytest.mark.parametrize("name", LINES)
def test_every_linear_example_has_no_problem(name: str, kinds: Any) -> None:
    assert check(example(name), kinds=kinds) == []


def test_a_document_with_blocks_has_no_problem(kinds: Any) -> None:
    assert check(example("everything"), kinds=kinds) == []


def test_actions_that_are_not_installed_are_told(kinds: Any) -> None:
    fewer = {code: kind for code, kind in kinds.items() if code not in ("parallel", "call", "add_to_segment")}

    assert told(check(example("everything"), kinds=fewer)) == [
        ("steps[1].type", "parallel steps are not available yet"),
        ("steps[4].type", "call steps are not available yet"),
        ("steps[6].type", "unknown action 'add_to_segment'"),
    ]


MAIL = {"type": "send_email", "with": {"template": "hello"}}
PROBLEMS: list[tuple[str, object, str, str]] = [
    ("no object", [], "", "a pipeline document is an object"),
    ("not JSON", {"steps": {1, 2}}, "", "JSON cannot express"),
    ("not a number", document(meta={"x": float("nan")}), "", "JSON cannot express"),
    ("too large", document(meta={"x": "x" * 11_000_000}), "", "at most 10.0 MiB are allowed"),
    ("nothing there", {}, "", "'format' is missing"),
    ("other format", document(format="x"), "format", 'must be "crm.pipeline/1"'),
    ("bad key", document(key="My Key"), "key", "small letters"),
    ("empty name", document(name=""), "name", "must not be empty"),
    ("typo on top", document(step=[]), "", "unknown property 'step'; did you mean 'steps'?"),
    ("no steps", document(steps=[]), "steps", "needs at least 1"),
    ("steps of another type", document(steps=5), "steps", "must be a list"),
    ("no type", document({"key": "a"}), "steps[0]", "'type' is missing"),
    ("typo in step", document({"type": "wait", "dealy": 5}), "steps[0]", "did you mean 'delay'"),
    ("number of type text", document({**MAIL, "number": "1"}), "steps[0].number", "a whole number"),
    ("bad delay", document({**MAIL, "delay": "soon"}), "steps[0].delay", "duration such as"),
    ("negative delay", document({**MAIL, "delay": -1}), "steps[0].delay", "at least 0"),
    (
        "list as delay",
        document({**MAIL, "delay": []}),
        "steps[0].delay",
        "must be a number or text",
    ),
    (
        "typo in delay",
        document({**MAIL, "delay": {"unti": "x"}}),
        "steps[0].delay",
        "did you mean 'until'",
    ),
    (
        "no such hour",
        document({**MAIL, "delay": {"at": "29:00"}}),
        "steps[0].delay.at",
        "time of day",
    ),
    ("no such zone", document({**MAIL, "delay": {"tz": "X/Y"}}), "steps[0].delay.tz", "time zone"),
    (
        "typo in operator",
        document({**MAIL, "if": {"all": [{"field": "user.x", "operator": "is_emty"}]}}),
        "steps[0].if.all[0].operator",
        "did you mean 'is_empty'",
    ),
    (
        "field unknown",
        document({**MAIL, "if": {"all": [{"field": "usr.x", "operator": "is_empty"}]}}),
        "steps[0].if.all[0].field",
        "unknown name 'usr'; did you mean 'user'?",
    ),
    ("bad expression", document({**MAIL, "if": "user.x >"}), "steps[0].if", "cannot read"),
    (
        "bad pattern in a row",
        document({**MAIL, "if": [{"field": "user.x", "operator": "matches", "value": "("}]}),
        "steps[0].if[0].value",
        "'matches'",
    ),
    ("condition without if", document({"type": "condition"}), "steps[0]", "'if' is missing"),
    ("reserved key", document({**MAIL, "key": "end"}), "steps[0].key", "reserved"),
    (
        "key used twice",
        document({**MAIL, "key": "a"}, {**MAIL, "key": "a"}),
        "steps[1].key",
        "the key 'a' is used by more than one step",
    ),
    (
        "number used twice",
        document({**MAIL, "number": 1, "key": "a"}, {**MAIL, "number": 1, "key": "b"}),
        "steps[1].number",
        "the number 1 is used by more than one step",
    ),
    (
        "unknown next",
        document({**MAIL, "next": "gone"}),
        "steps[0].next",
        "there is no step 'gone'",
    ),
    (
        "unknown target",
        document({**MAIL, "key": "first", "on": {"error": "frist"}}),
        "steps[0].on.error",
        "did you mean 'first'",
    ),
    (
        "undeclared outcome",
        document({**MAIL, "on": {"opened": "end"}}),
        "steps[0].on.opened",
        "this step never ends with 'opened'; it may end with error, next, skipped, timeout",
    ),
    (
        "unknown action",
        document({"type": "send_emial"}),
        "steps[0].type",
        "did you mean 'send_email'",
    ),
    (
        "parameter missing",
        document({"type": "send_email"}),
        "steps[0].with",
        "'template' is missing",
    ),
    (
        "parameter unknown",
        document({"type": "send_email", "with": {"template": "x", "too": "y"}}),
        "steps[0].with",
        "unknown property 'too'; did you mean 'to'?",
    ),
    (
        "parameter out of range",
        document({"type": "send_email", "with": {"template": "x", "priority": 9}}),
        "steps[0].with.priority",
        "must be at most 5",
    ),
    (
        "name unknown in a template",
        document({"type": "send_email", "with": {"template": "x", "to": "{{ contct.email }}"}}),
        "steps[0].with.to",
        "unknown name 'contct'; did you mean 'contact'?",
    ),
    (
        "broken template",
        document({"type": "send_email", "with": {"template": "x", "to": "{{ user.email"}}),
        "steps[0].with.to",
        "not closed",
    ),
    (
        "broken message",
        document({**MAIL, "message": "{{ user.name | shout }}"}),
        "steps[0].message",
        "unknown filter 'shout'",
    ),
    (
        "output of no step",
        document({**MAIL, "message": "{{ steps.gone.body }}"}),
        "steps[0].message",
        "there is no step 'gone'",
    ),
    (
        "variable unknown",
        document({**MAIL, "message": "{{ vars.scroe }}"}, variables=[{"name": "score", "type": "any"}]),
        "steps[0].message",
        "there is no variable 'scroe'; did you mean 'score'?",
    ),
    (
        "assigned but undeclared",
        document({**MAIL, "set": {"score": 1}}),
        "steps[0].set.score",
        "'score' is not declared in 'variables'",
    ),
    (
        "variable declared twice",
        document(variables=[{"name": "a", "type": "any"}] * 2),
        "variables[1].name",
        "'a' is declared twice",
    ),
    (
        "default of another type",
        document(variables=[{"name": "a", "type": "number", "default": "7"}]),
        "variables[0].default",
        "must be a number, as the type of 'a' says",
    ),
    (
        "variable hides the subject",
        document(variables=[{"name": "user", "type": "any"}]),
        "variables[0].name",
        "'user' already has a meaning",
    ),
    (
        "required but never set",
        document(
            variables=[{"name": "cart", "type": "any", "required": True}],
            triggers=[{"type": "event", "event": "x"}],
        ),
        "variables[0]",
        "'cart' is required, but not every trigger sets it",
    ),
    (
        "switch case unreadable",
        document({"type": "switch", "with": {"cases": [{"name": "a", "if": "1 +"}]}}),
        "steps[0].with.cases[0].if",
        "cannot read",
    ),
    (
        "task with a timeout that leads nowhere",
        document({"type": "human_task", "timeout": "1d", "with": {"title": "x"}}),
        "steps[0].on",
        "say in 'on' where 'timeout' leads",
    ),
    (
        "wait with a timeout that leads nowhere",
        document({"type": "wait_for", "timeout": "1d", "with": {"events": [{"event": "x"}]}}),
        "steps[0].on",
        "say in 'on' where 'timeout' leads",
    ),
    (
        "timeout from a template",
        document({**MAIL, "timeout": "{{ user.x }}"}),
        "steps[0].timeout",
        "fixed duration",
    ),
    (
        "retry wait unreadable",
        document({**MAIL, "retry": [{"delay": "P1Y"}]}),
        "steps[0].retry[0].delay",
        "no fixed length",
    ),
    (
        "zone unknown",
        document(settings={"timezone": "X/Y"}),
        "settings.timezone",
        "unknown time zone",
    ),
    ("event missing", document(triggers=[{"type": "event"}]), "triggers[0]", "'event' is missing"),
    (
        "trigger of unknown type",
        document(triggers=[{"type": "evnt"}]),
        "triggers[0].type",
        "did you mean 'event'",
    ),
    (
        "trigger key used twice",
        document(triggers=[{"type": "manual", "key": "a"}] * 2),
        "triggers[1].key",
        "used twice",
    ),
    (
        "trigger condition",
        document(triggers=[{"type": "manual", "where": "usr.x"}]),
        "triggers[0].where",
        "unknown name 'usr'",
    ),
    (
        "trigger sets an undeclared variable",
        document(triggers=[{"type": "manual", "set": {"x": 1}}]),
        "triggers[0].set.x",
        "not declared",
    ),
    (
        "re-entry key",
        document(triggers=[{"type": "manual", "reentry": {"key": "{{ x }}"}}]),
        "triggers[0].reentry.key",
        "unknown name 'x'",
    ),
    ("exit condition", document(exit=[{"where": "usr.x"}]), "exit[0].where", "unknown name 'usr'"),
    (
        "empty exit",
        document(exit=[{"reason": "x"}]),
        "exit[0]",
        "one of 'event', 'where' is needed",
    ),
    (
        "goal value",
        document(goals=[{"key": "a", "event": "b", "value": "{{ evnt.x }}"}]),
        "goals[0].value",
        "did you mean 'event'",
    ),
    # A part without its shape does not hide what is wrong elsewhere.
    ("wrong shape elsewhere", document({"type": "wait", "next": "zz"}, x=1), "steps[0].next", "no step 'zz'"),
    ("too many steps", document(*[MAIL] * 51), "steps", "at most 50 steps, this has 51"),
]


@pytest.mark.parametrize(("given", "path", "sentence"), [row[1:] for row in PROBLEMS], ids=[row[0] for row in PROBLEMS])
def test_a_problem_is_told_with_its_place(given: object, path: str, sentence: str, kinds: Any) -> None:
    found = [each for each in check(given, kinds=kinds) if each.path == path]

    assert any(sentence in each.message for each in found), told(check(given, kinds=kinds))
    assert all(each.severity == "error" for each in found)
    assert all(len(each.message) < 300 for each in found)


def test_every_problem_is_told_at_once(kinds: Any) -> None:
    wrong = document({"type": "send_email", "with": {"too": 1}}, {"type": "nope"}, {"type": "wait", "delay": "x"})

    assert {path for path, _ in told(check(wrong, kinds=kinds))} == {
        "steps[0].with",
        "steps[1].type",
        "steps[2].delay",
    }


def test_a_text_worked_out_later_may_stand_for_any_type(kinds: Any) -> None:
    later = {"template": "x", "priority": "= 1 + 1", "variables": "{{ trigger.values }}"}

    assert check(document({"type": "send_email", "with": later}), kinds=kinds) == []


@pytest.mark.parametrize(
    ("given", "path", "sentence"),
    [
        (
            document({**MAIL, "next": "end"}, {**MAIL, "key": "lost"}),
            "steps[1]",
            "no step leads to 'lost'",
        ),
        (
            document(
                {"type": "condition", "if": True, "on": {"true": "end", "false": "end"}},
                {**MAIL, "key": "lost"},
            ),
            "steps[1]",
            "no step leads to 'lost'",
        ),
        (
            document({**MAIL, "message": "{{ x }}"}, variables=[{"name": "x", "type": "any"}]),
            "steps[0].message",
            "the variable 'x' is read but never written",
        ),
        (
            document({**MAIL, "message": "{{ steps.later.body }}"}, {**MAIL, "key": "later"}),
            "steps[0].message",
            "'later' has not run yet",
        ),
        (document(MAIL, settings={"enabled": False}), "settings.enabled", "does nothing"),
        (document(MAIL, settings={"log": "errors"}), "settings.log", "does nothing"),
    ],
    ids=["after an end", "after a full fork", "variable without value", "output from the future", "switch", "log"],
)
def test_what_is_doubtful_is_a_warning(given: dict[str, Any], path: str, sentence: str, kinds: Any) -> None:
    (found,) = check(given, kinds=kinds)

    assert (found.path, found.severity) == (path, "warning")
    assert sentence in found.message


def test_a_very_deep_document_is_refused_without_a_crash(kinds: Any) -> None:
    deep: Any = True
    for _ in range(20_000):
        deep = {"not": deep}

    assert check(document({**MAIL, "if": deep}), kinds=kinds)[0].message.endswith("too deeply")


def test_names_are_those_of_the_subject_the_variables_and_the_run() -> None:
    given = document(subject={"model": "contacts.deal", "as": "sale"}, variables=[{"name": "x", "type": "any"}])

    assert context_names(given) == {
        "subject",
        "sale",
        "deal",
        "trigger",
        "vars",
        "x",
        "steps",
        "run",
        "pipeline",
        "team",
        "now",
    }


def test_the_canonical_form_leaves_out_what_goes_without_saying() -> None:
    wordy = document(
        {
            "with": {"b": 1, "a": 2},
            "type": "send_push",
            "key": "step_1",
            "number": 1,
            "delay": {"for": "1h", "from": "previous"},
            "on": {"error": "fail", "skipped": "next"},
            "next": "second",
            "if": True,
            "retry": [{"backoff": 2, "delay": "PT1M"}],
            "await": "done",
            "message": "",
        },
        {"type": "wait", "key": "second", "delay": "P1D", "next": "end", "timeout": "90s"},
        subject={"model": "contacts.contact", "as": "contact"},
        settings={"enabled": True, "expires_after": "P90D"},
        triggers=[{"type": "manual", "enabled": True, "automatic": False, "reentry": {"after": "1d"}}],
        meta={},
        description="",
    )

    assert canonical(wordy) == {
        "format": "crm.pipeline/1",
        "key": "test",
        "name": "Test",
        "subject": "contacts.contact",
        "triggers": [{"type": "manual", "reentry": {"after": 86_400}}],
        "settings": {"expires_after": 7_776_000},
        "steps": [
            {
                "type": "send_push",
                "delay": 3_600,
                "with": {"a": 2, "b": 1},
                "retry": {"delay": 60, "backoff": 2},
            },
            {"key": "second", "type": "wait", "delay": 86_400, "timeout": 90},
        ],
    }


def test_steps_are_told_in_the_order_of_their_numbers() -> None:
    given = document({"type": "wait", "number": 20, "key": "b"}, {"type": "wait", "number": 10, "key": "a"})

    assert [(step["number"], step["key"]) for step in canonical(given)["steps"]] == [
        (10, "a"),
        (20, "b"),
    ]


def test_equal_pipelines_have_equal_text_and_checksum() -> None:
    one = document({"type": "wait", "delay": "1h"}, settings={"enabled": True})
    other = dict(reversed(list(document({"delay": 3_600, "type": "wait", "number": 1}).items())))

    assert dumps(one) == dumps(other)
    assert checksum(one) == checksum(other)
    assert len(checksum(one)) == 64
    assert checksum(document({"type": "wait", "delay": 3_601})) != checksum(one)


def test_exported_text_keeps_letters_and_ends_with_a_newline() -> None:
    text = dumps(document(name="Köln"))

    assert '"name": "Köln"' in text
    assert text.endswith("}\n")


def test_the_schema_is_shipped() -> None:
    assert document_schema()["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("schema", [{"type": "strange"}, {"enum": {1, 2}}], ids=["no such type", "not JSON"])
def test_an_action_whose_schema_is_broken_is_named_for_its_author(schema: dict[str, Any]) -> None:
    (problem,) = parameter_shape({}, schema=schema, at=["steps", 0, "with"])
    assert (problem.path, problem.message) == ("steps[0].with", "the action has a broken schema: tell its author")
