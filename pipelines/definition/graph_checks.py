"""What edges must keep: known ends, outcomes that exist, no circle through a fork, no race for a variable."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from .expressions import suggestion
from .flow import KindSpec, allowed_outcomes, reachable
from .graph import END, FAIL, Edge, Graph, edges_of, graph_of
from .layout import Place, every_place, places
from .naming import kept
from .shapes import Problem, spoken_path
from .structuring import CircleInFork, structured


def check_edges(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    """Every problem of the edges; without one they can be made into lists and blocks."""
    found = places(document)
    here = {place.key: place for place in found}
    anywhere = {place.key for place in every_place(document)}
    problems = [
        *_order_said_twice(found),
        *_repeated(document),
        *(each for edge in edges_of(document) for each in _check_edge(edge, here, anywhere, kinds)),
    ]
    yield from problems
    graph = graph_of(document, kinds=kinds)
    circles = list(_circles(graph))
    yield from circles
    yield from _races(graph)
    if not problems and not circles:
        yield from _unstructured(document, graph, kinds)


def _order_said_twice(found: list[Place]) -> Iterator[Problem]:
    for place in found:
        if place.step.get("next", "next") != "next":
            message = "with edges, an edge says which step comes next: take 'next' out"
            yield Problem(spoken_path((*place.at, "next")), message)


def _repeated(document: Mapping[str, Any]) -> Iterator[Problem]:
    seen: set[tuple[str, str, str]] = set()
    for edge in edges_of(document):
        same = (edge.source, edge.outcome, edge.target)
        if same in seen:
            yield Problem(
                spoken_path(edge.at), f"there is already such an edge from '{edge.source}' to '{edge.target}'"
            )
        seen.add(same)


def _check_edge(
    edge: Edge, here: Mapping[str, Place], anywhere: set[str], kinds: Mapping[str, KindSpec]
) -> Iterator[Problem]:
    from_edge = edge.at[0] == "edges"
    if edge.source not in here:
        yield Problem(spoken_path((*edge.at, "from")), _no_step(edge.source, here, anywhere))
        return
    if edge.target not in here and edge.target not in (END, FAIL):
        message = _no_step(edge.target, here, anywhere)
        if edge.target == "next":
            message = "with edges there is no next step: name the step, or 'end' or 'fail'"
        yield Problem(spoken_path((*edge.at, "to") if from_edge else edge.at), message)
    step = here[edge.source].step
    kind = kinds.get(str(step.get("type")))
    if not from_edge or kind is None:
        return
    allowed = allowed_outcomes(step, kind)
    if edge.outcome not in allowed:
        message = f"'{edge.source}' never ends with '{edge.outcome}'; it may end with {', '.join(sorted(allowed))}"
        yield Problem(spoken_path((*edge.at, "on")), message)


def _no_step(key: str, here: Mapping[str, Place], anywhere: set[str]) -> str:
    if key in anywhere:
        return f"'{key}' is inside a block: edges join steps of the top level"
    return f"there is no step '{key}'{suggestion(key, here)}"


def _circles(graph: Graph) -> Iterator[Problem]:
    """Circles are allowed where one step follows another, but not at or behind a fork."""
    forks = {key for key, _ in graph.forks()} | ({*graph.starts} if len(graph.starts) > 1 else set())
    behind = frozenset[str]().union(*(reachable(graph.successors, key) for key in forks))
    for edge in graph.circles():
        if edge.source in behind:
            message = f"'{edge.source}' leads back to '{edge.target}' in a circle through a fork: use a loop instead"
            yield Problem(spoken_path(edge.at), message)


def _races(graph: Graph) -> Iterator[Problem]:
    """Two steps that may run at the same time must not set the same variable."""
    index = {key: number for number, key in enumerate(graph.steps)}
    successors = graph.successors
    told: set[tuple[str, str]] = set()
    for source, outcome in graph.forks():
        sides = [reachable(successors, target) for target in graph.ways[source][outcome]]
        for one, other in combinations(sides, 2):
            for left in one - other:
                for right in other - one:
                    pair = (left, right) if index[left] < index[right] else (right, left)
                    shared = sorted(kept(graph.steps[left]) & kept(graph.steps[right]))
                    ordered = right in reachable(successors, left) or left in reachable(successors, right)
                    if shared and not ordered and pair not in told:
                        told.add(pair)
                        message = f"'{pair[0]}' and '{pair[1]}' may run at the same time and both set '{shared[0]}'"
                        yield Problem(f"steps[{index[pair[1]]}]", message)


def _unstructured(document: Mapping[str, Any], graph: Graph, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    if "parallel" not in kinds and (any(graph.forks()) or len(graph.starts) > 1):
        yield Problem("edges", "steps cannot run side by side yet: let every outcome lead to one step only")
        return
    try:
        structured(document, kinds=kinds)
    except CircleInFork as error:
        yield Problem("edges", f"{error} in a circle: use a loop instead")
