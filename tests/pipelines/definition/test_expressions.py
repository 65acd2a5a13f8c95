"""What expressions mean."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from pipelines.definition.expressions import ExpressionError, compile_expression

NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
CONTEXT: dict[str, Any] = {
    "now": NOW,
    "lead": {
        "name": "Ann Bell",
        "score": 12,
        "tags": ["vip", "new"],
        "last_interaction": "2026-03-09T12:00:00Z",
        "created": dt.date(2026, 3, 1),
        "company": {"name": "Acme", "size": 50},
        "active": True,
        "balance": Decimal("0.1"),
        "notes": "",
        "class": "gold",
    },
    "attempts": 2,
    "items": [{"price": 3}, {"price": 4}],
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("lead.score", 12),
        ("lead.company.name", "Acme"),
        ('lead["company"]["size"]', 50),
        ('lead["class"]', "gold"),
        ("items[1].price", 4),
        ("items[-1].price", 4),
        ("items[7].price", None),
        ("lead.nothing.at.all", None),
        ("nothing", None),
        ("attempts + 1", 3),
        ("7 // 2", 3),
        ("7 % 4", 3),
        ("7 / 2", 3.5),
        ("-attempts", -2),
        ("lead.balance + 0.2", Decimal("0.3")),
        ("'a' + 'b'", "ab"),
        ("lead.score > 10 and lead.active", True),
        ("0 < attempts <= 2", True),
        ("0 < attempts < 2", False),
        ("'vip' in lead.tags", True),
        ("'old' not in lead.tags", True),
        ("'Bell' in lead.name", True),
        ("'name' in lead.company", True),
        ("1 in lead.name", False),
        ("'x' in nothing", False),
        ("lead.notes or 'none'", "none"),
        ("'yes' if attempts == 2 else 'no'", "yes"),
        ("[attempts, 1]", [2, 1]),
        ("true", True),
        ("false", False),
        ("null", None),
        ("lead.gone is None", True),
        ("lead.gone == null", True),
        ("lead.active is true", True),
        ("now", NOW),
        ("now()", NOW),
        ("now - hours(1)", NOW - dt.timedelta(hours=1)),
        ("(now - lead.created) / days(1)", 9.5),
        ("date('2026-03-01') == lead.created", True),
        ("now - duration('P1D') == now - days(1)", True),
        ("len(lead.tags)", 2),
        ("len(nothing)", 0),
        ("sum([1, 2, 3])", 6),
        ("min(3, 1, null)", 1),
        ("max([2, 5])", 5),
        ("max(nothing)", None),
        ("abs(-4)", 4),
        ("round(2.567, 1)", 2.6),
        ("round(2.567)", 3),
        ("number('12')", 12),
        ("number('1.5') + 1", 2.5),
        ("default(lead.notes, 'x')", "x"),
        ("is_empty(lead.notes)", True),
        ("is_empty(0)", False),
        ("lower(lead.name)", "ann bell"),
        ("lead.name.upper()", "ANN BELL"),
        ("' a '.strip()", "a"),
        ("nothing.lower()", None),
        ("lead.name.startswith('Ann')", True),
        ("endswith(lead.name, 'Bell')", True),
        ("startswith(lead.gone, '')", False),
        ("matches(lead.name, '^A.*l$')", True),
        ("matches(lead.score, '1')", False),
        ("any([false, 1])", True),
        ("all([true, 0])", False),
        ("not lead.active", False),
    ],
)
def test_an_expression_has_the_value_a_reader_expects(source: str, value: object) -> None:
    found = compile_expression(source).evaluate(CONTEXT)

    assert found == value
    assert type(found) is type(value)


def test_a_lead_seen_within_three_days_is_engaged() -> None:
    engaged = compile_expression("lead.last_interaction > now - hours(72)", names={"lead"})

    assert engaged.evaluate(CONTEXT) is True
    assert engaged.evaluate({**CONTEXT, "now": NOW + dt.timedelta(days=5)}) is False
    assert engaged.evaluate({"now": NOW, "lead": {}}) is False


@pytest.mark.parametrize(
    "source",
    [
        "gone > 1",
        "gone < 1",
        "gone >= gone",
        "'a' > 1",
        "lead.active > 0",
        "lead.tags > 1",
        "'soon' > now",
        "true == 1",
        "'1' == 1",
        "lead.name == 12",
        "gone == 0",
        "'2026' == now",
    ],
)
def test_comparing_with_nothing_or_another_type_is_false(source: str) -> None:
    assert compile_expression(source).evaluate(CONTEXT) is False


def test_the_opposite_of_a_missing_comparison_holds() -> None:
    assert compile_expression("not (lead.gone > 5)").evaluate(CONTEXT) is True


def test_numbers_compare_by_the_value_people_read() -> None:
    assert compile_expression("lead.balance == 0.1").evaluate(CONTEXT) is True
    assert compile_expression("lead.balance < 0.11").evaluate(CONTEXT) is True


def test_an_expression_tells_which_names_and_paths_it_reads() -> None:
    expression = compile_expression(
        "lead.company.name.lower() == 'x' and items[0].price > vars['limit'] and now() > date"
    )

    assert expression.names == {"lead", "items", "vars", "now", "date"}
    assert expression.paths == {
        ("lead", "company", "name"),
        ("items",),
        ("vars", "limit"),
        ("now",),
        ("date",),
    }


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("1 + laed.score", names={"lead", "vars"})

    assert caught.value.message == "unknown name 'laed'; did you mean 'lead'?"
    assert (caught.value.line, caught.value.column) == (1, 5)


def test_a_column_counts_letters_not_bytes() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("'äöü' == gone", names=())

    assert caught.value.column == 10


def test_now_is_never_read_from_the_clock() -> None:
    with pytest.raises(ExpressionError, match="'now' is not known here"):
        compile_expression("now > 1").evaluate({})


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("attempts + nothing", "expected a number, got nothing"),
        ("attempts / 0", "cannot divide by zero"),
        ("lead.balance / 0", "cannot divide by zero"),
        ("lead.name + 1", "expected a number, got text"),
        ("number('x')", "expected a number"),
        ("date('soon')", "expected a date"),
        ("len(3)", "expected text or a list"),
        ("duration('soon')", "not a duration"),
        ("days(99999999999)", "out of range"),
        ("now + days(99999999)", "out of range"),
        ("matches(lead.name, '(')", "not closed|too early"),
    ],
)
def test_what_cannot_be_worked_out_is_an_error_with_a_place(source: str, sentence: str) -> None:
    with pytest.raises(ExpressionError, match=sentence) as caught:
        compile_expression(source).evaluate(CONTEXT)

    assert caught.value.line == 1


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("1 +", "cannot read"),
        ("a = 1", "cannot read"),
        ("foo(1)", "unknown function 'foo'"),
        ("lenn(a)", "did you mean 'len'"),
        ("len()", "'len' got 0 arguments"),
        ("round(number=1)", "by position"),
        ("a[b]", "fixed text or number"),
        ("a[1:2]", "fixed text or number"),
        ("2 ** 9", "powers are not offered"),
        ("lambda: 1", "cannot be defined"),
        ("[x for x in a]", "loops are not offered"),
        ("f'{a}'", "join texts"),
        ("(a := 1)", "cannot be assigned"),
        ("{'a': 1}", "objects cannot"),
        ("b'x'", "'bytes' values"),
        ("1j", "'complex' values"),
        ("a & b", "'BitAnd' is not offered"),
        ("~a", "'Invert' is not offered"),
        ("now.year", "'now' has no fields"),
    ],
)
def test_what_is_not_in_the_language_is_refused_when_saved(source: str, sentence: str) -> None:
    with pytest.raises(ExpressionError, match=sentence):
        compile_expression(source)
