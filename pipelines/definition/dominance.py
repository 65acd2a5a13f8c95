"""Which nodes of a graph every way passes: dominators, nearest first, and what lies between two nodes."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def reverse_postorder(start: Node, successors: Mapping[Node, Collection[Node]]) -> list[Node]:
    """The nodes that can be reached, each before those it leads to, wherever there is no circle."""
    order: list[Node] = []
    seen = {start}
    stack = [(start, iter(list(successors.get(start, ()))[::-1]))]
    while stack:
        node, rest = stack[-1]
        following = next((each for each in rest if each not in seen), None)
        if following is None:
            order.append(node)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(list(successors.get(following, ()))[::-1])))
    return order[::-1]


def immediate_dominators(start: Node, successors: Mapping[Node, Collection[Node]]) -> dict[Node, Node]:
    """For each reachable node but the first, the nearest node that every way to it passes.

    The algorithm of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
    """
    order = reverse_postorder(start, successors)
    place = {node: number for number, node in enumerate(order)}
    before = reversed_edges(order, successors)
    found: dict[Node, Node] = {start: start}
    changed = True
    while changed:
        changed = False
        for node in order[1:]:
            known = [each for each in before[node] if each in found]
            nearest = known[0]
            for other in known[1:]:
                nearest = _common(nearest, other, found, place)
            if found.get(node) != nearest:
                found[node], changed = nearest, True
    del found[start]
    return found


def reversed_edges(nodes: Iterable[Node], successors: Mapping[Node, Collection[Node]]) -> dict[Node, list[Node]]:
    """For each node the nodes that lead to it, among the given ones."""
    before: dict[Node, list[Node]] = {}
    for node in nodes:
        before.setdefault(node, [])
        for target in successors.get(node, ()):
            before.setdefault(target, []).append(node)
    return before


def between(start: Node, stop: Node, successors: Mapping[Node, Collection[Node]]) -> set[Node]:
    """Every node on the ways from one node on, itself and the other one not included."""
    found: set[Node] = set()
    waiting = [each for each in successors.get(start, ()) if each != stop]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(each for each in successors.get(node, ()) if each != stop)
    return found


def _common(one: Node, other: Node, found: Mapping[Node, Node], place: Mapping[Node, int]) -> Node:
    while one != other:
        while place[one] > place[other]:
            one = found[one]
        while place[other] > place[one]:
            other = found[other]
    return one
