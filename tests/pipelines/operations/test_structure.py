"""What blocks, switches and waits are built of is judged before anybody enters: names, numbers, what never happens."""

from typing import Any

import pytest

from crm.models import Team
from pipelines.operations.checking import validate_document

pytestmark = pytest.mark.django_db
REST: dict[str, Any] = {"type": "wait"}


@pytest.fixture
def team() -> Team:
    return Team.objects.create(name="Acme", slug="acme")


def told(team: Team, kind: str, given: dict[str, Any], **more: Any) -> list[tuple[str, str, str]]:
    """(path inside the step, sentence, severity) of what is said about a step."""
    document = {
        "format": "crm.pipeline/1", "key": "p", "name": "P", "subject": "contacts.contact",
        "variables": [{"name": "x", "type": "any", "default": 1}], "steps": [{"type": kind, "with": given, **more}],
    }  # fmt: skip
    found = validate_document(document, team)
    return [(each.path.removeprefix("steps[0]."), each.message, each.severity) for each in found]


def waits(**event: Any) -> dict[str, Any]:
    return {"events": [event]}


BRANCHES = [{"name": "a", "steps": [REST]}, {"name": "b", "steps": [REST]}]
FORK = {"branches": BRANCHES}
LOOP = {"times": 2, "steps": [REST]}


@pytest.mark.parametrize(
    ("kind", "given", "name"),
    [
        ("split", {}, "variants"),
        ("switch", {}, "cases"),
        ("wait_for", {}, "events"),
        ("wait_for", waits(event="paid"), "count"),
        ("parallel", {}, "branches"),
        *(("parallel", FORK, name) for name in ("join", "cancel_rest", "on_branch_error", "concurrency", "export")),
        *(("loop", LOOP, name) for name in ("join", "on_branch_error", "concurrency", "max", "tolerate", "export")),
        *(("loop", {**LOOP, "over": "= x", "times": None}, name) for name in ("as", "index")),
    ],
)
def test_what_a_step_is_built_of_cannot_be_worked_out_later(
    team: Team, kind: str, given: dict[str, Any], name: str
) -> None:
    known = {key: value for key, value in given.items() if value is not None}
    assert (f"with.{name}", "error") in {(at, severity) for at, _, severity in told(team, kind, {**known, name: "= x"})}


@pytest.mark.parametrize(("kind", "name"), [("split", "variants"), ("switch", "cases"), ("wait_for", "events")])
def test_nor_can_an_entry_of_its_list(team: Team, kind: str, name: str) -> None:
    assert f"with.{name}[0]" in {at for at, _, _ in told(team, kind, {name: ["= x", "= x"]})}


@pytest.mark.parametrize(
    ("given", "at", "sentence"),
    [
        (waits(event="error"), "events[0].event", "'error' already has a meaning: choose another 'name'"),
        (waits(event="paid", name="timeout"), "events[0].name", "'timeout' already has a meaning"),
        (waits(event="a" * 41), "events[0].event", "give this event a 'name' of at most 40 characters"),
        (waits(event="paid", since="yesterday"), "events[0].since", 'run or a duration such as "2d"'),
    ],
    ids=["an event", "a name", "too long", "since"],
)
def test_an_event_has_a_name_to_lead_by(team: Team, given: dict[str, Any], at: str, sentence: str) -> None:
    ((path, message, severity),) = told(team, "wait_for", given)
    assert (path, severity) == (f"with.{at}", "error") and sentence in message


def test_an_event_may_be_called_as_no_other_way_on(team: Team) -> None:
    assert told(team, "wait_for", waits(event="met"), on={"met": "end"}) == []
    assert told(team, "wait_for", waits(event="a" * 41, name="paid"), on={"paid": "end"}) == []


def test_an_event_with_a_name_leads_by_that_alone(team: Team) -> None:
    ((path, message, _),) = told(team, "wait_for", waits(event="order.paid", name="paid"), on={"order.paid": "end"})
    assert path == "on.order.paid" and message.startswith("this step never ends with 'order.paid'")


@pytest.mark.parametrize(
    ("rounds", "sentence"),
    [
        ({"times": 1.5}, "must be a whole number"),
        ({"times": "3"}, "must be a whole number"),
        ({"times": True}, "must be a whole number"),
        ({"over": "abc"}, "must be a list"),
        ({"over": {"a": 1}}, "must be a list"),
        ({"over": [1, 2, 3], "max": 2}, "more items than 'max' allows, which is 2"),
    ],
    ids=str,
)
def test_a_loop_that_can_only_fail_is_refused(team: Team, rounds: dict[str, Any], sentence: str) -> None:
    ((path, message, severity),) = told(team, "loop", {**rounds, "steps": [REST]})
    assert (path, severity) == (f"with.{next(iter(rounds))}", "error") and message.startswith(sentence)


@pytest.mark.parametrize("rounds", [{"times": 3.0}, {"times": "= x"}, {"over": "{{ x }}"}, {"over": []}], ids=str)
def test_a_loop_that_may_run_is_let_be(team: Team, rounds: dict[str, Any]) -> None:
    assert told(team, "loop", {**rounds, "steps": [REST]}) == []


@pytest.mark.parametrize(
    ("kind", "given"),
    [("wait_for", waits(event="paid")), ("human_task", {"title": "Call"}), ("parallel", FORK), ("loop", LOOP)],
)
def test_a_timeout_that_leads_somewhere_and_never_comes_is_warned_about(
    team: Team, kind: str, given: dict[str, Any]
) -> None:
    ((path, message, severity),) = told(team, kind, given, on={"timeout": "end"})
    assert (path, severity) == ("on.timeout", "warning") and "the step has no 'timeout'" in message
    assert told(team, kind, given, on={"timeout": "end"}, timeout="1h") == []


def test_what_comes_after_an_error_that_nobody_catches_is_warned_about(team: Team) -> None:
    after = {**BRANCHES[1], "after": ["a:error"]}
    ((path, message, severity),) = told(team, "parallel", {"branches": [BRANCHES[0], after]})
    assert (path, severity) == ("with.branches[1].after[0]", "warning") and "lead 'error' to 'end'" in message
    caught = {"name": "a", "steps": [{**REST, "on": {"error": "end"}}]}
    assert told(team, "parallel", {"branches": [caught, after]}) == []


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ({"type": "number", "default": "many"}, "Write a number."),
        ({"type": "number", "min": 3, "default": 1}, "This must be 3 or more."),
        ({"type": "select", "options": ["a", "b"], "default": "c"}, "Choose one of the options."),
        ({"type": "date", "default": "today"}, "Write a date"),
    ],
    ids=str,
)
def test_a_default_that_no_form_would_show_is_warned_about(team: Team, field: dict[str, Any], sentence: str) -> None:
    ((path, message, severity),) = told(team, "human_task", {"title": "Call", "form": [{"name": "it", **field}]})
    assert (path, severity) == ("with.form[0].default", "warning") and sentence in message


@pytest.mark.parametrize(
    "field",
    [
        {"type": "number", "default": "= x"},
        {"type": "select", "options": ["{{ x }}"], "default": "c"},
        {"type": "select", "options": [{"value": "= x", "label": "It"}], "default": "c"},
        {"type": "number", "min": "= x", "default": 1},
        {"type": "user", "default": "ann@example.org"},
        {"type": "number", "default": 5},
        {"type": "text", "required": True, "default": ""},
    ],
    ids=str,
)
def test_a_default_of_which_nothing_is_sure_is_let_be(team: Team, field: dict[str, Any]) -> None:
    assert told(team, "human_task", {"title": "Call", "form": [{"name": "it", **field}]}) == []
