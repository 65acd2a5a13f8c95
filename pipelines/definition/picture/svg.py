"""The drawing as SVG: with its own style for a file, or with classes alone for a page that has the style sheet."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final, Literal

from .arrange import Box, Drawing, Line, Point
from .icons import icon_path
from .sizes import BOLD, FULL, PLAIN, SMALL, Sizes, shortened, text_width

Theme = Literal["auto", "light", "dark"]
State = Literal["done", "now", "failed", "skipped"]
_RADIUS: Final = 6.0


@dataclass(frozen=True, slots=True)
class Look:
    """What is shown on top of the drawing.

    `counts` are runs by step; `states` how a run fared at each step; `taken` the ways it went, as pairs of step
    and next step, "end" or "fail". `links` is the start of an address, such as "#step-", to which keys are added.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[str, State] = field(default_factory=dict)
    taken: Collection[tuple[str, str]] = ()
    links: str = ""


def picture(
    drawing: Drawing, *, title: str, words: str, look: Look | None = None, style: str = "", theme: Theme = "auto"
) -> str:
    """A picture of steps; with a `style` it stands alone as a file, in the theme asked for."""
    body = _body(drawing, look or Look(), FULL)
    return _document(drawing, title, words, body, style=style, classes=f"pp pp-{theme}" if style else "pp pp-page")


def thumbnail(drawing: Drawing, *, title: str, style: str = "", theme: Theme = "auto") -> str:
    """Shapes alone, for a list; draw what was arranged with the small sizes."""
    body = _body(drawing, Look(), SMALL)
    classes = f"pp pp-small pp-{theme}" if style else "pp pp-small pp-page"
    return _document(drawing, title, "", body, style=style, classes=classes)


def _document(drawing: Drawing, title: str, words: str, body: Iterable[str], *, style: str, classes: str) -> str:
    width, height = _number(drawing.width), _number(drawing.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{classes}" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="{"group" if words else "img"}" aria-label="{_text(title)}">',
        f"<title>{_text(title)}</title>" if style else "",
        f"<desc>{_text(words)}</desc>" if words else "",
        f"<style>{style}</style>" if style else "",
        f'<rect class="pp-paper" width="{width}" height="{height}"/>' if style else "",
        *body,
        "</svg>",
    ]
    return "".join(parts)


def _body(drawing: Drawing, look: Look, sizes: Sizes) -> Iterable[str]:
    boxes = sorted(drawing.boxes, key=lambda box: box.depth)
    yield from (_frame(box, look, sizes) for box in boxes if box.node.inner is not None)
    # Ways that were taken lie above the others.
    lines = sorted(drawing.lines, key=lambda line: _is_taken(line, look))
    yield from (_way(line, look, sizes) for line in lines)
    yield from (_node(box, look, sizes) for box in boxes if box.node.inner is None)
    if sizes.texts:
        yield from (_label(line, look) for line in lines if line.edge.label)


def _is_taken(line: Line, look: Look) -> bool:
    return (line.edge.source, line.edge.target.rpartition(">")[2]) in look.taken


def _way(line: Line, look: Look, sizes: Sizes) -> str:
    classes = ["pp-way", f"pp-{line.edge.mark}" if line.edge.mark else "", "pp-fails" if line.edge.fails else ""]
    classes.append("pp-taken" if _is_taken(line, look) else "pp-untaken" if look.taken or look.states else "")
    path = f'<path d="{_rounded(line.points, _RADIUS if sizes.texts else 2.0)}"/>'
    x, y = line.points[-1]
    size = 4.0 if sizes.texts else 1.5
    head = f"M{_number(x - size)} {_number(y - size * 1.8)}h{_number(size * 2)}L{_number(x)} {_number(y)}z"
    arrow = f'<path class="pp-head" d="{head}"/>' if sizes.texts else ""
    return f'<g class="{" ".join(filter(None, classes))}">{path}{arrow}</g>'


def _rounded(points: tuple[Point, ...], radius: float) -> str:
    parts = [f"M{_number(points[0][0])} {_number(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        turn = min(radius, _distance(before, corner) / 2, _distance(corner, after) / 2)
        enter, leave = _toward(corner, before, turn), _toward(corner, after, turn)
        parts.append(
            f"L{_number(enter[0])} {_number(enter[1])}"
            f"Q{_number(corner[0])} {_number(corner[1])} {_number(leave[0])} {_number(leave[1])}"
        )
    parts.append(f"L{_number(points[-1][0])} {_number(points[-1][1])}")
    return "".join(parts)


def _distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _toward(start: Point, end: Point, length: float) -> Point:
    whole = _distance(start, end) or 1.0
    return start[0] + (end[0] - start[0]) * length / whole, start[1] + (end[1] - start[1]) * length / whole


def _label(line: Line, look: Look) -> str:
    x, y = line.at
    dim = " pp-untaken" if (look.taken or look.states) and not _is_taken(line, look) else ""
    text = _text(shortened(line.edge.label, max(line.room, 20), PLAIN))
    return f'<text class="pp-label{dim}" x="{_number(x)}" y="{_number(y)}">{text}</text>'


def _frame(box: Box, look: Look, sizes: Sizes) -> str:
    node = box.node
    shape = _rect(box, 10 if node.kind == "block" else 8)
    if not sizes.texts:
        return f'<g class="{_classes(box, look)}">{shape}</g>'
    inside = [f"<title>{_text(node.tip or node.title)}</title>", shape]
    if node.kind == "lane":
        text = shortened(f"{node.title} {node.detail}".strip(), box.width - 20, PLAIN)
        inside.append(
            f'<text class="pp-detail" x="{_number(box.x + 10)}" y="{_number(box.y + 18)}">{_text(text)}</text>'
        )
    else:
        inside += _texts(box, look)
    return _linked(f'<g class="{_classes(box, look)}">{"".join(inside)}</g>', box, look)


def _node(box: Box, look: Look, sizes: Sizes) -> str:
    node = box.node
    middle = (box.x + box.width / 2, box.y + box.height / 2)
    if node.kind in ("end", "fail"):
        taken = any(f"{source}>{target}" == node.id for source, target in look.taken)
        dim = "" if taken or not (look.taken or look.states) else " pp-untaken"
        radius = _number(box.width / 2 - 1)
        circle = f'<circle cx="{_number(middle[0])}" cy="{_number(middle[1])}" r="{radius}"/>'
        return f'<g class="pp-{node.kind}{dim}"><title>{"fails" if node.kind == "fail" else "end"}</title>{circle}</g>'
    if node.kind == "start":
        text = _text(shortened(node.title, box.width - 24, PLAIN))
        said = f'<text x="{_number(middle[0])}" y="{_number(middle[1] + 4)}">{text}</text>' if sizes.texts else ""
        return f'<g class="pp-start"><title>{_text(node.title)}</title>{_rect(box, box.height / 2)}{said}</g>'
    if not sizes.texts:
        return f'<g class="{_classes(box, look)}">{_rect(box, 2)}</g>'
    inside = [f"<title>{_text(node.tip or node.title)}</title>", _rect(box, 8), *_texts(box, look)]
    return _linked(f'<g class="{_classes(box, look)}">{"".join(inside)}</g>', box, look)


def _texts(box: Box, look: Look) -> Iterable[str]:
    node = box.node
    x, y = box.x, box.y + (0 if node.detail else 8)
    count = look.counts.get(node.id, 0)
    badge = f"{count:,}" if count else ""
    taken = text_width(badge, BOLD) + 22 if badge else 8
    room = box.width - 40 - taken
    yield (
        f'<svg class="pp-icon" x="{_number(x + 11)}" y="{_number(box.y + 15)}" width="18" height="18"'
        f' viewBox="0 0 24 24"><path d="{icon_path(node.icon)}"/></svg>'
    )
    title = _text(shortened(node.title, room, BOLD))
    yield f'<text class="pp-title" x="{_number(x + 38)}" y="{_number(y + 21)}">{title}</text>'
    if node.detail:
        detail = _text(shortened(node.detail, room, PLAIN))
        yield f'<text class="pp-detail" x="{_number(x + 38)}" y="{_number(y + 37)}">{detail}</text>'
    if badge:
        wide = text_width(badge, BOLD) + 14
        left = box.x + box.width - wide - 8
        yield (
            f'<g class="pp-count"><title>{badge} here now</title>'
            f'<rect x="{_number(left)}" y="{_number(box.y + 14)}" width="{_number(wide)}" height="20" rx="10"/>'
            f'<text x="{_number(left + wide / 2)}" y="{_number(box.y + 28)}">{badge}</text></g>'
        )


def _linked(content: str, box: Box, look: Look) -> str:
    if not look.links or box.node.kind == "lane":
        return content
    return f'<a href="{escape(look.links + box.node.id)}">{content}</a>'


def _classes(box: Box, look: Look) -> str:
    node = box.node
    state = look.states.get(node.id, "")
    dim = "pp-untaken" if (look.states or look.taken) and not state and node.kind != "lane" else ""
    names = (f"pp-{node.kind}", f"pp-{node.mark}" if node.mark else "", f"pp-{state}" if state else dim)
    return " ".join(filter(None, names))


def _rect(box: Box, radius: float) -> str:
    return (
        f'<rect x="{_number(box.x)}" y="{_number(box.y)}" width="{_number(box.width)}"'
        f' height="{_number(box.height)}" rx="{_number(radius)}"/>'
    )


def _number(value: float) -> str:
    """As short as it can be written with one decimal, the same everywhere."""
    return f"{value:.1f}".removesuffix(".0")


def _text(value: str) -> str:
    """Fit for XML: escaped, without characters that it does not allow."""
    kept = "".join(
        each
        for each in value
        if (each >= " " and not "\ud800" <= each <= "\udfff" and each < "\ufffe") or each > "\uffff"
    )
    return escape(kept)
