"""Shares with their confidence, against figures worked out elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.definition.confidence import Share, chance_of_difference, compare, wilson


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662), (0, 0, 0.0, 1.0)],
)
def test_the_interval_of_wilson(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=5e-5)


@given(of=st.integers(1, 10_000), data=st.data())
def test_the_share_lies_within_its_interval(of: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))
    low, high = wilson(hits, of)
    assert 0 <= low <= hits / of + 1e-12 and hits / of - 1e-12 <= high <= 1


def test_two_shares_are_compared_as_the_z_test_does() -> None:
    found = chance_of_difference(Share("a", 120, 1_000), Share("b", 90, 1_000))
    assert found == pytest.approx(0.0288, abs=5e-4)


def test_few_are_compared_exactly() -> None:
    assert chance_of_difference(Share("a", 3, 4), Share("b", 1, 4)) == pytest.approx(0.4857, abs=5e-5)
    assert chance_of_difference(Share("a", 1, 12), Share("b", 9, 12)) == pytest.approx(0.002759, abs=5e-7)
    assert chance_of_difference(Share("a", 0, 5_000), Share("b", 40, 5_000)) < 1e-9


def test_a_lead_that_may_be_chance_decides_nothing() -> None:
    assert compare([Share("a", 55, 500), Share("b", 50, 500)]).decided is False
    sure = compare([Share("a", 90, 500), Share("b", 50, 500)])
    assert (sure.best, sure.decided) == ("a", True)


def test_many_variants_must_differ_more_than_two() -> None:
    two, lead = [Share("a", 120, 1_000), Share("b", 90, 1_000)], Share("c", 85, 1_000)
    assert compare(two).decided is True
    assert compare([*two, lead]).decided is False
    assert compare([Share("a", 1, 9)]).best is None
