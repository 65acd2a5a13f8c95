"""Patterns answer as the standard engine does, only never slowly."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.definition.patterns import PatternError, compile_pattern, search

PIECES = ["a", "b", ".", "a*", "b+", "[ab]", "[^a]", "(?:ab|b)", "a{1,2}", "(a|b)*", "^", "$", "b?"]


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^[\w.]+@example\.org$", "ann.b@example.org", True),
        (r"^[\w.]+@example\.org$", "ann@example.com", False),
        (r"(?i)^vip", "VIP customer", True),
        (r"\d{4}-\d{2}", "in 2026-11", True),
        (r"colou?r", "my color", True),
        (r"^$", "", True),
        (r"[a-c]x|[^d]y", "dy", False),
        (r"a.c", "a\nc", False),
        (r"[]]", "]", True),
        (r"a{2,}", "aba", False),
    ],
)
def test_a_pattern_is_found_where_it_occurs(pattern: str, text: str, found: bool) -> None:
    assert search(pattern, text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a)\1",
        "(?=a)",
        "(?P<n>a)",
        "a**",
        "*a",
        "(a",
        "a)",
        "[a",
        "a{9999}",
        "((a{100}){100}){100}",
        "((((){100}){100}){100}){100}",
        "a" * 201,
        "(" * 100 + ")" * 100,
        "\\",
        "a{2",
    ],
    ids=lambda pattern: pattern[:20],
)
def test_a_pattern_beyond_the_language_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "a*a*a*a*a*a*a*b", "(a+)+$b", "(.*)*(.*)*x", "(a|aa|aaa)+$b"])
def test_patterns_that_stall_other_engines_are_quick(pattern: str) -> None:
    begin = time.perf_counter()
    assert search(pattern, "a" * 1_000) is False
    assert time.perf_counter() - begin < 1


def test_very_long_text_is_refused() -> None:
    with pytest.raises(PatternError, match="1000 characters"):
        search("a", "a" * 1_001)


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join), st.text("ab\n", max_size=8))
def test_answers_are_those_of_the_standard_engine(pattern: str, text: str) -> None:
    try:
        expected = re.search(pattern.replace("$", r"\Z"), text)
    except re.error:
        return
    try:
        assert search(pattern, text) is (expected is not None)
    except PatternError:
        assert re.search(r"[\^$][*+?{]|[*+?}][*+?{]", pattern)
