"""Import and export are inverse to each other."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.definition.document import canonical, checksum, dumps
from pipelines.definition.layout import places
from pipelines.definition.program import compile_program
from pipelines.definition.shapes import document_shape

EXAMPLES = sorted(Path(__file__).with_name("examples").glob("*.json"))
KEYS = ["a", "b", "c", "step_2", "step_4"]
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
TARGETS = st.sampled_from([*KEYS, "next", "end", "fail"])
STEPS = st.fixed_dictionaries(
    {"type": st.sampled_from(["wait", "send_email"])},
    optional={
        "name": st.sampled_from(["", "A name"]),
        "delay": DELAYS,
        "if": CONDITIONS,
        "message": st.sampled_from(["", "Hi {{ contact.name }}"]),
        "with": st.dictionaries(st.sampled_from("zyx"), st.none() | st.integers() | st.text(), max_size=3),
        "next": TARGETS,
        "on": st.dictionaries(st.sampled_from(["error", "skipped", "next"]), TARGETS),
        "retry": RETRY,
        "timeout": st.sampled_from([5, "1h"]),
        "set": st.dictionaries(st.sampled_from(["v", "w"]), st.integers()),
        "delivery": st.sampled_from(["at_least_once", "at_most_once"]),
        "await": st.sampled_from(["done", "queued"]),
        "notes": st.text(max_size=5),
        "position": st.just([1, 2.5]),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(st.lists(STEPS, min_size=1, max_size=4))
    keys = draw(st.permutations(KEYS))
    numbers = draw(st.permutations([1, 2, 3, 5, 8]))
    style = draw(st.sampled_from(["bare", "keys", "both"]))
    for step, key, number in zip(steps, keys, numbers, strict=False):
        if style != "bare":
            step["key"] = key
        if style == "both":
            step["number"] = number
    more: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "description": st.text(max_size=5),
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


@given(documents())
@settings(max_examples=200)
def test_an_exported_document_imports_as_itself(document: dict[str, Any]) -> None:
    tidy = canonical(document)

    assert list(document_shape(document)) == []
    assert list(document_shape(tidy)) == []
    assert canonical(tidy) == tidy
    assert json.loads(dumps(document)) == tidy
    assert dumps(json.loads(dumps(document))) == dumps(document)
    assert checksum(tidy) == checksum(document)


@given(documents())
@settings(max_examples=200)
def test_the_canonical_form_means_the_same(document: dict[str, Any]) -> None:
    tidy = canonical(document)
    ids = {place.key: place.index for place in places(document)}

    assert [place.key for place in places(tidy)] == [place.key for place in places(document)]
    assert compile_program(tidy, step_ids=ids) == compile_program(document, step_ids=ids)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_survive_export_and_import(path: Path) -> None:
    text = dumps(json.loads(path.read_text()))

    assert dumps(json.loads(text)) == text
    assert list(document_shape(json.loads(text))) == []
