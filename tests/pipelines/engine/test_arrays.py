"""Columns as array literals: what goes in comes out."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.engine.store.arrays import group, literal, numbers

TEXTS = st.text('aN"\\{},\n é', max_size=12)
NASTY = ['"', "\\", "{}", "a,b", "NULL", "null", "", " ", "\\N", '\\"', "line\nbreak", "Zoë", None]


def out(text: str, kind: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM unnest(%s::{kind}[])", [text])
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no arrays")
@pytest.mark.django_db
class TestRoundTrip:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.lists(st.one_of(st.none(), TEXTS, st.sampled_from(NASTY))))
    def test_of_texts(self, values: list[str | None]) -> None:
        assert out(literal(values), "text") == values

    def test_of_numbers_truths_and_moments(self) -> None:
        noon = datetime(2027, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
        assert out(numbers([1, None, -(2**62)]), "bigint") == [1, None, -(2**62)]
        assert out(literal([True, None, False]), "bool") == [True, None, False]
        assert out(literal([noon, None]), "timestamptz") == [noon, None]


def test_a_one_is_not_a_truth() -> None:
    assert literal([1, True, 0, False]) == "{1,t,0,f}"


def test_what_nobody_thought_of_is_refused() -> None:
    with pytest.raises(TypeError):
        literal([object()])


def test_equal_rows_share_a_group() -> None:
    assert group(["a", "b", "a"]) == ([1, 2, 1], [0, 1])
