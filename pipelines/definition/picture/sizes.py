"""How large things are drawn, and how wide a text is."""

import unicodedata
from dataclasses import dataclass
from typing import Final

from .chart import Node


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths in pixels. Without texts only shapes are drawn, as a thumbnail."""

    width: float = 240
    height: float = 48
    port: float = 66
    apart: float = 26
    pill: float = 28
    dot: float = 14
    fall: float = 18
    rise: float = 14
    track: float = 9
    label: float = 14
    pad: float = 14
    head: float = 46
    lane_head: float = 28
    margin: float = 10
    texts: bool = True


FULL: Final = Sizes()
SMALL: Final = Sizes(
    width=20, height=8, port=8, apart=6, pill=6, dot=4, fall=3, rise=3, track=3, label=0, pad=3, head=4, lane_head=2,
    margin=2, texts=False,
)  # fmt: skip
BOLD: Final = 8.1
PLAIN: Final = 6.4


def text_width(text: str, letter: float = PLAIN) -> float:
    """About how wide a text is, letters of `letter` pixels; wide scripts count double."""
    return sum(letter * (1.75 if unicodedata.east_asian_width(each) in "WF" else 1.0) for each in text)


def shortened(text: str, width: float, letter: float = PLAIN) -> str:
    """The text, or as much of it as fits with an ellipsis."""
    if text_width(text, letter) <= width:
        return text
    kept, used = [], letter
    for each in text:
        used += text_width(each, letter)
        if used > width:
            break
        kept.append(each)
    return f"{''.join(kept).rstrip()}…"


def own_size(node: Node, leaving: int, sizes: Sizes) -> tuple[float, float]:
    """Width and height of a node without what is inside it."""
    match node.kind:
        case "start":
            wide = text_width(node.title, PLAIN) + 34 if sizes.texts else sizes.width
            return min(max(wide, sizes.width / 2), sizes.width * 1.4), sizes.pill
        case "end" | "fail":
            return sizes.dot, sizes.dot
        case _:
            return max(sizes.width, leaving * sizes.port), sizes.height
