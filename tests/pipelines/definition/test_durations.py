"""Spans of time as documents write them."""

import pytest

from pipelines.definition.durations import DurationError, compact_duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (0, 0),
        (300, 300),
        (1.5, 1.5),
        ("300", 300),
        ("3d", 259_200),
        ("1h30m", 5_400),
        ("2w", 1_209_600),
        ("45s", 45),
        ("PT4H", 14_400),
        ("P30D", 2_592_000),
        ("P1W", 604_800),
        ("P1DT12H", 129_600),
        ("PT0.5S", 0.5),
        (" 3d ", 259_200),
    ],
    ids=str,
)
def test_a_duration_is_read_as_seconds(text: float | str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        -1,
        "-3d",
        float("nan"),
        float("inf"),
        True,
        None,
        [],
        "",
        "soon",
        "3 days",
        "P",
        "PT",
        "P1DT",
        "P1Y",
        "P3M",
        "1d2x",
        "9" * 500,
        10**30,
        "999999w",
        "٣d",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_duration_is_refused_with_a_sentence(text: float | str) -> None:
    with pytest.raises(DurationError, match=r"duration|length"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (90, "1 minute 30 seconds"),
        (5_400, "1 hour 30 minutes"),
        (86_400, "1 day"),
        (259_200, "3 days"),
        (1.5, "1.5 seconds"),
    ],
)
def test_a_duration_is_said_in_words(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(604_800, "1w"), (2_592_000, "4w2d"), (86_400, "1d"), (5_400, "1h30m"), (694_861, "1w1d1h1m1s")],
)
def test_whole_seconds_are_written_as_a_document_reads_them(seconds: int, text: str) -> None:
    assert compact_duration(seconds) == text and parse_duration(text) == seconds


def test_no_time_at_all_is_written_as_nothing() -> None:
    assert compact_duration(0) == ""
