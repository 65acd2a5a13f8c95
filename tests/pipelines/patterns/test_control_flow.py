"""The control-flow patterns that a definition says directly, numbered as in the literature."""

from typing import Any

import pytest

from pipelines.engine.clock import pretend
from tests.pipelines.engine.building import later
from tests.pipelines.patterns.conftest import Story, add, branch, fork, loop, rest

BOSS = {"if": {"field": "contact.job_title", "operator": "equals", "value": "Boss"}}
ANN = {"if": {"field": "contact.first_name", "operator": "equals", "value": "Ann"}}


def happens(story: Story, event: str) -> None:
    with pretend(later(hours=story.hours)):
        answer = story.api.post("events/", {"type": event, "email": "ann@example.org"})
    assert answer.status_code == 202, answer.content


def test_01_sequence(story: Story) -> None:
    story.begins(add("a", "a"), add("b", "b"), variables={"trace": ""})
    assert (story.status, story.variables["trace"]) == ("completed", "ab")


def test_02_parallel_split_and_03_synchronization(story: Story) -> None:
    story.begins(
        fork(branch("a", rest("wa", "1h")), branch("b", rest("wb", "2h"))), add("after", "x"), variables={"trace": ""}
    )
    assert story.inside() == ["pending", "pending"]
    assert story.passes(1).status == "waiting"
    assert story.passes(1).status == "completed"
    assert story.path == [("fork", "next"), ("after", "next")]


def test_04_exclusive_choice_and_05_simple_merge(story: Story) -> None:
    story.begins(
        {"key": "who", "type": "condition", **ANN, "on": {"true": "yes", "false": "no"}},
        add("yes", "y", next="both"),
        add("no", "n"),
        add("both", "b"),
        variables={"trace": ""},
    )
    assert story.variables["trace"] == "yb"


def test_06_multi_choice_and_07_structured_synchronizing_merge(story: Story) -> None:
    story.begins(
        fork(branch("ann", rest("wa"), **ANN), branch("boss", rest("wb"), **BOSS), branch("all", rest("wc", "2h"))),
        {"key": "seen", "type": "set_variable", "with": {"seen": "= steps.fork.branches.boss.status"}},
        variables={"seen": ""},
    )
    story.passes(2)
    assert (story.status, story.variables["seen"]) == ("completed", "skipped")


def test_09_structured_discriminator(story: Story) -> None:
    story.begins(
        fork(branch("fast", rest("wa", "1h")), branch("slow", rest("wb", "3h")), join="any", cancel_rest=False),
        rest("later", "1h"),
    )
    assert story.passes(1).path == [("fork", "next")]
    assert story.passes(1).status == "completed"
    assert story.inside() == ["completed", "pending"]
    assert story.passes(1).inside() == ["completed", "completed"]


def test_10_arbitrary_cycles(story: Story) -> None:
    story.begins(
        add("a", "a"),
        {"key": "enough", "type": "condition", "if": "len(trace) >= 3", "on": {"true": "end", "false": "a"}},
        variables={"trace": ""},
    )
    assert (story.status, story.variables["trace"]) == ("completed", "aaa")


def test_11_implicit_termination(story: Story) -> None:
    story.begins(fork(branch("a", rest("wa"), rest("wb"))))
    assert story.passes(1).status == "waiting"
    assert story.passes(1).status == "completed"


def test_13_multiple_instances_with_a_number_known_at_design_time(story: Story) -> None:
    story.begins(loop(rest("turn"), times=3, concurrency=3))
    assert story.inside() == ["pending"] * 3
    assert story.passes(1).status == "completed"


def test_14_multiple_instances_with_a_number_known_at_run_time(story: Story) -> None:
    story.begins(
        loop(add("take", "x"), over="= things", concurrency=2),
        {"key": "count", "type": "set_variable", "with": {"rounds": "= steps.loop.total"}},
        variables={"trace": "", "things": ["p", "q", "r", "s"], "rounds": 0},
    )
    assert story.variables["rounds"] == 4 and story.inside() == ["completed"] * 4


@pytest.mark.parametrize(("rule", "rounds"), [("while", 2), ("until", 2)])
def test_15_multiple_instances_with_a_number_nobody_knows_before(story: Story, rule: str, rounds: int) -> None:
    condition: dict[str, Any] = {rule: {"while": "len(trace) < 2", "until": "len(trace) >= 2"}[rule]}
    story.begins(loop(add("take", "x"), **condition, export=["trace"]), variables={"trace": ""})
    assert (story.status, story.variables["trace"], len(story.inside())) == ("completed", "xx", rounds)


@pytest.mark.parametrize(("event", "way"), [("bought", "b"), ("left", "l")])
def test_16_deferred_choice(story: Story, event: str, way: str) -> None:
    events = [{"name": "bought", "event": "bought"}, {"name": "left", "event": "left"}]
    story.begins(
        {"key": "hold", "type": "wait_for", "with": {"events": events}, "on": {"bought": "b", "left": "l"}},
        add("b", "b", next="end"),
        add("l", "l"),
        variables={"trace": ""},
    )
    assert story.passes(1).status == "waiting"
    happens(story, event)
    assert story.passes(1).variables["trace"] == way


def test_17_interleaved_parallel_routing_and_40_interleaved_routing(story: Story) -> None:
    story.begins(
        fork(
            branch("a", rest("wa")),
            branch("b", rest("wb")),
            branch("c", rest("wc"), after=["a"]),
            concurrency=1,
        )
    )
    assert story.inside() == ["pending"]
    assert story.passes(1).inside() == ["completed", "pending"]
    assert story.passes(1).inside() == ["completed", "completed", "pending"]
    assert story.passes(1).status == "completed"


def test_18_milestone(story: Story) -> None:
    story.begins(
        fork(
            branch("order", {"key": "paid", "type": "wait_for", "with": {"condition": "contact.job_title == 'Boss'"}}),
            branch("gift", rest("wb", "1h"), add("send", "g", **BOSS)),
            export=["trace"],
        ),
        variables={"trace": ""},
    )
    story.passes(1)
    assert story.status == "waiting" and "trace" not in story.variables


def test_19_cancel_task_and_25_cancel_region(story: Story) -> None:
    story.begins(
        fork(branch("a", rest("wa", "9h")), step={"timeout": "2h", "on": {"timeout": "late"}, "next": "end"}),
        add("late", "l"),
        variables={"trace": ""},
    )
    story.passes(2)
    assert (story.variables["trace"], story.inside()) == ("l", ["cancelled"])


def test_20_cancel_case(story: Story) -> None:
    story.begins(fork(branch("a", rest("wa", "9h"))))
    assert story.api.post(f"pipeline-runs/{story.run}/cancel/").status_code == 200
    assert (story.passes(9).status, story.inside()) == ("cancelled", ["cancelled"])


def test_21_structured_loop(story: Story) -> None:
    story.begins(loop(add("a", "a"), add("b", "b"), times=2, export=["trace"]), variables={"trace": ""})
    assert story.variables["trace"] == "abab"


def test_22_recursion(story: Story) -> None:
    call = {"key": "again", "type": "call", "with": {"pipeline": "countdown", "set": {"n": "= n - 1"}}}
    story.passes(0)
    story.defines(
        "countdown",
        {"key": "zero", "type": "condition", "if": "n <= 0", "on": {"true": "end", "false": "again"}},
        call,
        variables={"n": 0},
        triggers=[{"type": "manual"}],
    )
    story.begins({"key": "go", "type": "call", "with": {"pipeline": "countdown", "set": {"n": 3}}})
    assert (story.status, len(story.inside())) == ("completed", 4)


@pytest.mark.parametrize(("since", "status"), [("now", "waiting"), ("run", "completed")])
def test_23_transient_trigger_and_24_persistent_trigger(story: Story, since: str, status: str) -> None:
    hold = {"key": "hold", "type": "wait_for", "with": {"events": [{"event": "opened", "since": since}]}}
    story.begins(rest("first", "2h"), hold)
    story.passes(1)
    happens(story, "opened")
    assert story.passes(1).status == status


def test_26_cancel_multiple_instances(story: Story) -> None:
    turn = {"key": "turn", "type": "wait", "delay": "9h"}
    story.begins(loop(turn, times=3, concurrency=3, step={"timeout": "2h", "on": {"timeout": "end"}}))
    assert story.passes(1).inside() == ["pending"] * 3
    assert (story.passes(1).status, story.inside()) == ("completed", ["cancelled"] * 3)


def third_is_late() -> list[dict[str, Any]]:
    """An hour for everybody, and five more in the third round."""
    which = {"key": "which", "type": "condition", "if": "index == 2", "on": {"true": "late", "false": "end"}}
    return [rest("turn"), which, rest("late", "5h")]


def test_27_complete_multiple_instances(story: Story) -> None:
    rounds = loop(*third_is_late(), over="= [1, 2, 3]", concurrency=3, join={"when": "completed >= 2"})
    story.begins(rounds, add("on", "x"), variables={"trace": ""})
    assert story.passes(1).variables["trace"] == "x"
    assert (story.status, story.inside()) == ("completed", ["completed", "completed", "cancelled"])


def test_30_structured_partial_join_and_32_cancelling_partial_join(story: Story) -> None:
    story.begins(fork(*(branch(name, rest(f"w{name}", f"{n}h")) for n, name in enumerate("abc", 1)), join=2))
    assert story.passes(1).status == "waiting"
    assert (story.passes(1).status, story.inside()) == ("completed", ["completed", "completed", "cancelled"])


def test_29_cancelling_discriminator(story: Story) -> None:
    story.begins(fork(branch("a", rest("wa", "1h")), branch("b", rest("wb", "2h")), join="any"))
    assert (story.passes(1).status, story.inside()) == ("completed", ["completed", "cancelled"])


@pytest.mark.parametrize(("cancel", "third"), [(False, "completed"), (True, "cancelled")])
def test_34_static_and_35_cancelling_partial_join_for_multiple_instances(
    story: Story, cancel: bool, third: str
) -> None:
    story.begins(loop(*third_is_late(), times=3, concurrency=3, join=2, cancel_rest=cancel))
    assert story.passes(1).status == "completed"
    assert story.inside() == ["completed", "completed", "cancelled" if cancel else "pending"]
    assert story.passes(6).inside() == ["completed", "completed", third]


def test_36_dynamic_partial_join_for_multiple_instances(story: Story) -> None:
    story.begins(
        loop(add("take", "x"), rest("pause"), times=5, join={"when": "len(trace) >= 3"}, export=["trace"]),
        variables={"trace": ""},
    )
    story.passes(5)
    assert (story.status, story.variables["trace"]) == ("completed", "xxx")


def test_37_acyclic_synchronizing_merge(story: Story) -> None:
    story.begins(
        fork(
            branch("a", rest("wa", "1h")),
            branch("b", rest("wb", "2h"), **BOSS),
            branch("c", rest("wc", "1h"), after=["a", "b"]),
            branch("d", rest("wd", "1h"), after=["b"]),
        ),
        {"key": "seen", "type": "set_variable", "with": {"seen": "= steps.fork.branches.d.status"}},
        variables={"seen": ""},
    )
    assert story.passes(1).status == "waiting"
    assert (story.passes(1).status, story.variables["seen"]) == ("completed", "skipped")


def test_43_explicit_termination(story: Story) -> None:
    stop = {"key": "stop", "type": "end", "delay": "1h", "with": {"terminate": True, "reason": "won"}}
    story.begins(fork(branch("a", stop), branch("b", rest("wb", "9h"))), rest("never"))
    assert (story.passes(1).status, sorted(story.inside())) == ("completed", ["cancelled", "completed"])


def test_12_detached_calls_go_on_alone(story: Story) -> None:
    story.passes(0)
    story.defines("aside", rest("pause", "5h"), triggers=[{"type": "manual"}])
    story.begins({"key": "go", "type": "call", "with": {"pipeline": "aside", "wait": False}}, add("on", "x"),
                 variables={"trace": ""})  # fmt: skip
    assert (story.status, story.variables["trace"]) == ("completed", "x")
    (aside,) = story.api.get("pipeline-runs/", pipeline="aside").json()["results"]
    assert aside["status"] == "pending"
