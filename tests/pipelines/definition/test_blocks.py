"""Branches, loops and the lists of steps inside them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.definition.blocks import Branch, Loop, Parallel, Tolerance
from pipelines.definition.document import canonical, check
from pipelines.definition.layout import every_place, places
from pipelines.definition.program import Program, Step, compile_program


def example(name: str) -> Any:
    return json.loads(Path(__file__).with_name("examples").joinpath(f"{name}.json").read_text())


def document(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return (
        {"format": "crm.pipeline/1", "key": "k", "name": "N", "subject": "contacts.contact"}
        | more
        | {"steps": list(steps)}
    )


def branch(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, **more, "steps": list(steps) or [{"type": "wait"}]}


def parallel(*branches: dict[str, Any], key: str = "fork", **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "parallel", "with": {"branches": list(branches), **more}}


def loop(*steps: dict[str, Any], key: str = "round", **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "loop", "with": {"steps": list(steps) or [{"type": "wait"}], **more}}


def wait(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "wait", **more}


def mail(key: str, to: str) -> dict[str, Any]:
    return {"key": key, "type": "send_email", "with": {"template": "hello", "to": to}}


def compiled(given: dict[str, Any]) -> Program:
    ids = {place.key: number for number, place in enumerate(every_place(given), start=1)}
    return Program.load(json.loads(json.dumps(compile_program(given, step_ids=ids))))


def test_every_step_has_a_place_with_the_path_to_it() -> None:
    found = every_place(example("everything"))

    assert [(place.key, place.at, place.parent, place.branch) for place in found if place.parent] == [
        ("mail", ("steps", 1, "with", "branches", 0, "steps", 0), "outreach", "email"),
        ("opened", ("steps", 1, "with", "branches", 0, "steps", 1), "outreach", "email"),
        ("remind", ("steps", 1, "with", "branches", 0, "steps", 2), "outreach", "email"),
        ("text", ("steps", 1, "with", "branches", 1, "steps", 0), "outreach", "sms"),
        ("tell_owner", ("steps", 1, "with", "branches", 2, "steps", 0), "outreach", "owner"),
        ("bump", ("steps", 2, "with", "steps", 0), "probe", ""),
    ]
    assert [place.key for place in places(example("everything"))] == [
        place.key for place in found if place.parent is None
    ]


def test_steps_inside_a_block_are_numbered_and_named_by_their_list() -> None:
    given = document(
        {"type": "wait"},
        parallel(branch("left", {"type": "wait"}, {"type": "wait"}), branch("right", {"type": "wait", "number": 5})),
        loop({"type": "wait"}, times=2),
    )

    assert [(place.key, place.number) for place in every_place(given)] == [
        ("step_1", 1),
        ("fork", 2),
        ("fork_left_1", 1),
        ("fork_left_2", 2),
        ("fork_right_5", 5),
        ("round", 3),
        ("round_1", 1),
    ]


def test_the_canonical_form_reaches_into_blocks() -> None:
    wordy = document(
        parallel(
            branch("a", {"type": "wait", "delay": "1h", "number": 1, "next": "b"}, wait("b"), after=[], optional=False),
            branch("c", wait("d", next="end", timeout="1m"), **{"if": True}),
            join="all",
            cancel_rest=True,
            on_branch_error="fail",
            export=[],
        ),
        loop(wait("x", delay=0), times=3, concurrency=1, max=1000, tolerate=0),
    )

    assert canonical(wordy)["steps"] == [
        {
            "key": "fork",
            "type": "parallel",
            "with": {
                "branches": [
                    {"name": "a", "steps": [{"type": "wait", "delay": 3_600}, {"key": "b", "type": "wait"}]},
                    {"name": "c", "steps": [{"key": "d", "type": "wait", "timeout": 60}]},
                ]
            },
        },
        {"key": "round", "type": "loop", "with": {"times": 3, "steps": [{"key": "x", "type": "wait"}]}},
    ]


def test_a_program_knows_its_lists_of_steps() -> None:
    program = compiled(example("everything"))

    assert {name: [step.key for step in steps] for name, steps in program.scopes.items() if name} == {
        "outreach.email": ["mail", "opened", "remind"],
        "outreach.sms": ["text"],
        "outreach.owner": ["tell_owner"],
        "probe": ["bump"],
    }
    assert program.first.key == "enrich"
    assert program.by_key["text"].scope == "outreach.sms"


def test_a_parallel_step_holds_its_branches() -> None:
    block = compiled(example("everything")).by_key["outreach"].block

    assert isinstance(block, Parallel)
    email, sms, owner = block.branches
    assert email == Branch("email", "outreach.email")
    assert sms.guard is not None and sms.guard.evaluate({"contact": {"phone": "1"}}).met
    assert owner.after == (("email", None), ("sms", None))
    assert (block.join, block.on_branch_error, block.concurrency, block.export) == ("all", "wait", None, ())


def test_a_loop_says_how_often_it_runs() -> None:
    until = compiled(example("everything")).by_key["probe"].block
    over = compiled(document(loop(over="= [1, 2]", tolerate="25%", join={"when": "completed >= 2"}))).by_key["round"]

    assert isinstance(until, Loop) and until.until is not None
    assert (until.scope, until.max, until.export, until.item) == ("probe", 10, ("attempts",), None)
    assert isinstance(over.block, Loop) and over.block.over is not None
    assert over.block.over.evaluate({}) == [1, 2]
    assert (over.block.item, over.block.index, over.block.concurrency) == ("item", "index", 1)
    assert over.block.tolerate == Tolerance(share=0.25)
    assert [over.block.tolerate.allows(failed=n, total=8) for n in (2, 3)] == [True, False]


def test_a_step_never_leads_out_of_its_list() -> None:
    program = compiled(
        document(parallel(branch("a", wait("first"), wait("last")), branch("b", wait("other"))), wait("behind"))
    )

    def target(key: str, outcome: str = "next") -> str:
        found = program.target(program.by_key[key], outcome)
        return found.key if isinstance(found, Step) else found

    assert [target(key) for key in ("fork", "first", "last", "other", "behind")] == [
        "behind",
        "last",
        "end",
        "end",
        "end",
    ]
    assert target("last", "error") == "fail"


def test_a_program_stored_before_there_were_blocks_still_loads() -> None:
    stored = compile_program(document(wait("a"), wait("b")), step_ids={"a": 1, "b": 2})
    for step in stored["steps"]:
        del step["scope"]

    program = Program.load(stored)

    assert program.target(program.first, "next") is program.by_key["b"]


def test_the_output_of_a_block_keeps_the_outputs_inside_it() -> None:
    read = document(parallel(branch("a", wait("x"))), mail("m", "{{ steps.fork.branches.a }}"))
    unread = document(parallel(branch("a", wait("x"))), wait("m"))

    assert compiled(read).reads_steps == {"fork", "x"}
    assert compiled(unread).reads_steps == frozenset()


VARIABLES = [{"name": "v", "type": "number", "default": 0}, {"name": "w", "type": "number", "default": 0}]


def write(key: str, name: str) -> dict[str, Any]:
    return {"key": key, "type": "set_variable", "with": {"values": {name: 1}}}


def nested(depth: int) -> dict[str, Any]:
    inner = wait("core")
    for level in range(depth):
        inner = loop(inner, key=f"l{level}", times=1)
    return inner


INSIDE = "steps[0].with.branches[0].steps[0]"
PROBLEMS: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "unknown action inside",
        document(wait("a"), parallel(branch("x", wait("b"), wait("c"), {"type": "send_emial"}))),
        "steps[1].with.branches[0].steps[2].type",
        "did you mean 'send_email'",
    ),
    (
        "parameter missing inside",
        document(loop({"type": "send_email"}, times=1)),
        "steps[0].with.steps[0].with",
        "missing",
    ),
    (
        "shape wrong inside",
        document(parallel(branch("x", {"type": "wait", "dealy": 1}))),
        INSIDE,
        "did you mean 'delay'",
    ),
    (
        "key used inside and outside",
        document(wait("a"), parallel(branch("x", wait("a")))),
        "steps[1].with.branches[0].steps[0].key",
        "used by more than one step",
    ),
    (
        "number used twice in a branch",
        document(parallel(branch("x", wait("a", number=1), wait("b", number=1)))),
        "steps[0].with.branches[0].steps[1].number",
        "used by more than one step",
    ),
    (
        "target inside a block",
        document(wait("a", next="b"), parallel(branch("x", wait("b")))),
        "steps[0].next",
        "'b' is not in the same list of steps",
    ),
    (
        "target outside of the block",
        document(parallel(branch("x", wait("a", on={"error": "b"}))), wait("b")),
        f"{INSIDE}.on.error",
        "'b' is not in the same list of steps",
    ),
    (
        "unknown target inside",
        document(parallel(branch("x", wait("first", next="frist")))),
        f"{INSIDE}.next",
        "did you mean 'first'",
    ),
    (
        "timeout inside leads nowhere",
        document(parallel(branch("x", {"type": "human_task", "timeout": 5, "with": {"title": "t"}}))),
        f"{INSIDE}.on",
        "say in 'on' where 'timeout' leads",
    ),
    (
        "branch name used twice",
        document(parallel(branch("x", wait("a")), branch("x", wait("b")))),
        "steps[0].with.branches[1].name",
        "used by more than one branch",
    ),
    (
        "after an unknown branch",
        document(parallel(branch("left", wait("a")), branch("x", wait("b"), after=["lft"]))),
        "steps[0].with.branches[1].after[0]",
        "there is no branch 'lft' in this block; did you mean 'left'?",
    ),
    (
        "after itself",
        document(parallel(branch("x", wait("b"), after=["x"]))),
        "steps[0].with.branches[0].after[0]",
        "cannot come after itself",
    ),
    (
        "after an outcome that never comes",
        document(parallel(branch("a", wait("b")), branch("x", wait("c"), after=["a:won"]))),
        "steps[0].with.branches[1].after[0]",
        "'a' never ends with 'won'",
    ),
    (
        "circle of branches",
        document(parallel(branch("a", wait("b"), after=["x"]), branch("x", wait("c"), after=["a"]))),
        "steps[0].with.branches[0].after",
        "wait for each other: 'a' after 'x'",
    ),
    (
        "join of more branches than there are",
        document(parallel(branch("a"), branch("b"), join=3)),
        "steps[0].with.join",
        "only 2",
    ),
    (
        "two branches export the same",
        document(
            parallel(branch("a", write("p", "v")), branch("b", loop(write("q", "v"), times=1)), export=["v"]),
            variables=VARIABLES,
        ),
        "steps[0].with.export[0]",
        "the branches 'a' and 'b' both set 'v'",
    ),
    (
        "exported but undeclared",
        document(parallel(branch("a"), export=["z"])),
        "steps[0].with.export[0]",
        "not declared",
    ),
    ("fewer than no rounds", document(loop(times=-1)), "steps[0].with.times", "no fewer rounds than 0"),
    ("too many rounds", document(loop(times=2, max=20_000)), "steps[0].with.max", "at most 10,000 rounds"),
    ("loop without bound", document(loop()), "steps[0].with", "one of 'over', 'times', 'while', 'until' is needed"),
    ("loop with two bounds", document(loop(times=2, until="true")), "steps[0].with", "only one of"),
    (
        "item hides the subject",
        document(loop(over=[1], **{"as": "contact"})),
        "steps[0].with.as",
        "already has a meaning",
    ),
    ("item and index alike", document(loop(over=[1], **{"as": "index"})), "steps[0].with.as", "different names"),
    ("item without a list", document(loop(times=1, **{"as": "x"})), "steps[0].with.as", "only a loop over a list"),
    (
        "item known inside only",
        document(loop(over=[1], **{"as": "row"}), mail("m", "{{ row.email }}")),
        "steps[1].with.to",
        "unknown name 'row'",
    ),
    (
        "condition of a branch unreadable",
        document(parallel(branch("a", **{"if": "contact.x >"}))),
        "steps[0].with.branches[0].if",
        "cannot read",
    ),
    (
        "output of a branch beside",
        document(parallel(branch("a", wait("x")), branch("b", mail("m", "{{ steps.x.y }}")))),
        "steps[0].with.branches[1].steps[0].with",
        "'x' runs beside this step, in another branch of 'fork'",
    ),
    (
        "guard reads a branch beside",
        document(parallel(branch("a", wait("x")), branch("b", wait("z"), **{"if": "steps.x.y"}))),
        "steps[0].with.branches[1].if",
        "'x' runs beside this step",
    ),
    (
        "too many steps over all lists",
        document(*[wait(f"t{n}") for n in range(30)], parallel(branch("a", *[wait(f"a{n}") for n in range(20)]))),
        "steps",
        "at most 50 steps, this has 51",
    ),
    ("blocks too deep", document(nested(9)), "steps[0]" + ".with.steps[0]" * 9, "at most 8 deep"),
    (
        "retry for a misspelt error",
        document(wait("a", retry={"on": ["timeuot"]})),
        "steps[0].retry.on[0]",
        "did you mean 'timeout'",
    ),
]


@pytest.mark.parametrize(("given", "path", "sentence"), [row[1:] for row in PROBLEMS], ids=[row[0] for row in PROBLEMS])
def test_a_problem_inside_a_block_is_told_with_its_place(given: Any, path: str, sentence: str, kinds: Any) -> None:
    found = check(given, kinds=kinds)

    assert any(each.path == path and sentence in each.message for each in found), found
    assert all(each.severity == "error" for each in found if each.path == path)


@pytest.mark.parametrize(
    "given",
    [
        document(loop(mail("m", "{{ row.email }} {{ index }}"), over=[1], **{"as": "row"})),
        document(loop(loop(mail("m", "{{ item }}{{ i }}{{ index }}"), key="inner", times=2), over=[1], index="i")),
        document(loop(wait("w"), **{"while": "index < 3"}, join={"when": "failed > 2"})),
        document(parallel(branch("a", wait("x")), branch("b")), mail("m", "{{ steps.x.y }}")),
        document(parallel(branch("a", wait("x")), branch("b", mail("m", "{{ steps.x.y }}"), after=["a"]))),
        document(wait("x"), parallel(branch("a", mail("m", "{{ steps.x.y }}")))),
        document(
            parallel(branch("a", write("p", "v")), branch("b", write("q", "w")), export=["v"]), variables=VARIABLES
        ),
        document(
            parallel(branch("a", write("p", "v")), branch("b", write("q", "v"), after=["a"]), export=["v"]),
            variables=VARIABLES,
        ),
        document(nested(8)),
        document(wait("a", retry=[{"on": ["http_*", "smtp_4xx"]}, {"on": ["*"]}])),
    ],
    ids=[
        "item and index",
        "loops in loops",
        "rounds and join",
        "after the block",
        "after the branch",
        "before the block",
        "other variables",
        "one after the other",
        "eight deep",
        "classes of errors",
    ],
)
def test_what_a_block_may_do_has_no_problem(given: Any, kinds: Any) -> None:
    assert check(given, kinds=kinds) == []


@pytest.mark.parametrize(
    ("given", "path", "sentence"),
    [
        (
            document(parallel(branch("a", wait("x", next="end"), wait("lost")))),
            "steps[0].with.branches[0].steps[1]",
            "no step leads to 'lost'",
        ),
        (
            document(parallel(branch("a", mail("m", "{{ steps.later.x }}"), wait("later")))),
            f"{INSIDE}.with",
            "'later' has not run yet",
        ),
        (
            document(loop(mail("m", "{{ steps.round.items }}"), times=1)),
            "steps[0].with.steps[0].with",
            "'round' has not run yet",
        ),
        (
            document(parallel(branch("a"), export=["v"]), variables=VARIABLES),
            "steps[0].with.export[0]",
            "nothing inside this block sets 'v'",
        ),
        (
            document(loop(write("p", "v"), until="v == 1"), variables=VARIABLES),
            "steps[0].with.until",
            "'v' is set inside this block and stays there: name it in 'export'",
        ),
        (
            document(parallel(branch("a", write("p", "v")), join={"when": "vars.v == 1"}), variables=VARIABLES),
            "steps[0].with.join.when",
            "'v' is set inside this block and stays there: name it in 'export'",
        ),
        (document(loop(times=2_000)), "steps[0].with.times", "more rounds than 'max' allows"),
        (
            document({"key": "all", "type": "find_records", "with": {"model": "contacts.deal"}}),
            "steps[0]",
            "nothing reads what 'all' finds",
        ),
        (document(wait("a", retry={"on": ["quota"]})), "steps[0].retry.on[0]", "unknown class of error 'quota'"),
    ],
    ids=[
        "unreachable",
        "output from the future",
        "own block",
        "nothing to export",
        "loop asks what stays inside",
        "join asks what stays inside",
        "too many rounds",
        "unread",
        "error of an action",
    ],
)
def test_what_is_doubtful_inside_a_block_is_a_warning(given: Any, path: str, sentence: str, kinds: Any) -> None:
    (found,) = check(given, kinds=kinds)

    assert (found.path, found.severity) == (path, "warning")
    assert sentence in found.message


@pytest.mark.parametrize("block", [
    {"key": "rounds", "type": "loop", "with": {"times": 2, "steps": [{"key": "rest", "type": "wait"}]}},
    {"key": "fork", "type": "parallel", "with": {"branches": [{"name": "a", "steps": [{"type": "wait"}]}]}},
    {"key": "sub", "type": "call", "with": {"pipeline": "other"}},
], ids=lambda block: str(block["type"]))  # fmt: skip
def test_a_block_may_be_tried_again_and_is_not_by_the_rule_for_all_steps(kinds: Any, block: dict[str, Any]) -> None:
    retry = {"max": 2, "on": ["branch", "called", "timeout", "too_many"]}
    assert check(document({**block, "retry": retry}), kinds=kinds) == []
    for given, most in ((document({**block, "retry": retry}), 2), (document(block, settings={"retry": {"max": 4}}), 0)):
        assert sum(rule.max for rule in compiled(given).by_key[block["key"]].retry) == most
