"""What becomes of a block when something inside it fails, and of a loop that would never end."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.models import PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run

Step = dict[str, Any]


def rest(key: str, delay: str, **more: Any) -> Step:
    return {"key": key, "type": "wait", "delay": delay, **more}


def begun(team: Team, run_at: Run, block: Step, **more: Any) -> PipelineRun:
    active(team, [block], **more)
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    return PipelineRun.objects.get(parent=None)


def states(run: PipelineRun) -> tuple[str, list[str]]:
    """The state of the run, and those of the runs inside it by their slots."""
    run.refresh_from_db()
    inside = PipelineRun.objects.filter(parent=run).order_by("slot").values_list("status", flat=True)
    return RunStatus(run.status).name.lower(), [RunStatus(status).name.lower() for status in inside]


def said(run: PipelineRun) -> str:
    return str(StepExecution.objects.filter(run_id=run.pk).exclude(error=None).get().error)


@pytest.mark.parametrize(
    ("rule", "optional", "after_one", "after_two"),
    [
        ("fail", False, ("failed", ["failed", "cancelled"]), ("failed", ["failed", "cancelled"])),
        ("fail", True, ("waiting", ["failed", "pending"]), ("completed", ["failed", "completed"])),
        ("wait", False, ("waiting", ["failed", "pending"]), ("failed", ["failed", "completed"])),
        ("ignore", False, ("waiting", ["failed", "pending"]), ("completed", ["failed", "completed"])),
    ],
    ids=["fail", "fail, but optional", "wait", "ignore"],
)
def test_a_branch_that_fails_ends_its_block_as_the_rule_says(
    team: Team, run_at: Run, rule: str, optional: bool, after_one: Any, after_two: Any
) -> None:
    bad = {"name": "bad", "steps": [rest("a", "1h", next="fail")], **({"optional": True} if optional else {})}
    branches = [bad, {"name": "good", "steps": [rest("b", "2h")]}]
    run = begun(team, run_at, {"key": "fork", "type": "parallel", "with": {
        "branches": branches, "on_branch_error": rule,
    }})  # fmt: skip
    run_at(later(hours=1))
    assert states(run) == after_one
    run_at(later(hours=2))
    assert states(run) == after_two
    if after_two[0] == "failed":
        assert said(run) == "The branch bad failed at a."


@pytest.mark.parametrize("last", ["good", "bad"])
@pytest.mark.parametrize("join", ["any", 1, {"when": "completed == 1"}], ids=str)
def test_a_join_of_some_is_met_whoever_ends_last(team: Team, run_at: Run, join: Any, last: str) -> None:
    hours = {"good": "1h", "bad": "1h"} | {last: "2h"}
    bad, good = rest("bad", hours["bad"], next="fail"), rest("good", hours["good"])
    branches = [{"name": "bad", "steps": [bad]}, {"name": "good", "steps": [good]}]
    rules = {"join": join, "on_branch_error": "wait"}
    run = begun(team, run_at, {"key": "fork", "type": "parallel", "with": {"branches": branches, **rules}})
    run_at(later(hours=1))
    run_at(later(hours=2))
    assert states(run) == ("completed", ["cancelled" if last == "bad" else "failed", "completed"])


@pytest.mark.parametrize(
    ("rules", "status", "rounds"),
    [
        ({}, "failed", ["failed"]),
        ({"tolerate": 1}, "failed", ["failed", "failed"]),
        ({"tolerate": 2}, "completed", ["failed", "failed", "completed", "completed"]),
        ({"tolerate": "25%"}, "failed", ["failed", "failed"]),
        ({"tolerate": "50%"}, "completed", ["failed", "failed", "completed", "completed"]),
        ({"on_branch_error": "wait"}, "failed", ["failed", "failed", "completed", "completed"]),
        ({"on_branch_error": "ignore"}, "completed", ["failed", "failed", "completed", "completed"]),
    ],
    ids=str,
)
def test_a_loop_bears_as_many_failed_rounds_as_it_tolerates(
    team: Team, run_at: Run, rules: dict[str, Any], status: str, rounds: list[str]
) -> None:
    first_two = {"key": "odd", "type": "condition", "if": "index < 2", "on": {"true": "fail", "false": "end"}}
    run = begun(team, run_at, {"key": "rounds", "type": "loop", "with": {"times": 4, "steps": [first_two], **rules}})
    assert states(run) == (status, rounds)
    if status == "failed":
        assert "failed" in said(run)


@pytest.mark.parametrize(
    ("bound", "sentence"),
    [
        ({"over": "= things"}, "The loop would run 5 times; at most 3 are allowed."),
        ({"times": "= len(things)"}, "The loop would run 5 times; at most 3 are allowed."),
        ({"until": "len(things) == 0"}, "The loop did not end within 3 rounds."),
        ({"over": "= 7"}, "`over` is not a list."),
    ],
    ids=["a list", "a number", "a condition", "no list"],
)
def test_a_loop_beyond_its_bound_fails_with_a_sentence(
    team: Team, run_at: Run, bound: dict[str, Any], sentence: str
) -> None:
    things = [{"name": "things", "type": "list", "default": [1, 2, 3, 4, 5]}]
    loop = {"key": "rounds", "type": "loop", "with": {"max": 3, "steps": [rest("turn", "0s")], **bound}}
    run = begun(team, run_at, loop, variables=things)
    assert states(run)[0] == "failed" and said(run) == sentence


def loop_that(**bound: Any) -> Step:
    body = [{"key": "count", "type": "set_variable", "with": {"seen": "= seen + 1"}}]
    return {"key": "again", "type": "loop", "with": {"steps": body, **bound}}


@pytest.mark.parametrize(
    ("block", "what"),
    [
        (loop_that(**{"while": "limit + 1 > seen"}), "while"),
        (loop_that(until="limit + 1 > seen"), "until"),
        (
            {"key": "fork", "type": "parallel", "with": {"branches": [
                {"name": "maybe", "if": "limit + 1 > 0", "steps": [rest("a", "1h")]},
                {"name": "surely", "steps": [rest("b", "1h")]},
            ]}},
            "maybe.if",
        ),
        (
            {"key": "fork", "type": "parallel", "with": {"join": {"when": "limit + completed > 0"}, "branches": [
                {"name": "one", "steps": [rest("a", "1h")]}, {"name": "two", "steps": [rest("b", "2h")]},
            ]}},
            "join",
        ),
    ],
    ids=["while", "until", "if of a branch", "when of a join"],
)  # fmt: skip
def test_a_condition_of_a_block_that_cannot_be_told_is_an_error_not_a_no(
    team: Team, run_at: Run, block: Step, what: str
) -> None:
    variables = [{"name": "limit", "type": "number"}, {"name": "seen", "type": "number", "default": 0}]
    run = begun(team, run_at, block, variables=variables)
    assert states(run)[0] == "failed"
    assert said(run).startswith(f"{what}: expected a number, got nothing")


@pytest.mark.parametrize("edge", [{"timeout": "after"}, {"error": "after"}], ids=["timeout", "error"])
def test_what_branches_left_before_the_time_of_their_block_is_kept(
    team: Team, run_at: Run, edge: dict[str, str]
) -> None:
    scored = {"key": "score", "type": "set_variable", "with": {"points": 42}}
    ended = {name: f"= steps.fork.branches.{name}.status" for name in ("quick", "slow")}
    fork = {"key": "fork", "type": "parallel", "timeout": "2h", "on": edge, "with": {
        "export": ["points"],
        "branches": [{"name": "quick", "steps": [scored]}, {"name": "slow", "steps": [rest("long", "5h")]}],
    }}  # fmt: skip
    active(
        team, [fork, {"key": "after", "type": "set_variable", "with": {"told": {**ended, "points": "= points"}}}],
        variables=[{"name": "points", "type": "number", "default": 0}, {"name": "told", "type": "object"}],
    )  # fmt: skip
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    run_at(later(hours=2))
    run = PipelineRun.objects.get(parent=None)
    assert run.context.vars["told"] == {"points": 42, "quick": "completed", "slow": "pending"}


def test_what_rounds_left_before_the_time_of_their_loop_is_kept(team: Team, run_at: Run) -> None:
    rounds = {"key": "rounds", "type": "loop", "timeout": "150m", "on": {"timeout": "after"}, "with": {
        "over": "= ['a', 'b', 'c', 'd']", "as": "letter",
        "steps": [rest("pause", "1h"), {"key": "keep", "type": "set_variable", "with": {"last": "= letter"}}],
    }}  # fmt: skip
    after = {"key": "after", "type": "set_variable", "with": {"told": "= [steps.rounds.total, steps.rounds.completed]"}}
    active(
        team, [rounds, after],
        variables=[{"name": "last", "type": "string"}, {"name": "told", "type": "list"}],
    )  # fmt: skip
    Contact.objects.create(team=team, first_name="Ann")
    for hours in (0, 1, 2, 2.5):
        run_at(later(hours=hours))
    assert PipelineRun.objects.get(parent=None).context.vars["told"] == [4, 2]
