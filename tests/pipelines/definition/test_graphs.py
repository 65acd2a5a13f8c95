"""Nodes and edges: what they mean does not change when they become lists and blocks."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.definition.blocks import Parallel
from pipelines.definition.document import canonical, check
from pipelines.definition.graph import Graph, graph_of
from pipelines.definition.layout import every_place
from pipelines.definition.program import Program, Step, compile_program
from pipelines.definition.structuring import structured
from tests.examples import examples

OUTCOMES = {"wait": ["next"], "condition": ["true", "false"], "switch": ["a", "b", "default"]}
Started = dict[str, list[int]]


def example(name: str) -> Any:
    return json.loads(Path(__file__).with_name("examples").joinpath(f"{name}.json").read_text())


def node(key: str, kind: str = "wait", **more: Any) -> dict[str, Any]:
    if kind == "condition":
        more["if"] = True
    if kind == "switch":
        more["with"] = {"cases": [{"name": name, "if": "true"} for name in ("a", "b")]}
    return {"key": key, "type": kind, **more}


def edge(source: str, target: str, on: str | None = None) -> dict[str, str]:
    return {"from": source, "to": target} | ({"on": on} if on else {})


def document(steps: list[dict[str, Any]], edges: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    return {"format": "crm.pipeline/1", "key": "k", "name": "N", **more, "steps": steps, "edges": edges}


def line(*pairs: str) -> list[dict[str, str]]:
    """Edges written as "a>b" or "a>b:outcome"."""
    found = []
    for pair in pairs:
        way, _, outcome = pair.partition(":")
        source, _, target = way.partition(">")
        found.append(edge(source, target, outcome or None))
    return found


def program_of(given: dict[str, Any], kinds: Any) -> Program:
    made = structured(given, kinds=kinds)
    ids = {place.key: number for number, place in enumerate(every_place(made), start=1)}
    return Program.load(compile_program(made, step_ids=ids))


def drawn(rng: random.Random, stem: str = "n") -> dict[str, Any]:
    """A random graph without circles: forks, joins, labels and crossing edges."""
    size = rng.randint(2, 9)
    keys = [f"{stem}{number}" for number in range(size)]
    steps = [node(key, rng.choice(["wait", "wait", "condition", "switch"]), delay=rng.randint(0, 20)) for key in keys]
    edges = set()
    for _ in range(rng.randint(size - 1, 2 * size)):
        source, target = sorted(rng.sample(range(size), 2))
        label = rng.choice(["next", *OUTCOMES[steps[source]["type"]]])
        edges.add((keys[source], keys[target], None if label == "next" else label))
    found = sorted(edges, key=str)
    rng.shuffle(found)
    return document(steps, [edge(*each) for each in found])


def interpreted(graph: Graph, outcomes: Mapping[str, str]) -> Started:
    """The rule of the settled predecessor, read straight from the edges."""
    settled: dict[str, int] = {}
    completed: dict[str, bool] = {}
    started: Started = {}
    before = {key: [each for each in graph.steps if key in graph.targets(each)] for key in graph.steps}

    def is_live(key: str, source: str) -> bool:
        ways = graph.ways[source]
        return completed[source] and key in ways.get(outcomes[source], ways.get("next", ()))

    waiting = [key for key in graph.steps if key in graph.reached()]
    while waiting:
        key = next(each for each in waiting if all(source in settled for source in before[each]))
        waiting.remove(key)
        arrived = max((settled[source] for source in before[key]), default=0)
        completed[key] = key in graph.starts or any(is_live(key, source) for source in before[key])
        settled[key] = arrived
        if completed[key]:
            settled[key] += graph.steps[key].get("delay", 0)
            started.setdefault(key, []).append(settled[key])
    return started


def executed(program: Program, outcomes: Mapping[str, str]) -> Started:
    """The compiled lists and blocks, walked as the engine does."""
    started: Started = {}

    def run(scope: str, moment: int) -> tuple[int, str]:
        step: Step | str = program.scopes[scope][0]
        outcome = ""
        while isinstance(step, Step):
            moment += int(step.delay.seconds or 0)
            if isinstance(step.block, Parallel):
                moment, outcome = side_by_side(step.block, moment), "next"
            else:
                started.setdefault(step.key, []).append(moment)
                outcome = outcomes[step.key]
            step = program.target(step, outcome)
        assert step == "end"
        return moment, outcome

    def side_by_side(block: Parallel, moment: int) -> int:
        assert block.join == "all"
        ended: dict[str, tuple[int, str | None]] = {}
        waiting = list(block.branches)
        while waiting:
            branch = next(each for each in waiting if all(name in ended for name, _ in each.after))
            waiting.remove(branch)
            begins = max([moment, *(ended[name][0] for name, _ in branch.after)])
            alive = not branch.after or any(
                ended[name][1] is not None and wanted in (None, ended[name][1]) for name, wanted in branch.after
            )
            ended[branch.name] = run(branch.scope, begins) if alive else (begins, None)
        return max(when for when, _ in ended.values())

    run("", 0)
    return started


@pytest.mark.parametrize("seed", range(12))
def test_blocks_start_every_node_once_and_exactly_when_its_last_predecessor_is_settled(seed: int, kinds: Any) -> None:
    rng = random.Random(seed)
    for number in range(examples(100)):
        given = drawn(rng)
        graph = graph_of(given, kinds=kinds)
        outcomes = {key: rng.choice(OUTCOMES[step["type"]]) for key, step in graph.steps.items()}

        expected = interpreted(graph, outcomes)

        assert executed(program_of(given, kinds), outcomes) == expected, (seed, number, given, outcomes)
        assert all(len(times) == 1 for times in expected.values())


def shown(given: dict[str, Any], kinds: Any) -> Any:
    """The lists and blocks of a document, as keys; a branch with what it waits for in front."""

    def told(steps: list[dict[str, Any]]) -> list[Any]:
        return [
            {
                step["key"]: {
                    " ".join([branch["name"], *branch.get("after", [])]): told(branch["steps"])
                    for branch in step["with"]["branches"]
                }
            }
            if step["type"] == "parallel"
            else step["key"]
            for step in steps
        ]

    return told(canonical(structured(given, kinds=kinds))["steps"])


def nodes(*keys: str) -> list[dict[str, Any]]:
    """Steps from their keys; "?" behind a key makes it a condition."""
    return [node(key.rstrip("?"), "condition" if key.endswith("?") else "wait") for key in keys]


SHAPES: list[tuple[str, dict[str, Any], Any]] = [
    ("a line", document(nodes("b", "a", "c"), line("a>b", "b>c")), ["a", "b", "c"]),
    (
        "a choice",
        document(nodes("a?", "b", "c", "d"), line("a>b:true", "a>c:false", "b>d", "c>d")),
        ["a", "b", "c", "d"],
    ),
    ("a circle without a fork", document(nodes("a", "b?"), line("a>b", "b>a:false")), ["a", "b"]),
    (
        "a diamond",
        document(nodes("a", "b", "c", "d"), line("a>b", "a>c", "b>d", "c>d")),
        ["a", {"fork_a": {"b": ["b"], "c": ["c"]}}, "d"],
    ),
    (
        "chains",
        document(nodes("a", "b", "b2", "c"), line("a>b", "b>b2", "a>c")),
        ["a", {"fork_a": {"b": ["b", "b2"], "c": ["c"]}}],
    ),
    (
        "a crossing edge",
        document(nodes("a", "b", "c", "d", "e"), line("a>b", "a>c", "b>d", "c>d", "c>e")),
        ["a", {"fork_a": {"b": ["b"], "c": ["c"], "d b c": ["d"], "e c": ["e"]}}],
    ),
    (
        "labels inside a fork",
        document(nodes("a", "b?", "c", "d"), line("a>b", "a>c", "b>d:true", "c>d")),
        ["a", {"fork_a": {"b": ["b"], "c": ["c"], "d b:true c": ["d"]}}],
    ),
    (
        "a fork inside a fork",
        document(nodes("a", "b", "x", "y", "z", "c"), line("a>b", "a>c", "b>x", "b>y", "x>z", "y>z")),
        ["a", {"fork_a": {"b": ["b", {"fork_b": {"x": ["x"], "y": ["y"]}}, "z"], "c": ["c"]}}],
    ),
    (
        "a step that is waited for by its own fork",
        document(nodes("a", "b", "c"), line("a>b", "a>c", "b>c")),
        ["a", {"fork_a": {"b": ["b"]}}, "c"],
    ),
    ("two starts", document(nodes("a", "b", "c"), line("a>c", "b>c")), [{"fork_start": {"a": ["a"], "b": ["b"]}}, "c"]),
    (
        "forks at two outcomes",
        document(nodes("a?", "b", "c", "d", "e"), line("a>b:true", "a>c:true", "a>d:false", "a>e:false")),
        ["a", {"fork_a_true": {"b": ["b"], "c": ["c"]}}, {"fork_a_false": {"d": ["d"], "e": ["e"]}}],
    ),
    (
        "a key that is taken",
        document(nodes("a", "fork_a", "c"), line("a>fork_a", "a>c")),
        ["a", {"fork_a_2": {"fork_a": ["fork_a"], "c": ["c"]}}],
    ),
]


@pytest.mark.parametrize(("given", "expected"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
def test_edges_become_lists_and_blocks(given: dict[str, Any], expected: Any, kinds: Any) -> None:
    assert shown(given, kinds) == expected
    assert [each for each in check(given, kinds=kinds) if each.severity == "error"] == []


def test_the_example_with_edges_alerts_and_orders_at_the_same_time(kinds: Any) -> None:
    given = example("inventory_reorder")

    assert check(given, kinds=kinds) == []
    assert shown(given, kinds) == ["stock", "low", {"fork_low": {"alert": ["alert"], "orders": ["orders"]}}, "report"]
    assert canonical(given)["edges"] == given["edges"]


def test_variables_set_behind_a_fork_are_known_after_it(kinds: Any) -> None:
    write = {"key": "b", "type": "set_variable", "with": {"values": {"v": 1}}}
    given = document([*nodes("a"), write, *nodes("c", "d")], line("a>b", "a>c", "b>d", "c>d"))

    block = program_of(given, kinds).by_key["fork_a"].block

    assert isinstance(block, Parallel) and block.export == ("v",)


def test_forks_too_deep_in_each_other_become_one_block(kinds: Any) -> None:
    keys = [f"n{number}" for number in range(12)]
    side = [f"s{number}" for number in range(11)]
    edges = [edge(keys[n], target) for n in range(11) for target in (keys[n + 1], side[n])]
    given = document(nodes(*keys, *side), edges)

    program = program_of(given, kinds)

    assert max(place.at.count("with") for place in every_place(structured(given, kinds=kinds))) <= 8
    outcomes = dict.fromkeys([*keys, *side], "next")
    assert executed(program, outcomes) == interpreted(graph_of(given, kinds=kinds), outcomes)


V = [{"name": "v", "type": "any", "default": 0}]


def setter(key: str) -> dict[str, Any]:
    return {"key": key, "type": "set_variable", "with": {"values": {"v": 1}}}


INNER = {"key": "p", "type": "parallel", "with": {"branches": [{"name": "x", "steps": nodes("inner")}]}}
PROBLEMS: list[tuple[str, dict[str, Any], str, str]] = [
    ("unknown target", document(nodes("first", "b"), line("first>frist")), "edges[0].to", "did you mean 'first'"),
    ("unknown source", document(nodes("a", "b"), line("a>b", "x>b")), "edges[1].from", "there is no step 'x'"),
    ("target in a block", document([*nodes("a"), INNER], line("a>p", "a>inner")), "edges[1].to", "inside a block"),
    ("next as a target", document(nodes("a", "b"), line("a>next")), "edges[0].to", "name the step"),
    ("unknown outcome", document(nodes("a", "b"), line("a>b:won")), "edges[0].on", "'a' never ends with 'won'"),
    ("the same edge twice", document(nodes("a", "b"), line("a>b", "a>b")), "edges[1]", "already such an edge"),
    ("order said twice", document([node("a", next="b"), *nodes("b")], line("a>b")), "steps[0].next", "take 'next' out"),
    ("a circle at a fork", document(nodes("a", "b", "c"), line("a>b", "a>c", "b>a")), "edges[2]", "use a loop"),
    (
        "a circle behind a fork",
        document(nodes("a", "b", "c", "d"), line("a>b", "a>c", "b>d", "d>b")),
        "edges[3]",
        "use a loop",
    ),
    (
        "a circle around a fork",
        document(nodes("a", "b", "c", "d"), line("a>b", "a>c", "b>d", "c>d", "d>a")),
        "edges[4]",
        "use a loop",
    ),
    (
        "a step that leads to itself",
        document(nodes("a", "b", "c"), line("a>b", "a>c", "b>b")),
        "edges[2]",
        "use a loop",
    ),
    (
        "a race",
        document([*nodes("a"), setter("b"), setter("c")], line("a>b", "a>c"), variables=V),
        "steps[2]",
        "'b' and 'c' may run at the same time and both set 'v'",
    ),
    (
        "timeout that leads nowhere",
        document([{"key": "a", "type": "human_task", "timeout": 5, "with": {"title": "x"}}, *nodes("b")], line("a>b")),
        "steps[0].on",
        "where 'timeout' leads",
    ),
]


@pytest.mark.parametrize(("given", "path", "sentence"), [row[1:] for row in PROBLEMS], ids=[row[0] for row in PROBLEMS])
def test_a_problem_of_edges_is_told_with_its_place(given: Any, path: str, sentence: str, kinds: Any) -> None:
    found = check(given, kinds=kinds)

    assert any(each.path == path and sentence in each.message and each.severity == "error" for each in found), found


@pytest.mark.parametrize(
    ("given", "path", "sentence"),
    [
        (document(nodes("a", "b", "c"), line("a>b")), "steps[2]", "no step leads to 'c'"),
        (document(nodes("a", "b", "c", "d"), line("a>b", "c>d", "d>c")), "steps[2]", "no step leads to 'c'"),
        (
            document([{**node("a"), "message": "{{ steps.b.x }}"}, *nodes("b")], line("a>b")),
            "steps[0].message",
            "'b' has not run yet",
        ),
    ],
    ids=["without an edge", "a circle apart", "output from the future"],
)
def test_what_is_doubtful_about_edges_is_a_warning(given: Any, path: str, sentence: str, kinds: Any) -> None:
    found = check(given, kinds=kinds)

    assert (found[0].path, found[0].severity) == (path, "warning")
    assert sentence in found[0].message


def test_an_output_is_known_wherever_edges_lead_from_it(kinds: Any) -> None:
    reader = {**node("d"), "message": "{{ steps.b.x }}"}
    given = document([*nodes("a", "b", "c"), reader, *nodes("e")], line("a>b", "a>c", "b>d", "c>d", "c>e"))

    assert check(given, kinds=kinds) == []
