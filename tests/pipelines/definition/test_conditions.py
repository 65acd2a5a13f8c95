"""Conditions as rows and as text, and the reasons they give."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.definition.conditions import ConditionError, Leaf, compile_condition
from pipelines.definition.expressions import compile_expression

NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
CONTEXT: dict[str, Any] = {
    "now": NOW,
    "user": {
        "name": "Ann Bell",
        "score": 12,
        "tags": ["vip", "new"],
        "verified": True,
        "banned": False,
        "notes": "",
        "balance": Decimal("9.50"),
        "last_activity": "2026-03-09T12:00:00Z",
        "joined": dt.date(2026, 3, 1),
    },
    "trigger": {"changes": {"status": ["open", "won"], "stage": ["a", "a"]}},
    "limit": 10,
}


def row(field: str, operator: str, *value: object) -> dict[str, Any]:
    clause: dict[str, Any] = {"field": field, "operator": operator}
    return clause | {"value": value[0]} if value else clause


@pytest.mark.parametrize(
    ("clause", "met"),
    [
        (row("user.name", "equals", "Ann Bell"), True),
        (row("user.score", "equals", "12"), False),
        (row("user.verified", "equals", True), True),
        (row("user.verified", "equals", 1), False),
        (row("user.joined", "equals", "2026-03-01"), True),
        (row("user.balance", "equals", 9.5), True),
        (row("user.gone", "equals", None), True),
        (row("user.gone", "not_equals", "x"), True),
        (row("user.name", "not_equals", "Ann Bell"), False),
        (row("user.name", "contains", "Bell"), True),
        (row("user.tags", "contains", "vip"), True),
        (row("user.gone", "contains", "vip"), False),
        (row("user.tags", "not_contains", "old"), True),
        (row("user.gone", "not_contains", "old"), True),
        (row("user.score", "greater_than", 10), True),
        (row("user.score", "greater_than", "10"), False),
        (row("user.gone", "greater_than", 10), False),
        (row("user.score", "greater_than", "= limit + 1"), True),
        (row("user.score", "greater_than", "{{ limit }}"), True),
        (row("user.score", "less_than", 12), False),
        (row("user.gone", "less_than", 12), False),
        (row("user.score", "greater_or_equal", 12), True),
        (row("user.score", "less_or_equal", 12), True),
        (row("user.notes", "is_empty"), True),
        (row("user.gone", "is_empty"), True),
        (row("user.banned", "is_empty"), False),
        (row("user.name", "is_not_empty"), True),
        (row("user.name", "in_list", ["Bob", "Ann Bell"]), True),
        (row("user.gone", "in_list", ["Bob"]), False),
        (row("user.name", "not_in_list", ["Bob"]), True),
        (row("user.gone", "not_in_list", ["Bob"]), True),
        (row("user.name", "starts_with", "Ann"), True),
        (row("user.gone", "starts_with", ""), False),
        (row("user.name", "ends_with", "Bell"), True),
        (row("user.name", "matches", r"^A\w+ B"), True),
        (row("user.score", "matches", "1"), False),
        (row("user.score", "between", [10, 12]), True),
        (row("user.score", "between", [13, 20]), False),
        (row("user.gone", "between", [0, 20]), False),
        (row("user.joined", "between", ["2026-02-01", "2026-03-01"]), True),
        (row("user.last_activity", "before", "2026-03-10"), True),
        (row("user.last_activity", "before", "{{ now }}"), True),
        (row("user.gone", "before", "2026-03-10"), False),
        (row("user.name", "before", "2026-03-10"), False),
        (row("user.last_activity", "after", "2026-03-09"), True),
        (row("user.last_activity", "within_last", "P1D"), True),
        (row("user.last_activity", "within_last", 3_600), False),
        (row("user.gone", "within_last", "7d"), False),
        (row("user.last_activity", "not_within_last", "7d"), False),
        (row("user.gone", "not_within_last", "P7D"), True),
        (row("user.verified", "is_true"), True),
        (row("user.score", "is_true"), False),
        (row("user.banned", "is_false"), True),
        (row("user.gone", "is_false"), False),
        (row("status", "changed"), True),
        (row("user.status", "changed"), True),
        (row("stage", "changed"), False),
        (row("gone", "changed"), False),
        (row("status", "changed_to", "won"), True),
        (row("user.status", "changed_to", "lost"), False),
        (row("stage", "changed_to", "a"), False),
        (row("len(user.tags)", "equals", 2), True),
    ],
    ids=lambda value: f"{value['field']} {value['operator']}" if isinstance(value, dict) else "",
)
def test_an_operator_decides(clause: dict[str, Any], met: bool) -> None:
    verdict = compile_condition(clause).evaluate(CONTEXT)

    assert verdict.error is None
    assert verdict.met is met
    assert verdict.why[-1].met is met


VIP = row("user.tags", "contains", "vip")
POOR = row("user.score", "less_than", 5)


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        (True, True),
        (False, False),
        ([], True),
        ([VIP, POOR], False),
        ({"all": []}, True),
        ({"any": []}, False),
        ({"all": [VIP, "user.score > 10"]}, True),
        ({"any": [POOR, VIP]}, True),
        ({"not": POOR}, True),
        ({"not": [VIP, {"any": [POOR, {"not": POOR}]}]}, False),
        ("user.last_activity > now - hours(72)", True),
    ],
    ids=str,
)
def test_conditions_nest(condition: object, met: bool) -> None:
    assert compile_condition(condition).evaluate(CONTEXT).met is met


def test_the_reasons_say_what_was_expected_and_found() -> None:
    verdict = compile_condition({"all": [VIP, POOR]}).evaluate(CONTEXT)

    assert verdict.why == (
        Leaf("user.tags", "contains", "vip", ["vip", "new"], True),
        Leaf("user.score", "less_than", 5, 12, False),
    )
    assert [leaf.as_dict()["actual"] for leaf in verdict.why] == [["vip", "new"], 12]


def test_an_expression_tells_what_it_read() -> None:
    source = "user.score > 50 and user['missing'] == None and user.last_activity < now"

    (leaf,) = compile_condition(source).evaluate(CONTEXT).why

    assert leaf.as_dict() == {
        "field": source, "operator": "expression", "expected": True, "actual": False, "met": False,
        "values": {"user.last_activity": CONTEXT["user"]["last_activity"], "user.missing": None, "user.score": 12},
    }  # fmt: skip


def test_whole_records_are_no_values() -> None:
    (leaf,) = compile_condition("user != None").evaluate(CONTEXT).why

    assert "values" not in leaf.as_dict()


def test_reasons_are_plain_json_of_bounded_size() -> None:
    context = {"a": {"d": NOW, "n": Decimal("1.5"), "t": "x" * 9_000, "l": list(range(900))}}

    why = compile_condition({"any": ["not a", row("a", "is_empty")]}).evaluate(context).why

    assert len(json.dumps([leaf.as_dict() for leaf in why])) < 2_000


@pytest.mark.parametrize(
    "condition",
    [
        "user.score + user.name > 1",
        {"not": "user.score + user.name > 1"},
        {"any": ["1 / 0 > 1", True]},
        row("user.name", "matches", "{{ user.tags }}"),
        row("user.last_activity", "within_last", "{{ user.name }}"),
        row("user.name", "equals", "= 1 / 0"),
    ],
    ids=str,
)
def test_an_error_is_never_met_and_is_told(condition: object) -> None:
    verdict = compile_condition(condition).evaluate(CONTEXT)

    assert verdict.met is False
    assert verdict.error


@pytest.mark.parametrize(
    ("condition", "path", "sentence"),
    [
        ({"all": [row("nope.x", "is_empty")]}, "all/0/field", "unknown name 'nope'"),
        ({"any": [True, {"not": "1 +"}]}, "any/1/not", "cannot read"),
        ([True, row("user.name", "eqals", 1)], "1/operator", "did you mean 'equals'"),
        (row("user.name", "equals"), "value", "'equals' needs a value"),
        (row("user.name", "in_list", "x"), "value", "needs a list"),
        (row("user.name", "between", [1]), "value", "two values"),
        (row("user.name", "matches", "("), "value", "'matches'"),
        (row("user.name", "matches", 3), "value", "pattern as text"),
        (row("user.name", "within_last", "soon"), "value", "not a duration"),
        (row("user.name", "before", "soon"), "value", "expected a date"),
        (row("user.name", "changed_to"), "value", "needs a value"),
        (row("user.name", "equals", "{{ nope }}"), "value", "unknown name 'nope'"),
        ({"field": "user.name"}, "operator", "missing"),
        ({"field": "user.name", "operator": ["equals"], "value": 1}, "operator", "unknown operator"),
        ({"operator": "equals", "value": 1}, "field", "must name a field"),
        ({**VIP, "extra": 1}, "extra", "unknown property"),
        ({"all": [], "any": []}, "", "stands alone"),
        ({"all": {}}, "all", "a list of conditions"),
        (5, "", "a condition is"),
        (None, "", "a condition is"),
    ],
    ids=str,
)
def test_a_wrong_condition_is_refused_with_its_path(condition: object, path: str, sentence: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(condition, names={"user"})

    assert caught.value.path == path
    assert sentence in caught.value.message


def test_a_condition_too_large_is_refused() -> None:
    deep: object = True
    for _ in range(100):
        deep = {"not": deep}

    for condition in (deep, [True] * 500):
        with pytest.raises(ConditionError, match="too large"):
            compile_condition(condition)


def test_a_condition_tells_what_it_reads() -> None:
    condition = compile_condition(
        {
            "any": [
                row("user.company.name", "equals", "{{ vars.firm }}"),
                "limit > 1",
                row("x", "changed"),
            ]
        }
    )

    assert condition.paths == {
        ("user", "company", "name"),
        ("vars", "firm"),
        ("limit",),
        ("trigger", "changes"),
    }
    assert condition.names == {"user", "vars", "limit", "trigger"}


AS_TEXT = {
    "equals": "a == b",
    "not_equals": "a != b",
    "contains": "b in a",
    "not_contains": "b not in a",
    "greater_than": "a > b",
    "less_than": "a < b",
    "greater_or_equal": "a >= b",
    "less_or_equal": "a <= b",
    "is_empty": "is_empty(a)",
    "is_not_empty": "not is_empty(a)",
    "starts_with": "startswith(a, b)",
    "ends_with": "endswith(a, b)",
    "recurs_on": "recurs_on(a, b)",
    "is_true": "a == true",
    "is_false": "a == false",
    "in_list": "a in [b, c]",
    "not_in_list": "a not in [b, c]",
    "between": "b <= a <= c",
}
MOMENTS = st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2030, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=dt.UTC)
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.0, Decimal("0.5"), Decimal(1)])
    | st.sampled_from(["", "a", "ab", "1", "2026-01-01", "2026-01-01T00:00:00Z"])
    | st.sampled_from([dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)])
    | MOMENTS
    | MOMENTS.map(lambda moment: moment.isoformat())
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3)


@given(st.sampled_from(sorted(AS_TEXT)), VALUES, SCALARS, SCALARS)
def test_rows_and_expressions_agree(operator: str, a: object, b: object, c: object) -> None:
    context = {"a": a, "b": b, "c": c}
    value = ["{{ b }}", "{{ c }}"] if operator in ("in_list", "not_in_list", "between") else "{{ b }}"

    verdict = compile_condition(row("a", operator, value)).evaluate(context)
    text = compile_condition(AS_TEXT[operator]).evaluate(context)

    assert verdict.error is None
    assert text.error is None
    assert verdict.met is text.met
    assert bool(compile_expression(AS_TEXT[operator]).evaluate(context)) is verdict.met
