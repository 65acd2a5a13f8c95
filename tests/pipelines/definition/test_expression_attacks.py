"""Hostile expressions are refused or harmless, and never slow."""

import copy
import datetime as dt
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.definition.expressions import ExpressionError, compile_expression
from tests.pipelines.published_escapes import PUBLISHED


class Trap:
    """A host object that tells when it is touched."""

    secret = "leaked"

    def delete(self) -> None:
        raise AssertionError("a method of a host object was called")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"attribute {name} of a host object was read")


CONTEXT: dict[str, Any] = {
    "now": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "a": {"b": [1, 2], "text": "x" * 1_000},
    "trap": Trap(),
    "big": "y" * 19_000,
}

ATTACKS = [
    "().__class__.__bases__[0].__subclasses__()",
    "a.__class__",
    "a['__class__']",
    "'{0.__class__}'.format(a)",
    "'%s' % a",
    "'%999999999d' % 1",
    "trap.secret",
    "trap['secret']",
    "trap.delete()",
    "trap + 1",
    "trap == 1",
    "trap in [trap]",
    "len(trap)",
    "__import__('os').system('true')",
    "eval('1')",
    "exec('1')",
    "open('/etc/passwd')",
    "getattr(a, 'b')",
    "globals()",
    "lower.__globals__",
    "len.__self__",
    "now.__class__",
    "a.items()",
    "a.clear()",
    "a.b.append(1)",
    "9**9**9",
    "(9**9)**9",
    "1 << 99999999",
    "'x' * 99999999",
    "[0] * 99999999",
    "99999999999999999999999999999999999999 * 99999999999999999999999999999999999999",
    "9" * 1_900,
    "1e308 * 10",
    "number('9' + '9')",
    "number('1e999999')",
    "round(number('1e60'))",
    "round(1.5, 99999999)",
    "round(1.5, -9)",
    "big + big",
    "days(1e308)",
    "date('9999-12-31') + days(9999)",
    "matches(a.text, '(x+)+y')",
    "matches(a.text, '((((x*)*)*)*)*y')",
    "matches(a.text, '" + "x?" * 90 + "')",
    "(" * 500 + "1" + ")" * 500,
    "-" * 1_900 + "1",
    "not " * 400 + "a",
    "[" * 300 + "]" * 300,
    "a" + ".b" * 900,
    "+".join("1" * 900),
    "[x for x in [0] * 9]",
    "any(x for x in a)",
    "sum(map(a, a))",
    "lambda: 1",
    "(lambda: (yield))()",
    "a if a else *b",
    "f'{a.__class__}'",
    "a\x00b",
    "\ud800",
    "'\\N{GREEK SMALL LETTER ALPHA}'",
    "1" + " if 1 else 1" * 200,
    "sum(*a)",
    "max(**a)",
    "print(a)",
    "now(1)",
    "x" * 5_000,
    "\n" * 1_999 + "a",
    "…",
    *(source for escape in PUBLISHED.values() for source in escape.expressions),
]


@pytest.mark.parametrize("source", ATTACKS, ids=lambda source: ascii(source)[:30])
def test_an_attack_is_refused_or_harmless_and_quick(source: str) -> None:
    before = copy.deepcopy({key: CONTEXT[key] for key in ("a", "big")})
    begin = time.perf_counter()

    try:
        value = compile_expression(source).evaluate(CONTEXT)
    except ExpressionError:
        value = None

    assert time.perf_counter() - begin < 1
    assert {key: CONTEXT[key] for key in ("a", "big")} == before
    assert value is None or isinstance(value, bool | int | float | str | list | dict | dt.datetime)
    assert "leaked" not in repr(value)


@given(st.text(st.sampled_from(list("abx01.,'\"[]()+-*/%<>=! \n{}:_@")), max_size=60))
def test_any_text_either_works_or_says_what_is_wrong(source: str) -> None:
    try:
        compile_expression(source).evaluate({"a": {"b": [1]}, "x": 2})
    except ExpressionError as error:
        assert error.message
