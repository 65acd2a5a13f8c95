"""Where steps lead: targets, outcomes, steps that nothing leads to, and outputs read too early."""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Any

from .expressions import suggestion
from .flow import KindSpec, allowed_outcomes, reachable, successors
from .graph import graph_of
from .graph_checks import check_edges
from .layout import RESERVED_TARGETS, Path, Place, every_place
from .reading import reads_of
from .shapes import Problem, spoken_path
from .visibility import Visibility

_WAITS_FOR_OTHERS = frozenset({"human_task", "wait_for"})
_OPENS_LISTS = frozenset({"parallel", "loop", "call"})
_Graph = Mapping[str, frozenset[str]]


def check_flow(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    """Targets, outcomes, and steps of each list that nothing leads to."""
    found = every_place(document)
    keys = {place.key for place in found}
    graphs: dict[str, _Graph] = {}
    for scope in dict.fromkeys(place.scope for place in found):
        steps = [place for place in found if place.scope == scope]
        if not scope and document.get("edges"):
            graphs[scope] = yield from _check_edged(document, steps, kinds)
        else:
            graphs[scope] = yield from _check_list(steps, keys, kinds)
    yield from check_order(document, graphs)


def _check_list(
    steps: Sequence[Place], keys: Collection[str], kinds: Mapping[str, KindSpec]
) -> Generator[Problem, None, _Graph]:
    """One list of steps; gives which step leads where."""
    graph = {place.key: successors(steps, i, kinds) for i, place in enumerate(steps)}
    for place in steps:
        yield from _check_targets(place, graph.keys(), keys)
        yield from _check_outcomes(place, kinds, frozenset(place.step.get("on", {})))
    yield from _unreached(steps, reachable(graph, steps[0].key))
    return graph


def _check_edged(
    document: Mapping[str, Any], steps: Sequence[Place], kinds: Mapping[str, KindSpec]
) -> Generator[Problem, None, _Graph]:
    """The top level where edges say the order; gives which step leads where."""
    yield from check_edges(document, kinds=kinds)
    graph = graph_of(document, kinds=kinds)
    for place in steps:
        yield from _check_outcomes(place, kinds, frozenset(graph.ways[place.key]))
    yield from _unreached(steps, graph.reached())
    return graph.successors


def _unreached(steps: Collection[Place], reached: Collection[str]) -> Iterator[Problem]:
    """A warning for each step that no run can come to."""
    for place in steps:
        if place.key not in reached:
            yield Problem(spoken_path(place.at), f"no step leads to '{place.key}'", "warning")


def check_order(document: Mapping[str, Any], graphs: Mapping[str, _Graph]) -> Iterator[Problem]:
    """An output can only be read where it is known: later in its list, or after the block around it."""
    visibility = Visibility(document, graphs)
    for place in every_place(document):
        for path, inside in reads_of(place.step).paths:
            if path[0] == "steps" and len(path) > 1:
                yield from _check_seen(visibility, place, inside, path[1])


def _check_seen(visibility: Visibility, place: Place, inside: Path, source: str) -> Iterator[Problem]:
    at = spoken_path((*place.at, *inside))
    block = visibility.beside(place, inside, source)
    if block is not None:
        message = f"'{source}' runs beside this step, in another branch of '{block}': read its output after the block"
        yield Problem(at, message)
    elif not visibility.is_before(place, inside, source):
        message = f"'{source}' has not run yet when this step reads its output"
        yield Problem(at, message, "warning")


def _check_targets(place: Place, here: Collection[str], anywhere: Collection[str]) -> Iterator[Problem]:
    named: dict[Path, str] = {("next",): place.step.get("next", "next")}
    named |= {("on", outcome): target for outcome, target in place.step.get("on", {}).items()}
    for inside, target in named.items():
        if target in here or target in RESERVED_TARGETS:
            continue
        message = f"there is no step '{target}'{suggestion(target, here)}"
        if target in anywhere:
            message = f"'{target}' is not in the same list of steps: a step leads only to steps of its own branch"
            message += ", loop or top level, or to 'end'"
        yield Problem(spoken_path((*place.at, *inside)), message)


def _check_outcomes(place: Place, kinds: Mapping[str, KindSpec], led: frozenset[str]) -> Iterator[Problem]:
    kind = kinds.get(place.step["type"])
    if kind is None:
        return
    allowed = allowed_outcomes(place.step, kind)
    for outcome in sorted(set(place.step.get("on", {})) - allowed):
        known = ", ".join(sorted(allowed))
        message = f"this step never ends with '{outcome}'; it may end with {known}"
        yield Problem(spoken_path((*place.at, "on", outcome)), message)
    if kind.code in _WAITS_FOR_OTHERS and "timeout" in place.step and "timeout" not in led:
        yield Problem(spoken_path((*place.at, "on")), "say in 'on' where 'timeout' leads")
    elif (kind.code in _WAITS_FOR_OTHERS or kind.code in _OPENS_LISTS) and "timeout" not in place.step:
        yield from _never_late(place)


def _never_late(place: Place) -> Iterator[Problem]:
    """A warning where a step says what follows its timeout, and has none."""
    if "timeout" in place.step.get("on", {}):
        message = "this never happens, for the step has no 'timeout': it waits for as long as it takes"
        yield Problem(spoken_path((*place.at, "on", "timeout")), message, "warning")
