"""Two versions in one chart: what came is marked added, what went removed, the rest as the new one has it."""

from collections.abc import Mapping
from dataclasses import replace

from .chart import Chart, Edge, Mark, Node


def merged(old: Chart, new: Chart, *, marks: Mapping[str, Mark]) -> Chart:
    """The nodes and ways of both; `marks` names steps that changed or moved by their key."""
    before = {node.id: node for node in old.nodes}
    after = {node.id for node in new.nodes}
    nodes = [_joined(before.get(node.id), node, marks) for node in new.nodes]
    nodes += [_marked(node, "removed") for node in old.nodes if node.id not in after]
    return Chart(tuple(nodes), _ways(old, new))


def _joined(old: Node | None, new: Node, marks: Mapping[str, Mark]) -> Node:
    if old is None:
        return _marked(new, "added")
    mark = marks.get(new.id, "")
    if new.inner is None and old.inner is None:
        return replace(new, mark=mark)
    inner = merged(old.inner or Chart(), new.inner or Chart(), marks=marks)
    return replace(new, mark=mark, kind=new.kind if new.inner is not None else old.kind, inner=inner)


def _marked(node: Node, mark: Mark) -> Node:
    """A node and everything inside it."""
    if node.inner is None:
        return replace(node, mark=mark)
    inside = Chart(
        tuple(_marked(each, mark) for each in node.inner.nodes),
        tuple(replace(edge, mark=mark) for edge in node.inner.edges),
    )
    return replace(node, mark=mark, inner=inside)


def _ways(old: Chart, new: Chart) -> tuple[Edge, ...]:
    before = {(edge.source, edge.target): edge for edge in old.edges}
    after = {(edge.source, edge.target) for edge in new.edges}
    found = [edge if (edge.source, edge.target) in before else replace(edge, mark="added") for edge in new.edges]
    gone = [replace(edge, mark="removed") for ends, edge in before.items() if ends not in after]
    return (*found, *gone)
