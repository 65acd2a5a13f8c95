"""Right-angled ways through the gap between two layers: one track for each target, none on top of another."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

NEAR: Final = 5.0


@dataclass(slots=True)
class Bundle:
    """Ways through one gap that end at the same place: down from `tops`, along a track, down to `bottom`.

    `side` is set for a way that leads around the side of the scope: up or down in a lane far right.
    """

    tops: list[float] = field(default_factory=list)
    bottom: float | None = None
    side: float | None = None
    track: int = -1

    @property
    def xs(self) -> list[float]:
        return [each for each in (*self.tops, self.bottom, self.side) if each is not None]

    @property
    def is_straight(self) -> bool:
        return max(self.xs) - min(self.xs) < 0.75


def assign(bundles: Sequence[Bundle]) -> int:
    """Give every bundle that is not straight a track, counted from above; returns how many there are."""
    bent = sorted((bundle for bundle in bundles if not bundle.is_straight), key=_first)
    placed: list[Bundle] = []
    for bundle in _free_of_overlap(bent):
        levels = [other.track for other in placed if _overlaps(bundle, other)]
        bundle.track = max(levels, default=-1) + 1
        placed.append(bundle)
    return max((bundle.track for bundle in placed), default=-1) + 1


def _first(bundle: Bundle) -> tuple[int, float]:
    """Ways to the right: the farthest above; ways to the left: the farthest above; the rest below."""
    target = bundle.bottom if bundle.bottom is not None else bundle.side or 0.0
    others = [each for each in bundle.xs if each != target]
    if all(each <= target for each in others):
        return 0, -target
    if all(each >= target for each in others):
        return 0, target
    return 1, target


def _free_of_overlap(bundles: Sequence[Bundle]) -> list[Bundle]:
    """A bundle that comes down where another one leaves must stand below it, or their lines would lie on each other."""
    waiting = list(bundles)
    done: list[Bundle] = []
    while waiting:
        ready = next((each for each in waiting if not any(_must_precede(other, each) for other in waiting)), waiting[0])
        waiting.remove(ready)
        done.append(ready)
    return done


def _must_precede(first: Bundle, second: Bundle) -> bool:
    if first is second or second.bottom is None:
        return False
    return any(abs(top - second.bottom) < NEAR for top in first.tops)


def _overlaps(one: Bundle, other: Bundle) -> bool:
    return min(one.xs) < max(other.xs) + NEAR and min(other.xs) < max(one.xs) + NEAR
