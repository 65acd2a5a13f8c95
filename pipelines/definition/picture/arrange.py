"""Puts a chart on paper: every scope is laid out by itself, inner ones first, and becomes a box of the outer one."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .chart import Chart, Edge, Node
from .coordinates import Pull, spread
from .layers import Layering, layered
from .sizes import FULL, Sizes, own_size
from .tracks import Bundle, assign

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A node where it is drawn, left upper corner first; inner ones come after the box around them."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """An edge as a line of right angles from its source to its target; its label stands at `at`."""

    edge: Edge
    points: tuple[Point, ...]
    at: Point
    room: float
    back: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything with its place, in pixels from the left upper corner."""

    width: float
    height: float
    boxes: tuple[Box, ...] = ()
    lines: tuple[Line, ...] = ()


def arrange(chart: Chart, sizes: Sizes = FULL) -> Drawing:
    """The places of a whole chart."""
    drawing = _scope(chart, sizes)
    margin = sizes.margin
    return _moved(drawing, margin, margin, width=drawing.width + 2 * margin, height=drawing.height + 2 * margin)


@dataclass(slots=True)
class _Scope:
    """One scope while it is laid out; vertices are numbers, bends of long edges come after the nodes."""

    chart: Chart
    sizes: Sizes
    inner: dict[int, Drawing] = field(default_factory=dict)
    size: list[tuple[float, float]] = field(default_factory=list)
    links: list[tuple[int, int]] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    ports: list[float] = field(default_factory=list)
    rooms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        number = {node.id: at for at, node in enumerate(self.chart.nodes)}
        # Ports follow the order of the edges of their node.
        self.edges = [edge for edge in self.chart.edges if edge.source in number and edge.target in number]
        self.links = [(number[edge.source], number[edge.target]) for edge in self.edges]
        leaving = [[at for at, link in enumerate(self.links) if link[0] == node] for node in range(len(number))]
        for at, node in enumerate(self.chart.nodes):
            self.size.append(self._size(at, node, len(leaving[at])))
        self.ports, self.rooms = [0.0] * len(self.links), [0.0] * len(self.links)
        for own, group in enumerate(leaving):
            room = min(self.size[own][0] / max(len(group), 1), self.sizes.port * 1.6)
            for place, at in enumerate(group):
                self.ports[at] = (place - (len(group) - 1) / 2) * room
                self.rooms[at] = room if len(group) > 1 else self.size[own][0] / 2

    def _size(self, at: int, node: Node, leaving: int) -> tuple[float, float]:
        width, height = own_size(node, leaving, self.sizes)
        if node.inner is None:
            return width, height
        inside = _scope(node.inner, self.sizes)
        head = self.sizes.lane_head if node.kind == "lane" else self.sizes.head
        width = max(width if node.kind == "block" else width * 0.6, inside.width + 2 * self.sizes.pad)
        self.inner[at] = _moved(inside, (width - inside.width) / 2, head, width=width, height=0)
        return width, head + inside.height + self.sizes.pad

    def width_of(self, vertex: int) -> float:
        return self.size[vertex][0] if vertex < len(self.size) else 0.0


def _scope(chart: Chart, sizes: Sizes) -> Drawing:
    if not chart.nodes:
        return Drawing(sizes.width * 0.6, 0.0)
    scope = _Scope(chart, sizes)
    layering = layered(len(chart.nodes), scope.links)
    x = _columns(scope, layering)
    return _draw(scope, layering, x)


def _columns(scope: _Scope, layering: Layering) -> dict[int, float]:
    """The centers, with the leftmost border at 0."""
    vertices = [vertex for layer in layering.layers for vertex in layer]
    apart = scope.sizes.apart
    count = len(scope.size)
    pulls: list[Pull] = []
    for at, path in enumerate(layering.paths):
        for place, (upper, lower) in enumerate(itertools.pairwise(path)):
            bends = (upper >= count) + (lower >= count)
            pulls.append(Pull(upper, lower, scope.ports[at] if place == 0 else 0.0, (1.0, 2.0, 8.0)[bends]))
    x = spread(
        layering.layers,
        {vertex: scope.width_of(vertex) for vertex in vertices},
        {vertex: apart if vertex < count else apart / 2 for vertex in vertices},
        pulls,
    )
    left = min(x[vertex] - scope.width_of(vertex) / 2 for vertex in vertices)
    return {vertex: round(value - left, 1) for vertex, value in x.items()}


def _draw(scope: _Scope, layering: Layering, x: Mapping[int, float]) -> Drawing:
    row = {vertex: at for at, layer in enumerate(layering.layers) for vertex in layer}
    tracks, pieces, lanes = _gaps(scope, layering, x, row)
    rows = _rows(scope, layering, tracks, row)
    boxes: list[Box] = []
    lines = [_line(scope, at, x, row, pieces[at], rows, lanes.get(at)) for at in range(len(scope.links))]
    for vertex, node in enumerate(scope.chart.nodes):
        width, tall = scope.size[vertex]
        box = Box(node, round(x[vertex] - width / 2, 1), rows.tops[row[vertex]], width, tall)
        boxes.append(box)
        if vertex in scope.inner:
            inside = scope.inner[vertex]
            boxes += [replace(each, x=each.x + box.x, y=each.y + box.y, depth=each.depth + 1) for each in inside.boxes]
            lines += [_shifted(line, box.x, box.y) for line in inside.lines]
    right = max(x[vertex] + scope.width_of(vertex) / 2 for vertex in x)
    width = max([right, *(lane + scope.sizes.track for lane in lanes.values())])
    return Drawing(round(width, 1), rows.height, tuple(boxes), tuple(lines))


Pieces = list[list[tuple[int, Bundle]]]


def _gaps(
    scope: _Scope, layering: Layering, x: Mapping[int, float], row: Mapping[int, int]
) -> tuple[list[int], Pieces, dict[int, float]]:
    """Tracks in the gap above each layer and below the last, the bundles of each edge, and lanes of back edges."""
    bundles: list[dict[object, Bundle]] = [{} for _ in range(len(layering.layers) + 1)]
    pieces: Pieces = [[] for _ in scope.links]
    lanes = _side_lanes(scope, layering, x, row)
    for at, (source, target) in enumerate(scope.links):
        path = layering.paths[at]
        if not path:
            down = bundles[row[source] + 1].setdefault(("side", at), Bundle(side=lanes[at]))
            down.tops.append(x[source] + scope.ports[at])
            up = bundles[row[target]].setdefault(target, Bundle(bottom=x[target]))
            up.tops.append(lanes[at])
            pieces[at] = [(row[source] + 1, down), (row[target], up)]
        for place, (upper, lower) in enumerate(itertools.pairwise(path)):
            bundle = bundles[row[lower]].setdefault(lower, Bundle(bottom=x[lower]))
            bundle.tops.append(x[upper] + (scope.ports[at] if place == 0 else 0.0))
            pieces[at].append((row[lower], bundle))
    return [assign(list(each.values())) for each in bundles], pieces, lanes


def _side_lanes(scope: _Scope, layering: Layering, x: Mapping[int, float], row: Mapping[int, int]) -> dict[int, float]:
    """An x for every back edge, right of all that it passes; short ones nearest, none on another."""
    rights = [max(x[vertex] + scope.width_of(vertex) / 2 for vertex in layer) for layer in layering.layers]
    apart = scope.sizes.track + 3
    spans = {
        at: (row[scope.links[at][1]], row[scope.links[at][0]]) for at, path in enumerate(layering.paths) if not path
    }
    found: dict[int, float] = {}
    for at, (top, bottom) in sorted(spans.items(), key=lambda item: item[1][1] - item[1][0]):
        lane = max(rights[top : bottom + 1]) + apart
        beside = sorted(found[other] for other in found if spans[other][0] <= bottom and spans[other][1] >= top)
        for other in beside:
            lane = max(lane, other + apart) if abs(lane - other) < apart else lane
        found[at] = round(lane, 1)
    return found


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where layers begin and end from above, and where the tracks of each gap lie."""

    tops: tuple[float, ...]
    bottoms: tuple[float, ...]
    first_track: tuple[float, ...]
    height: float
    track: float

    def y_of(self, gap: int, bundle: Bundle) -> float:
        return round(self.first_track[gap] + bundle.track * self.track, 1)


def _rows(scope: _Scope, layering: Layering, tracks: Sequence[int], row: Mapping[int, int]) -> _Rows:
    sizes = scope.sizes
    labelled = {row[source] for (source, _), edge in zip(scope.links, scope.edges, strict=True) if edge.label}
    tops: list[float] = []
    bottoms: list[float] = []
    first: list[float] = []
    y = 0.0
    for at, layer in enumerate(layering.layers):
        y += _fall(sizes, labelled=at - 1 in labelled) if at else 0.0
        first.append(y)
        y += max(tracks[at] - 1, 0) * sizes.track + (sizes.rise if at or tracks[0] else 0.0)
        tops.append(round(y, 1))
        y += max((scope.size[vertex][1] for vertex in layer if vertex < len(scope.size)), default=0.0)
        bottoms.append(y)
    if tracks[-1]:
        y += _fall(sizes, labelled=len(layering.layers) - 1 in labelled)
        first.append(y)
        y += tracks[-1] * sizes.track
    return _Rows(tuple(tops), tuple(bottoms), tuple(first), round(y, 1), sizes.track)


def _fall(sizes: Sizes, *, labelled: bool) -> float:
    """Room below a layer before the first track; labels need some."""
    return max(sizes.fall, sizes.label + 6) if labelled else sizes.fall


def _line(
    scope: _Scope,
    at: int,
    x: Mapping[int, float],
    row: Mapping[int, int],
    pieces: Sequence[tuple[int, Bundle]],
    rows: _Rows,
    lane: float | None,
) -> Line:
    source, target = scope.links[at]
    start: Point = (round(x[source] + scope.ports[at], 1), round(rows.tops[row[source]] + scope.size[source][1], 1))
    points: list[Point] = [start]
    for place, (gap, bundle) in enumerate(pieces):
        if bundle.is_straight:
            # Less than a pixel aside: drawn as one straight line.
            points.append((points[-1][0], rows.tops[gap]))
            continue
        y = rows.y_of(gap, bundle)
        end = lane if lane is not None and place == 0 else bundle.bottom
        points += [(points[-1][0], y), (end if end is not None else points[-1][0], y)]
    points.append((points[-1][0], rows.tops[row[target]]))
    label = (start[0] + 4, start[1] + scope.sizes.label - 2)
    return Line(scope.edges[at], _without_doubles(points), label, scope.rooms[at] - 6, back=lane is not None)


def _without_doubles(points: Sequence[Point]) -> tuple[Point, ...]:
    """No point twice, and none in the middle of a straight piece."""
    kept: list[Point] = []
    for point in points:
        if kept and kept[-1] == point:
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]):
            kept[-1] = point
        else:
            kept.append(point)
    return tuple(kept)


def _moved(drawing: Drawing, dx: float, dy: float, *, width: float, height: float) -> Drawing:
    return Drawing(
        round(width, 1),
        round(height, 1),
        tuple(replace(box, x=round(box.x + dx, 1), y=round(box.y + dy, 1)) for box in drawing.boxes),
        tuple(_shifted(line, dx, dy) for line in drawing.lines),
    )


def _shifted(line: Line, dx: float, dy: float) -> Line:
    points = tuple((round(x + dx, 1), round(y + dy, 1)) for x, y in line.points)
    return replace(line, points=points, at=(round(line.at[0] + dx, 1), round(line.at[1] + dy, 1)))
