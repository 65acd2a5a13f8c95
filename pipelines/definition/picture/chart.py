"""What is drawn: nodes that may hold a chart of their own, and the ways between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["start", "step", "block", "lane", "end", "fail"]
Mark = Literal["", "added", "removed", "changed", "moved"]


@dataclass(frozen=True, slots=True)
class Node:
    """A step, a block of steps, a branch of a block, or a place where runs begin or end."""

    id: str
    kind: Kind
    title: str = ""
    detail: str = ""
    icon: str = ""
    tip: str = ""
    mark: Mark = ""
    inner: "Chart | None" = None


@dataclass(frozen=True, slots=True)
class Edge:
    """A way on. Edges of a node leave it from left to right in the order of the chart."""

    source: str
    target: str
    label: str = ""
    fails: bool = False
    mark: Mark = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """One scope: its nodes in the order of the document and the ways between them."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()

    def every_node(self) -> Iterator[Node]:
        """Nodes of this chart and of all charts inside, outer ones first."""
        for node in self.nodes:
            yield node
            if node.inner is not None:
                yield from node.inner.every_node()
