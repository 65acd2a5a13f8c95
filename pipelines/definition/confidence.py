"""What a share of a sample says about the share of all: intervals and the difference of two, at 95 percent."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, exp, lgamma, sqrt
from typing import Final

# 97.5 percent of a normal distribution lie below this many standard deviations.
Z: Final = 1.959963984540054
LEVEL: Final = 0.05
# Below this many hits and misses of each side the test promises more than it knows.
FEWEST: Final = 5


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, as "variant a: 30 of 100"."""

    name: str
    hits: int
    of: int

    @property
    def rate(self) -> float:
        return self.hits / self.of if self.of else 0.0


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The interval of Wilson's score: between which shares the true one lies; everything when nobody was asked."""
    if not of:
        return 0.0, 1.0
    rate, square = hits / of, Z * Z
    middle = (rate + square / (2 * of)) / (1 + square / of)
    reach = Z / (1 + square / of) * sqrt(rate * (1 - rate) / of + square / (4 * of * of))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def chance_of_difference(one: Share, other: Share) -> float:
    """How likely chance alone makes a difference at least this large, two-sided.

    The two-proportion z-test; where either side has too few hits or misses for it, Fisher's exact test.
    """
    if min(one.hits, other.hits, one.of - one.hits, other.of - other.hits) < FEWEST:
        return _exact(one, other)
    pooled = (one.hits + other.hits) / (one.of + other.of)
    error = sqrt(pooled * (1 - pooled) * (1 / one.of + 1 / other.of))
    return erfc(abs(one.rate - other.rate) / error / sqrt(2))


def _exact(one: Share, other: Share) -> float:
    """The sum of the chances of all outcomes with as many hits that are no likelier than this one."""
    hits, of = one.hits + other.hits, one.of + other.of
    whole = _ways(of, hits)
    least, most = max(0, hits - other.of), min(hits, one.of)
    logs = [_ways(one.of, n) + _ways(other.of, hits - n) - whole for n in range(least, most + 1)]
    here = logs[one.hits - least]
    return min(1.0, sum(exp(log) for log in logs if log <= here + 1e-9))


def _ways(of: int, n: int) -> float:
    """The logarithm of how many ways there are to choose n."""
    return lgamma(of + 1) - lgamma(n + 1) - lgamma(of - n + 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The best of several, how likely its lead is chance, and whether that is enough to choose it."""

    best: str | None
    p_value: float | None
    decided: bool


def compare(shares: Sequence[Share]) -> Verdict:
    """The best against each other; the level is shared out among the comparisons (Bonferroni)."""
    asked = [share for share in shares if share.of]
    if len(asked) < 2:
        return Verdict(None, None, False)
    ranked = sorted(asked, key=lambda share: -share.rate)
    chance = max(chance_of_difference(ranked[0], other) for other in ranked[1:])
    return Verdict(ranked[0].name, chance, chance < LEVEL / (len(ranked) - 1))
