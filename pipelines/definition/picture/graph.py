"""From a document to what is drawn: steps, the ways between them in the order of their outcomes, and blocks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..layout import Place, following, places
from .chart import Chart, Edge, Kind, Node
from .words import condition_words, outcome_words, scopes_of, start_words, step_title, wait_words

START: Final = "^start"
_LAST: Final = ("timeout", "error", "skipped")


def chart_of(document: Mapping[str, Any], *, labels: Mapping[str, str]) -> Chart:
    """The chart of a whole document; `labels` names the actions by their code."""
    given = _given_edges(document)
    chart = _scope(places(document), labels, given, numbered=True)
    said = start_words(document)
    if not said or not chart.nodes:
        return chart
    entry = Node(START, "start", said)
    into = [Edge(START, key) for key in _firsts(chart, in_order=given is None)]
    return Chart((entry, *chart.nodes), (*into, *chart.edges))


def _firsts(chart: Chart, *, in_order: bool) -> list[str]:
    """Where runs begin: the first step, or with given edges every step that none leads to."""
    steps = [node.id for node in chart.nodes if node.kind in ("step", "block")]
    entered = {edge.target for edge in chart.edges}
    return steps[:1] if in_order else [key for key in steps if key not in entered] or steps[:1]


def _given_edges(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]] | None:
    """Ways by source as the document gives them, None when the order of the steps gives them."""
    given = document.get("edges")
    if not isinstance(given, list | tuple) or not given:
        return None
    found: dict[str, list[tuple[str, str]]] = {}
    for edge in given:
        if isinstance(edge, Mapping):
            found.setdefault(str(edge.get("from")), []).append((str(edge.get("on", "next")), str(edge.get("to"))))
    return found


def _scope(
    found: Sequence[Place],
    labels: Mapping[str, str],
    given: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    *,
    numbered: bool = False,
    nested: bool = False,
) -> Chart:
    nodes = [_node(place, row if numbered else 0, labels) for row, place in enumerate(found, start=1)]
    keys = {place.key for place in found}
    edges: list[Edge] = []
    ends: list[Node] = []
    for row, place in enumerate(found):
        ways = list(given.get(place.key, [("next", "end")]) if given is not None else _ways(found, row))
        for target, label in _labelled(ways):
            if target in keys:
                edges.append(Edge(place.key, target, label, fails=False))
            elif target == "fail" or not (nested and target == "end" and len(ways) == 1):
                end = _end(place.key, target)
                ends.append(end)
                edges.append(Edge(place.key, end.id, label, fails=end.kind == "fail"))
    return Chart((*nodes, *ends), tuple(edges))


def _end(key: str, target: str) -> Node:
    kind: Kind = "fail" if target == "fail" else "end"
    title = "" if target in ("end", "fail") else target
    return Node(f"{key}>{target}", kind, title)


def _node(place: Place, number: int, labels: Mapping[str, str]) -> Node:
    step = place.step
    title, wait = step_title(step, labels), wait_words(step)
    kind = str(step.get("type") or "")
    label = str(labels.get(kind) or kind.replace("_", " "))
    guard = condition_words(step["if"]) if step.get("if") is not None and kind != "condition" else ""
    inner = _inner(place, labels)
    detail = _block_words(step) if inner is not None else (wait or (label if title != label else ""))
    tip = " · ".join(part for part in (title, wait, f"only if {guard}" if guard else "") if part)
    shown = f"{number}. {title}" if number else title
    return Node(place.key, "step" if inner is None else "block", shown, detail, kind, tip, inner=inner)


def _inner(place: Place, labels: Mapping[str, str]) -> Chart | None:
    scopes = scopes_of(place)
    if place.step.get("type") == "loop" and scopes:
        return _again(_scope(scopes[0][1], labels, nested=True))
    return _branches(place, scopes, labels) if scopes else None


def _branches(place: Place, scopes: Sequence[tuple[str, list[Place]]], labels: Mapping[str, str]) -> Chart:
    """One lane for each branch; a branch that comes after others stands below them."""
    lanes, edges = [], []
    given = [each for each in place.step["with"]["branches"] if isinstance(each, Mapping)]
    for branch, (name, steps) in zip(given, scopes, strict=True):
        guard = f"if {condition_words(branch['if'])}" if branch.get("if") is not None else ""
        inner = _scope(steps, labels, nested=True)
        lanes.append(Node(f"{place.key}.{name}", "lane", name, guard, inner=inner))
        for before in _texts(branch.get("after")):
            source, _, outcome = before.partition(":")
            edges.append(Edge(f"{place.key}.{source}", f"{place.key}.{name}", outcome_words(outcome)))
    known = {lane.id for lane in lanes}
    return Chart(tuple(lanes), tuple(edge for edge in edges if edge.source in known))


def _again(body: Chart) -> Chart:
    """A loop leads from where its body ends back to its first step."""
    steps = [node for node in body.nodes if node.kind in ("step", "block")]
    leaving = {edge.source for edge in body.edges}
    back = [Edge(node.id, steps[0].id, "again") for node in steps if node.id not in leaving]
    return Chart(body.nodes, (*body.edges, *back))


def _block_words(step: Mapping[str, Any]) -> str:
    parameters = step["with"] if isinstance(step.get("with"), Mapping) else {}
    wait = wait_words(step)
    if step.get("type") == "parallel":
        join = parameters.get("join", "all")
        said = {"all": "until all are done", "any": "until one is done"}.get(join if isinstance(join, str) else "")
        said = said or (f"until {join} are done" if isinstance(join, int) else "until its condition is met")
    elif "over" in parameters:
        said = f"for each {parameters.get('as') or 'item'} of {condition_words(parameters['over'])}"
    elif "times" in parameters:
        said = f"{parameters['times']} times"
    else:
        word = "until" if "until" in parameters else "while"
        said = f"{word} {condition_words(parameters.get(word, ''))}"
    return " · ".join(part for part in (wait, said) if part)


def _ways(found: Sequence[Place], row: int) -> Iterator[tuple[str, str]]:
    """Outcomes of a step in the order they are drawn from left to right, each with its target."""
    step = found[row].step
    if step.get("type") == "end":
        yield "next", "end"
        return
    after = following(found, row)
    given = step.get("on")
    on: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    target = step.get("next")
    default = str(target) if isinstance(target, str) and target != "next" else after
    for outcome in _outcomes(step, on):
        wanted = on.get(outcome)
        yield outcome, default if not isinstance(wanted, str) or wanted == "next" else wanted


def _outcomes(step: Mapping[str, Any], on: Mapping[str, Any]) -> list[str]:
    given = step.get("with")
    parameters = given if isinstance(given, Mapping) else {}
    match step.get("type"):
        case "condition":
            own = ["true", "false"]
        case "switch":
            own = [*_names(parameters.get("cases"), "name"), "default"]
        case "split":
            own = _names(parameters.get("variants"), "name")
        case "wait_for":
            own = _names(parameters.get("events"), "name", "event")
            own += ["met"] if "if" in parameters or "condition" in parameters else []
        case "human_task":
            own = _texts(parameters.get("outcomes"))
        case _:
            own = []
    own = own or ["next"]
    rest = [name for name in on if name not in own]
    return [*own, *sorted(rest, key=lambda name: (name in _LAST, _LAST.index(name) if name in _LAST else 0))]


def _labelled(ways: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """One edge for each target; where every ordinary outcome leads the same way, none needs a name."""
    grouped: dict[str, list[str]] = {}
    for outcome, target in ways:
        grouped.setdefault(target, []).append(outcome)
    ordinary = {target for target, names in grouped.items() if set(names) - set(_LAST)}
    for target, names in grouped.items():
        shown = [] if ordinary == {target} else names
        yield target, " / ".join(filter(None, map(outcome_words, shown)))


def _names(items: Any, *keys: str) -> list[str]:
    found = []
    for item in items if isinstance(items, list | tuple) else ():
        if isinstance(item, Mapping):
            found += [str(item[key]) for key in keys if item.get(key)][:1]
        elif isinstance(item, str):
            found.append(item)
    return list(dict.fromkeys(found))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(each) for each in value] if isinstance(value, list | tuple) else []
