"""Random documents, with blocks inside blocks."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.pipelines.simulation.stories import steps as lines

KEYS = ["a", "b", "c", "step_2", "step_4", *(f"k{number}" for number in range(60))]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
DURATIONS = st.sampled_from([0, 60, 90.5, 3_600.0, "3d", "PT1H", "{{ vars.wait }}"])
CONDITIONS = st.recursive(
    st.booleans()
    | st.just("contact.score > 1")
    | st.just({"field": "contact.x", "operator": "equals", "value": {"b": 1, "a": None}}),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.builds(lambda parts: {"any": parts}, st.lists(inner, max_size=2))
        | st.builds(lambda part: {"not": part}, inner)
    ),
    max_leaves=4,
)
DELAYS = DURATIONS | st.fixed_dictionaries(
    {"for": DURATIONS},
    optional={
        "from": st.sampled_from(["previous", "start"]),
        "at": st.just("09:00"),
        "days": st.lists(st.sampled_from(["mon", "sun"]), unique=True),
        "if_past": st.sampled_from(["now", "skip"]),
        "jitter": DURATIONS,
    },
)
RETRIER = st.fixed_dictionaries(
    {},
    optional={
        "max": st.integers(0, 3),
        "delay": st.sampled_from([5, "1m"]),
        "backoff": st.sampled_from([1, 2]),
        "on": st.just(["timeout"]),
    },
)
RETRY = RETRIER | st.lists(RETRIER, max_size=2)
TARGETS = st.sampled_from([*KEYS[:5], "next", "end", "fail"])
COMMON: dict[str, Any] = {
    "name": st.sampled_from(["", "A name"]),
    "delay": DELAYS,
    "if": CONDITIONS,
    "message": st.sampled_from(["", "Hi {{ contact.name }}"]),
    "next": TARGETS,
    "on": st.dictionaries(st.sampled_from(["error", "skipped", "next"]), TARGETS),
    "retry": RETRY,
    "timeout": st.sampled_from([5, "1h"]),
    "set": st.dictionaries(st.sampled_from(["v", "w"]), st.integers(-(2**53), 2**53)),
    "delivery": st.sampled_from(["at_least_once", "at_most_once"]),
    "await": st.sampled_from(["done", "queued"]),
    "notes": TEXT,
    "position": st.just([1, 2.5]),
}
WITH = st.dictionaries(st.sampled_from("zyx"), st.none() | st.integers(-(2**53), 2**53) | TEXT, max_size=3)
PLAIN = st.fixed_dictionaries({"type": st.sampled_from(["wait", "send_email"])}, optional={**COMMON, "with": WITH})
JOIN = st.sampled_from(["all", "any", 1, {"when": "completed > 1"}])
JOINING: dict[str, Any] = {
    "join": JOIN,
    "cancel_rest": st.booleans(),
    "on_branch_error": st.sampled_from(["fail", "wait", "ignore"]),
    "concurrency": st.integers(1, 3),
    "export": st.lists(st.sampled_from(["v", "w"]), unique=True),
}


def _parallel(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    branch = st.fixed_dictionaries(
        {"steps": st.lists(inner, min_size=1, max_size=2)},
        optional={
            "if": CONDITIONS,
            "after": st.lists(st.sampled_from(["left", "right:next"])),
            "optional": st.booleans(),
        },
    )
    branches = st.lists(branch, min_size=1, max_size=3).map(_named)
    block = st.fixed_dictionaries({"branches": branches}, optional=JOINING)
    return st.fixed_dictionaries({"type": st.just("parallel"), "with": block}, optional=COMMON)


def _named(branches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**branch, "name": name} for branch, name in zip(branches, ("left", "middle", "right"), strict=False)]


def _loop(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    rounds: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            {"over": "= [1]"},
            {"over": [], "as": "item"},
            {"over": [0], "as": "x"},
            {"times": 2},
            {"while": "false"},
            {"until": []},
        ]
    )
    more = {"tolerate": st.sampled_from([0, 2, "10%"]), "max": st.sampled_from([5, 1000]), "index": st.just("index")}
    block = st.builds(
        lambda bound, rest: {**bound, **rest},
        rounds,
        st.fixed_dictionaries({"steps": st.lists(inner, min_size=1, max_size=2)}, optional={**JOINING, **more}),
    )
    return st.fixed_dictionaries({"type": st.just("loop"), "with": block}, optional=COMMON)


STEPS = st.recursive(PLAIN, lambda inner: _parallel(inner) | _loop(inner), max_leaves=3)


def _lists(steps: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """A list of steps and every list inside it."""
    yield steps
    for step in steps:
        inside = step.get("with", {})
        for inner in [inside.get("steps", []), *(branch["steps"] for branch in inside.get("branches", []))]:
            yield from _lists(inner) if inner else ()


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    # Some with anything in them, some with steps of every kind as people write them.
    steps = draw(st.lists(STEPS, min_size=1, max_size=3) | lines(depth=1))
    keys = draw(st.permutations(KEYS))
    numbers = draw(st.permutations([1, 2, 3, 5, 8]))
    style = draw(st.sampled_from(["bare", "keys", "both"]))
    unused = iter(keys)
    for found in _lists(steps):
        for step, number in zip(found, numbers, strict=False):
            if style != "bare":
                step["key"] = next(unused)
            if style == "both":
                step["number"] = number
    more: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "description": TEXT,
                "subject": st.sampled_from(
                    [
                        None,
                        "contacts.contact",
                        {"model": "contacts.deal", "as": "deal"},
                        {"model": "contacts.contact", "as": "lead"},
                        {"model": "contacts.contact"},
                    ]
                ),
                "variables": st.lists(
                    st.fixed_dictionaries(
                        {"name": st.just("v"), "type": st.just("any")},
                        optional={
                            "required": st.booleans(),
                            "default": st.none() | st.just("") | st.just([]) | st.just(0),
                        },
                    ),
                    max_size=1,
                ),
                "settings": st.fixed_dictionaries(
                    {},
                    optional={
                        "retry": RETRY,
                        "enabled": st.booleans(),
                        "step_timeout": st.just("5m"),
                    },
                ),
                "exit": st.just([{"where": [], "status": "cancelled"}]),
                "meta": st.dictionaries(st.sampled_from("ba"), st.integers()),
            },
        )
    )
    base = {"format": "crm.pipeline/1", "key": "k", "name": "N", "steps": steps}
    return dict(draw(st.permutations(list({**base, **more}.items()))))
