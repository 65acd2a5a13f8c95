"""A picture of a pipeline: steps in a column, jumps beside them, as one SVG without scripts or styles."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from pipelines.definition.delays import DelayError, parse_delay
from pipelines.definition.layout import Place, following, places

WIDTH: Final = 236
HEIGHT: Final = 46
GAP: Final = 40
LANE: Final = 26
MARGIN: Final = 12
LONGEST_TITLE: Final = 30
WORDS: Final = {"true": "yes", "false": "no", "next": ""}


@dataclass(frozen=True, slots=True)
class Node:
    """A step as drawn."""

    key: str
    title: str
    detail: str
    row: int
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one step to another, to the end or to failure."""

    source: int
    target: int | None  # None is the end of the run
    label: str
    fails: bool = False


def draw(document: Mapping[str, Any], *, labels: Mapping[str, str], counts: Mapping[str, int] | None = None) -> str:
    """The SVG of a document; `labels` names the actions, `counts` the runs standing at each step key."""
    found = places(document)
    nodes = [_node(place, row, labels, (counts or {}).get(place.key, 0)) for row, place in enumerate(found)]
    edges = list(_edges(found))
    straight = {edge.source for edge in edges if edge.target is not None and not _jumps(edge)}
    lanes = _lanes([edge for edge in edges if _jumps(edge)])
    width = MARGIN * 2 + WIDTH + LANE * (max(lanes.values(), default=-1) + 2)
    height = MARGIN * 2 + max(len(nodes), 1) * (HEIGHT + GAP)
    parts = [
        f'<svg class="pl-picture" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="group"'
        f' xmlns="http://www.w3.org/2000/svg" aria-label="{escape(describe(document, labels=labels))}">',
        _arrowheads(),
        *(_draw_edge(edge, lanes.get(edge), aside=edge.source in straight) for edge in edges),
        *(_draw_node(node) for node in nodes),
        "</svg>",
    ]
    return "".join(parts)


def describe(document: Mapping[str, Any], *, labels: Mapping[str, str]) -> str:
    """The steps in words, for those who do not see the picture."""
    found = places(document)
    if not found:
        return "No steps yet."
    return " ".join(f"{row + 1}. {_title(place, labels)} ({_wait(place)})." for row, place in enumerate(found))


def _node(place: Place, row: int, labels: Mapping[str, str], waiting: int) -> Node:
    return Node(place.key, f"{row + 1}. {_title(place, labels)}", _wait(place), row, waiting)


def _title(place: Place, labels: Mapping[str, str]) -> str:
    kind = str(place.step.get("type") or "")
    return str(place.step.get("name") or labels.get(kind) or kind or "step")


def _wait(place: Place) -> str:
    try:
        return parse_delay(place.step.get("delay")).describe()
    except (DelayError, ValueError):
        return "unreadable delay"


def _edges(found: Sequence[Place]) -> Iterable[Edge]:
    rows = {place.key: row for row, place in enumerate(found)}
    for row in range(len(found)):
        grouped: dict[str, list[str]] = {}
        for outcome, target in _ways(found, row):
            grouped.setdefault(target, []).append(WORDS.get(outcome, outcome.replace("_", " ")))
        for target, words in grouped.items():
            label = "" if set(words) >= {"yes", "no"} else " / ".join(filter(None, words))
            if target in rows:
                yield Edge(row, rows[target], label)
            elif target in ("end", "fail"):
                yield Edge(row, None, label or target, fails=target == "fail")


def _ways(found: Sequence[Place], row: int) -> Iterable[tuple[str, str]]:
    step = found[row].step
    if step.get("type") == "end":
        yield "next", "end"
        return
    following_key = following(found, row)
    target = step.get("next") if isinstance(step.get("next"), str) else "next"
    default = following_key if target == "next" else str(target)
    on = step.get("on") if isinstance(step.get("on"), Mapping) else {}
    outcomes = ["true", "false"] if step.get("type") == "condition" else ["next"]
    extra = [name for name in on or () if name not in outcomes]
    for outcome in (*outcomes, *extra):
        wanted = (on or {}).get(outcome)
        yield outcome, default if wanted in (None, "next") or not isinstance(wanted, str) else wanted


def _jumps(edge: Edge) -> bool:
    return edge.target is not None and edge.target != edge.source + 1


def _lanes(edges: Sequence[Edge]) -> dict[Edge, int]:
    """Give each jump a lane of its own among those it overlaps, the short ones nearest."""
    taken: list[list[tuple[int, int]]] = []
    lanes: dict[Edge, int] = {}
    for edge in sorted(edges, key=lambda each: abs((each.target or 0) - each.source)):
        low, high = sorted((edge.source, edge.target or 0))
        lane = next((i for i, used in enumerate(taken) if all(high <= a or low >= b for a, b in used)), len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((low, high))
        lanes[edge] = lane
    return lanes


def _top(row: int) -> int:
    return MARGIN + row * (HEIGHT + GAP)


def _draw_edge(edge: Edge, lane: int | None, *, aside: bool) -> str:
    middle = MARGIN + WIDTH // 2
    bottom = _top(edge.source) + HEIGHT
    style = "pl-edge pl-edge-fail" if edge.fails else "pl-edge"
    if edge.target is None:
        # An end beside a way down stands to its left.
        middle = MARGIN + WIDTH // 8 if aside else middle
        label = _label(middle + 10, bottom + 24, edge.label)
        dot = f'<circle class="pl-end{" pl-end-fail" if edge.fails else ""}" cx="{middle}" cy="{bottom + 20}" r="5"/>'
        return f'<path class="{style}" d="M{middle} {bottom}v14"/>{dot}{label}'
    if lane is None:
        path = f"M{middle} {bottom}v{GAP - 3}"
        return f'<path class="{style}" d="{path}" marker-end="url(#pl-arrow)"/>' + _label(
            middle + 8, bottom + 23, edge.label
        )
    right = MARGIN + WIDTH
    x = right + LANE * (lane + 1)
    start, end = _top(edge.source) + HEIGHT * 2 // 3, _top(edge.target) + HEIGHT // 3
    turn = 6 if end > start else -6
    path = f"M{right} {start}H{x - 6}Q{x} {start} {x} {start + turn}V{end - turn}Q{x} {end} {x - 6} {end}H{right + 3}"
    return f'<path class="{style}" d="{path}" marker-end="url(#pl-arrow)"/>' + _label(right + 4, start - 4, edge.label)


def _label(x: int, y: int, text: str) -> str:
    return f'<text class="pl-edge-label" x="{x}" y="{y}">{escape(text)}</text>' if text else ""


def _draw_node(node: Node) -> str:
    top = _top(node.row)
    title = node.title if len(node.title) <= LONGEST_TITLE else f"{node.title[: LONGEST_TITLE - 1]}…"
    badge = ""
    if node.waiting:
        x = MARGIN + WIDTH - 8
        badge = f'<text class="pl-node-count" x="{x}" y="{top + 28}" text-anchor="end">{node.waiting}</text>'
    return (
        f'<a href="#step-{escape(node.key)}"><g class="pl-node"><title>{escape(node.title)}</title>'
        f'<rect x="{MARGIN}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="pl-node-title" x="{MARGIN + 14}" y="{top + 20}">{escape(title)}</text>'
        f'<text class="pl-node-detail" x="{MARGIN + 14}" y="{top + 36}">{escape(node.detail[:44])}</text>'
        f"{badge}</g></a>"
    )


def _arrowheads() -> str:
    return (
        '<defs><marker id="pl-arrow" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto-start-reverse"><path class="pl-arrow" d="M0 0L8 4L0 8z"/></marker></defs>'
    )
