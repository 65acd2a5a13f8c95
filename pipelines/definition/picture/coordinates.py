"""How far right each vertex stands: as near below its neighbors as the order of its layer allows."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SWEEPS: Final = 12


@dataclass(frozen=True, slots=True)
class Pull:
    """A vertical piece of an edge: it is straight when upper x + shift = lower x."""

    upper: int
    lower: int
    shift: float
    weight: float


def spread(
    layers: Sequence[Sequence[int]], widths: Mapping[int, float], gaps: Mapping[int, float], pulls: Sequence[Pull]
) -> dict[int, float]:
    """The x of every vertex's center; `gaps` is the free room a vertex wants on both sides."""
    above: dict[int, list[tuple[int, float, float]]] = {}
    below: dict[int, list[tuple[int, float, float]]] = {}
    for pull in pulls:
        above.setdefault(pull.lower, []).append((pull.upper, pull.shift, pull.weight))
        below.setdefault(pull.upper, []).append((pull.lower, -pull.shift, pull.weight))
    spaces = [_spaces(layer, widths, gaps) for layer in layers]
    x: dict[int, float] = {}
    for layer, space in zip(layers, spaces, strict=True):
        at = 0.0
        for vertex, room in zip(layer, (0.0, *space), strict=True):
            at += room
            x[vertex] = at
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        rows = range(len(layers)) if down else range(len(layers) - 1, -1, -1)
        for row in rows:
            near = (above,) if down else (below,)
            # The last passes weigh both sides, so that joins and forks stand in their middle.
            _settle(layers[row], spaces[row], x, (above, below) if sweep >= SWEEPS - 4 else near)
    return x


def _spaces(layer: Sequence[int], widths: Mapping[int, float], gaps: Mapping[int, float]) -> list[float]:
    """The least distance between the centers of neighbors."""
    return [
        (widths[left] + widths[right]) / 2 + max(gaps[left], gaps[right]) for left, right in itertools.pairwise(layer)
    ]


def _settle(
    layer: Sequence[int],
    spaces: Sequence[float],
    x: dict[int, float],
    near: Sequence[Mapping[int, Sequence[tuple[int, float, float]]]],
) -> None:
    """Least squares under the distances of the layer, by pooling neighbors that would come too close."""
    wanted: list[tuple[float, float]] = []
    for vertex in layer:
        links = [link for side in near for link in side.get(vertex, ())]
        weight = sum(each[2] for each in links)
        if weight:
            wanted.append((sum((x[other] + shift) * each for other, shift, each in links) / weight, weight))
        else:
            wanted.append((x[vertex], 0.01))
    offsets = [0.0]
    for room in spaces:
        offsets.append(offsets[-1] + room)
    pooled = isotonic([(want - offset, weight) for (want, weight), offset in zip(wanted, offsets, strict=True)])
    for vertex, value, offset in zip(layer, pooled, offsets, strict=True):
        x[vertex] = value + offset


def isotonic(targets: Sequence[tuple[float, float]]) -> list[float]:
    """The values nearest to (target, weight) that never fall: pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for target, weight in targets:
        mean, total, size = target, weight, 1
        while pools and pools[-1][0] > mean:
            before, before_weight, before_size = pools.pop()
            mean = (mean * total + before * before_weight) / (total + before_weight)
            total, size = total + before_weight, size + before_size
        pools.append((mean, total, size))
    return [mean for mean, _, size in pools for _ in range(size)]
