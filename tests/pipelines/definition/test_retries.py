"""When a failed step is tried again."""

import random

import pytest

from pipelines.definition.retries import parse_retry, retry_after


class Never(random.Random):
    """Chance that must not be asked."""

    def random(self) -> float:
        raise AssertionError("no jitter was wanted")


@pytest.mark.parametrize(
    ("retry", "error", "attempt", "wait"),
    [
        (None, "timeout", 0, None),
        ([], "timeout", 0, None),
        ({}, "timeout", 0, 60),
        ({"max": 3, "delay": 60, "backoff": 2}, "timeout", 0, 60),
        ({"max": 3, "delay": 60, "backoff": 2}, "timeout", 2, 240),
        ({"max": 3, "delay": 60, "backoff": 2}, "timeout", 3, None),
        ({"max": 0}, "timeout", 0, None),
        ({"max": 9, "delay": "1m", "backoff": 10, "max_delay": "1h"}, "x", 5, 3_600),
        ({"max": 50, "delay": 1, "backoff": 1e300}, "x", 49, 30 * 86_400),
        ({"on": ["timeout"]}, "http_5xx", 0, None),
        ({"on": ["http_*"]}, "http_5xx", 0, 60),
        ({"on": ["*"], "delay": 5}, "anything", 0, 5),
        ([{"on": ["http_429"], "delay": 9}, {"delay": 1}], "http_429", 0, 9),
        ([{"on": ["http_429"], "delay": 9}, {"delay": 1}], "timeout", 0, 1),
        ([{"on": ["timeout"], "max": 0}, {"delay": 1}], "timeout", 0, None),
    ],
)
def test_the_first_matching_rule_decides(retry: object, error: str, attempt: int, wait: float | None) -> None:
    found = retry_after(parse_retry(retry), error_class=error, attempt=attempt, rng=Never())

    assert found == wait


def test_jitter_takes_off_at_most_its_share() -> None:
    rules = parse_retry({"delay": 100, "jitter": 0.25})

    waits = [retry_after(rules, error_class="x", attempt=0, rng=random.Random(i)) for i in range(99)]

    assert all(wait is not None and 75 <= wait <= 100 for wait in waits)
    assert len(set(waits)) > 50
