"""Nodes and edges: the graph that the edges of a document draw over its top-level steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .dominance import reverse_postorder
from .flow import KindSpec, possible_outcomes, reachable
from .layout import Path, Place, places

END = "end"
FAIL = "fail"
DEFAULT = "next"
START = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a step: for which outcome, where to, and where the document says so.

    The outcome `next` stands for every outcome that has no edge of its own, errors excepted.
    """

    source: str
    outcome: str
    target: str
    at: Path


@dataclass(frozen=True, slots=True)
class Graph:
    """The steps in the order of the document, and their ways by outcome.

    `loose` are the steps that may end with an outcome for which there is no way: there, a path ends.
    """

    steps: Mapping[str, Mapping[str, Any]]
    edges: tuple[Edge, ...]
    ways: Mapping[str, Mapping[str, tuple[str, ...]]]
    loose: frozenset[str]
    starts: tuple[str, ...]

    @property
    def successors(self) -> dict[str, frozenset[str]]:
        """For each step the steps that its edges lead to."""
        return {key: frozenset(self.targets(key)) for key in self.steps}

    def targets(self, key: str) -> list[str]:
        """The steps that the edges of a step lead to, in their order."""
        found = [target for targets in self.ways[key].values() for target in targets]
        return [target for target in dict.fromkeys(found) if target in self.steps]

    def ends(self, key: str) -> bool:
        """Whether a path may end at a step."""
        ways = self.ways[key].values()
        return key in self.loose or any(END in targets for targets in ways) or not self.targets(key)

    def forks(self) -> Iterator[tuple[str, str]]:
        """Each step and outcome from which several ways lead on at once."""
        for key, ways in self.ways.items():
            yield from ((key, outcome) for outcome, targets in ways.items() if len(targets) > 1)

    def reached(self) -> frozenset[str]:
        """The steps that a run may come to."""
        return frozenset[str]().union(*(reachable(self.successors, start) for start in self.starts))

    def circles(self) -> list[Edge]:
        """The edges that lead back to a step from which they can be reached, one per circle at least."""
        order = reverse_postorder(START, {**self.successors, START: self.starts})
        place = {key: number for number, key in enumerate(order)}
        return [edge for edge in self.edges if self._leads_back(edge, place)]

    def _leads_back(self, edge: Edge, place: Mapping[str, int]) -> bool:
        if edge.target not in place or edge.source not in place or place[edge.target] > place[edge.source]:
            return False
        return edge.source in reachable(self.successors, edge.target)


def graph_of(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> Graph:
    """The graph of a document with edges; edges to nowhere are left out."""
    found = places(document)
    steps = {place.key: place.step for place in found}
    edges = tuple(edge for edge in edges_of(document) if edge.source in steps)
    ways = {key: _ways(key, edges, steps) for key in steps}
    loose = frozenset(key for key, step in steps.items() if _is_loose(step, ways[key], kinds))
    return Graph(steps, edges, ways, loose, _starts(steps, ways))


def edges_of(document: Mapping[str, Any]) -> Iterator[Edge]:
    """The edges of a document, and what its top-level steps say by `on`."""
    for index, edge in enumerate(document.get("edges") or ()):
        yield Edge(edge["from"], edge.get("on", DEFAULT), edge["to"], ("edges", index))
    for place in places(document):
        yield from _said_by(place)


def _said_by(place: Place) -> Iterator[Edge]:
    for outcome, target in (place.step.get("on") or {}).items():
        if target != DEFAULT:
            yield Edge(place.key, outcome, target, (*place.at, "on", outcome))


def _ways(key: str, edges: tuple[Edge, ...], steps: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    ways: dict[str, list[str]] = {}
    for edge in edges:
        known = edge.target in steps or edge.target in (END, FAIL)
        if edge.source == key and known and edge.target not in ways.setdefault(edge.outcome, []):
            ways[edge.outcome].append(edge.target)
    return {outcome: _without_ends(targets) for outcome, targets in ways.items() if targets}


def _without_ends(targets: list[str]) -> tuple[str, ...]:
    """A way that ends beside others that go on says nothing."""
    going_on = tuple(target for target in targets if target not in (END, FAIL))
    return going_on or (targets[0],)


def _is_loose(step: Mapping[str, Any], ways: Mapping[str, Any], kinds: Mapping[str, KindSpec]) -> bool:
    if DEFAULT in ways:
        return False
    return bool(possible_outcomes(step, kinds.get(str(step.get("type")))) - {"error"} - set(ways))


def _starts(steps: Mapping[str, Any], ways: Mapping[str, Mapping[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """The steps that nothing leads to and that lead somewhere, else the first."""
    entered = {target for each in ways.values() for targets in each.values() for target in targets}
    found = tuple(key for key in steps if key not in entered and any(steps.keys() & set(t) for t in ways[key].values()))
    return found or (next(iter(steps)),)
