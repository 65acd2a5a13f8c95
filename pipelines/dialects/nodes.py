"""Nodes and edges: nodes that start, nodes that act, and the lines between them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.dialects.heads import alias_of, head, names_of, ways_in
from pipelines.dialects.naming import Names
from pipelines.dialects.parameters import step_of
from pipelines.dialects.steps import beside, listed, variables_of

_PLAIN = frozenset({"id", "name", "label", "type", "position", "data", "config", "configuration", "kind", "delay"})
_BY_HAND = [{"type": "manual"}]


def from_nodes(document: Mapping[str, Any]) -> dict[str, Any]:
    """`{"metadata", "nodes": [{"id", "type", "name", "code"}], "edges": [{"source", "target"}]}` as ours.

    Nodes of the type `trigger` become ways in, the others steps; the lines say their order.
    """
    nodes: Sequence[Mapping[str, Any]] = document["nodes"]
    starting = [node for node in nodes if node.get("type") == "trigger"]
    acting = _in_order([node for node in nodes if node.get("type") != "trigger"], document, starting)
    whole = {**document, "trigger": [_trigger(node) for node in starting]}
    declared = [str(each["name"]) for each in document.get("variables") or ()]
    names = names_of(whole, steps=acting, alias=alias_of(whole), variables=declared)
    found = head(document, names=names, meta=document.get("metadata") or {})
    variables = variables_of(document, names)
    if variables:
        found["variables"] = variables
    found["triggers"] = ways_in(whole, names=names) or list(_BY_HAND)
    keys = list(names.keys.values())
    found["steps"] = [_step(node, key, names) for node, key in zip(acting, keys, strict=True)]
    edges = [_edge(edge, names) for edge in document.get("edges") or ()]
    known = {str(node.get("id")) for node in starting}
    kept = [edge for edge in edges if edge["from"] not in known and edge["to"] not in known]
    return {**found, "edges": kept} if kept else found


def _trigger(node: Mapping[str, Any]) -> Mapping[str, Any]:
    config = _config(node)
    word = node.get("kind") or config.get("type") or config.get("trigger") or config.get("kind") or "manual"
    return {"type": word, "config": config}


def _config(node: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a node, wherever they stand in it."""
    found = {name: value for name, value in node.items() if name not in _PLAIN}
    for name in ("data", "configuration", "config"):
        if isinstance(node.get(name), Mapping):
            found.update(node[name])
    return found


def _step(node: Mapping[str, Any], key: str, names: Names) -> dict[str, Any]:
    config = _config(node)
    title = node.get("name") or node.get("label") or config.pop("label", None)
    word = str(node.get("kind") or node.get("type") or "action")
    if word == "action" and not isinstance(config.get("action"), str):
        chosen = config.pop("type", None) or config.pop("kind", None)
        word = str(chosen or ("code" if {"code", "source", "script"} & config.keys() else "action"))
    step = step_of(word, config, names=names, inner=lambda inside: listed(inside, names))
    step = {**beside({**node, "name": title}, key, names), **step}
    place = node.get("position")
    if isinstance(place, Mapping) and {"x", "y"} <= place.keys():
        step["position"] = [place["x"], place["y"]]
    return step


def _edge(edge: Mapping[str, Any], names: Names) -> dict[str, str]:
    ends = [str(edge.get(one, edge.get(other, ""))) for one, other in (("source", "from"), ("target", "to"))]
    found = {"from": names.keys.get(ends[0], ends[0]), "to": names.keys.get(ends[1], ends[1])}
    labels = (edge.get(name) for name in ("on", "outcome", "sourceHandle", "label", "condition"))
    label = next((each for each in labels if each not in (None, "", "next")), None)
    if label is None:
        return found
    return {**found, "on": str(label).lower()}


def _in_order(
    nodes: list[Mapping[str, Any]], document: Mapping[str, Any], starting: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The nodes that triggers lead to come first, the others as they stand."""
    heads = {node.get("id") for node in starting}
    first = {
        edge.get("target", edge.get("to"))
        for edge in document.get("edges") or ()
        if edge.get("source", edge.get("from")) in heads
    }
    return sorted(nodes, key=lambda node: node.get("id") not in first)
