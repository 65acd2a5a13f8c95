"""Definitions that nobody would write by hand: they are told or refused, and take no more time than others."""

import json
from time import process_time
from typing import Any

import pytest

from pipelines.definition.conditions import compile_condition
from pipelines.definition.durations import parse_duration
from pipelines.dialects import translated
from pipelines.dialects.naming import Names
from pipelines.dialects.words import span_of
from tests.pipelines.dialects.conftest import House

BY_HAND = {"type": "manual"}
# Of a processor, on a slow machine; without limits each of these takes minutes or all memory.
SECONDS = 5


def fork(number: int, *, of: int) -> dict[str, Any]:
    return {
        "id": f"s{number}", "type": "parallel", "configuration": {"parallelSteps": [f"s{number + 1}"]},
        "nextSteps": [f"s{each}" for each in range(of)],
    }  # fmt: skip


def asking(script: str) -> dict[str, Any]:
    return {"trigger": BY_HAND, "steps": [{"id": "a", "type": "condition", "config": {"condition": script}}]}


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


BEYOND: dict[str, dict[str, Any]] = {
    "forks that lead everywhere": {"trigger": BY_HAND, "steps": [fork(number, of=500) for number in range(500)]},
    "ids that become the same key": {"actions": [{"id": "x" + "!" * number, "type": "email"} for number in range(990)]},
    "a script of signs": asking("!" * 1_000_000),
    "quotes that never end": asking('"' + '\\"' * 500_000),
    "variables": {
        "trigger": ["webhook"] * 20_000, "variables": [{"name": f"v{n}", "required": True} for n in range(20_000)],
        "steps": [{"id": "a", "type": "email", "nextSteps": []}],
    },
    "names deep inside": {"actions": [{"type": "email", "data": {"x": nested(["{{ a.b }}"] * 200_000, 400)}}]},
}  # fmt: skip


@pytest.mark.parametrize("source", list(BEYOND.values()), ids=list(BEYOND))
def test_what_nobody_writes_is_told_or_left_within_seconds(source: dict[str, Any]) -> None:
    before = process_time()
    assert isinstance(translated(source), dict)
    assert process_time() - before < SECONDS


@pytest.mark.parametrize("days", [10**400, "9" * 400], ids=["a number", "a text"])
def test_a_span_of_ages_is_refused_with_its_place(house: House, days: Any) -> None:
    source = {"workflow_id": "slow", "name": "Slow", "trigger": BY_HAND,
              "actions": [{"type": "delay", "data": {"days": days}}]}  # fmt: skip
    assert [path for path in house.refuses(json.loads(json.dumps(source))) if path.startswith("steps[0]")]


def test_a_moment_of_ages_ago_is_refused_with_its_place(house: House) -> None:
    told = house.refuses({**asking(f"lead.createdAt < now - {'9' * 400}"), "name": "Slow"})
    assert "steps[0].if" in told


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"seconds": 2_592_000}, 2_592_000),
        ({"duration": 1_234_567, "unit": "minutes"}, 1_234_567 * 60),
        ({"hours": 0.5}, 1_800),
        ({"days": 30.0}, 30 * 86_400),
    ],
    ids=["a month of seconds", "many minutes", "half an hour", "a whole number with a point"],
)
def test_long_spans_keep_every_digit(given: dict[str, Any], seconds: float) -> None:
    assert parse_duration(span_of(given)) == seconds


@pytest.mark.parametrize(
    ("thousandths", "told"),
    [("1234567000", "1234567"), ("1500", "1.5"), ("90050", "90.05")],
    ids=["long", "half", "odd"],
)
def test_spans_in_scripts_keep_every_digit(thousandths: str, told: str) -> None:
    condition = Names(alias="lead", variables=[], event=True).condition(f"lead.createdAt < Date.now() - {thousandths}")
    assert condition == f"lead.created_at < now - duration({told})"
    compile_condition(condition)
