"""Which layer a node stands in and in what order: circles opened, longest paths, few crossings, ports kept."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Link = tuple[int, int]
SWEEPS: Final = 6


@dataclass(frozen=True, slots=True)
class Layering:
    """Vertices by layer from left to right. Numbers from the count of nodes on are bends of long edges.

    `paths` has for each edge the vertices it passes, source first; it is empty for edges that lead back up.
    """

    layers: tuple[tuple[int, ...], ...]
    paths: tuple[tuple[int, ...], ...]


def layered(count: int, edges: Sequence[Link]) -> Layering:
    """Arrange nodes 0..count-1; the edges of a node leave it from left to right in the given order."""
    leaving: list[list[int]] = [[] for _ in range(count)]
    for index, (source, _) in enumerate(edges):
        leaving[source].append(index)
    back = _back_edges(count, edges, leaving)
    depth = _longest_paths(count, edges, back)
    paths, height = _bend(count, edges, back, depth)
    order = _first_order(count, leaving, paths, depth, height)
    return Layering(_uncross(order, paths, leaving, edges), tuple(paths))


def _back_edges(count: int, edges: Sequence[Link], leaving: Sequence[Sequence[int]]) -> frozenset[int]:
    """Edges that close a circle, found by walking in port order; without them the graph leads down."""
    state = [0] * count
    back: set[int] = set()
    for root in range(count):
        if state[root]:
            continue
        state[root] = 1
        stack = [(root, iter(leaving[root]))]
        while stack:
            node, remaining = stack[-1]
            for index in remaining:
                target = edges[index][1]
                if state[target] == 1:
                    back.add(index)
                elif not state[target]:
                    state[target] = 1
                    stack.append((target, iter(leaving[target])))
                    break
            else:
                state[node] = 2
                stack.pop()
    return frozenset(back)


def _longest_paths(count: int, edges: Sequence[Link], back: frozenset[int]) -> list[int]:
    down = [edge for index, edge in enumerate(edges) if index not in back]
    entering = [0] * count
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in down:
        entering[target] += 1
        after[source].append(target)
    depth = [0] * count
    ready = [node for node in range(count) if not entering[node]]
    while ready:
        node = ready.pop()
        for target in after[node]:
            depth[target] = max(depth[target], depth[node] + 1)
            entering[target] -= 1
            if not entering[target]:
                ready.append(target)
    return depth


def _bend(
    count: int, edges: Sequence[Link], back: frozenset[int], depth: list[int]
) -> tuple[list[tuple[int, ...]], list[int]]:
    """Paths of the edges through every layer between, and the layer of every vertex, bends included."""
    height = list(depth)
    paths: list[tuple[int, ...]] = []
    for index, (source, target) in enumerate(edges):
        if index in back:
            paths.append(())
            continue
        bends = range(len(height), len(height) + depth[target] - depth[source] - 1)
        height += range(depth[source] + 1, depth[target])
        paths.append((source, *bends, target))
    return paths, height


def _first_order(
    count: int, leaving: Sequence[Sequence[int]], paths: Sequence[tuple[int, ...]], depth: list[int], height: list[int]
) -> list[list[int]]:
    """Each layer in the order in which a walk in port order meets its vertices."""
    order: list[list[int]] = [[] for _ in range(max(height, default=-1) + 1)]
    seen: set[int] = set()
    for root in sorted(range(count), key=lambda node: depth[node]):
        stack = [root]
        while stack:
            vertex = stack.pop()
            if vertex in seen:
                continue
            seen.add(vertex)
            order[height[vertex]].append(vertex)
            if vertex < count:
                for index in reversed(leaving[vertex]):
                    stack += reversed(paths[index][1:])
    return order


def _uncross(
    order: list[list[int]], paths: Sequence[tuple[int, ...]], leaving: Sequence[Sequence[int]], edges: Sequence[Link]
) -> tuple[tuple[int, ...], ...]:
    """Fewer crossings by barycenters and neighbor swaps; what is not better leaves the order as it was."""
    ways = _Ways(paths, leaving)
    best, fewest = [list(layer) for layer in order], ways.crossings(order)
    current = [list(layer) for layer in order]
    for sweep in range(SWEEPS if fewest else 0):
        ways.sweep(current, down=sweep % 2 == 0)
        crossings = ways.crossings(current)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in current], crossings
        if not fewest:
            break
    if fewest:
        ways.swap(best)
    return tuple(tuple(layer) for layer in best)


class _Ways:
    """Links between neighboring layers, with the place of their port on the upper vertex (0 to 1)."""

    def __init__(self, paths: Sequence[tuple[int, ...]], leaving: Sequence[Sequence[int]]) -> None:
        self.below: dict[int, list[tuple[float, int]]] = {}
        self.above: dict[int, list[tuple[float, int]]] = {}
        ports = {index: (at + 1) / (len(group) + 1) for group in leaving for at, index in enumerate(group)}
        for index, path in enumerate(paths):
            for at, (upper, lower) in enumerate(itertools.pairwise(path)):
                port = ports[index] if at == 0 else 0.5
                self.below.setdefault(upper, []).append((port, lower))
                self.above.setdefault(lower, []).append((port, upper))

    def crossings(self, order: Sequence[Sequence[int]]) -> int:
        return sum(self._between(upper, lower) for upper, lower in itertools.pairwise(order))

    def _between(self, upper: Sequence[int], lower: Sequence[int]) -> int:
        places = {vertex: at for at, vertex in enumerate(lower)}
        ends = [places[target] for vertex in upper for _, target in sorted(self.below.get(vertex, ()))]
        return _inversions(ends, len(lower))

    def sweep(self, order: list[list[int]], *, down: bool) -> None:
        rows = range(1, len(order)) if down else range(len(order) - 2, -1, -1)
        for row in rows:
            fixed = {vertex: float(at) for at, vertex in enumerate(order[row - 1 if down else row + 1])}
            links = self.above if down else self.below
            centers = {
                vertex: _center(links.get(vertex, ()), fixed, float(at), down=down)
                for at, vertex in enumerate(order[row])
            }
            order[row].sort(key=centers.__getitem__)

    def swap(self, order: list[list[int]]) -> None:
        for _ in range(SWEEPS):
            # Every row has its turn, also after one was changed.
            changed = [self._swap_row(order, row) for row in range(len(order))]
            if not any(changed):
                return

    def _swap_row(self, order: list[list[int]], row: int) -> bool:
        above = {v: at for at, v in enumerate(order[row - 1])} if row else {}
        below = {v: at for at, v in enumerate(order[row + 1])} if row + 1 < len(order) else {}
        changed = False
        for at in range(len(order[row]) - 1):
            left, right = order[row][at], order[row][at + 1]
            if self._pair(left, right, above, below) > self._pair(right, left, above, below):
                order[row][at], order[row][at + 1] = right, left
                changed = True
        return changed

    def _pair(self, left: int, right: int, above: Mapping[int, int], below: Mapping[int, int]) -> int:
        """Crossings between the links of two neighbors standing in this order."""
        up = [[(above[v], port) for port, v in self.above.get(each, ())] for each in (left, right)]
        down = [[below[v] for _, v in self.below.get(each, ())] for each in (left, right)]
        return sum(a > b for a in up[0] for b in up[1]) + sum(a > b for a in down[0] for b in down[1])


def _center(links: Sequence[tuple[float, int]], fixed: Mapping[int, float], own: float, *, down: bool) -> float:
    if not links:
        return own
    return sum(fixed[vertex] + (port if down else 0.5) for port, vertex in links) / len(links)


def _inversions(values: Sequence[int], size: int) -> int:
    """Pairs in the wrong order, by a tree of counts."""
    tree = [0] * (size + 1)
    found = 0
    for seen, value in enumerate(values):
        at, smaller = value + 1, 0
        while at:
            smaller += tree[at]
            at &= at - 1
        found += seen - smaller
        at = value + 1
        while at <= size:
            tree[at] += 1
            at += at & -at
    return found
