"""Definitions in the spellings of other products, told as documents of this one.

Four are known: a list of steps with `config`, a list of actions with delays, a flow of steps with `nextSteps`, and
nodes with edges. What cannot be told stays as it was written, so that checking the document names it with its place.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pipelines.dialects.actions import from_actions
from pipelines.dialects.flows import from_flow
from pipelines.dialects.nodes import from_nodes
from pipelines.dialects.steps import from_steps

__all__ = ["translated"]

_Translate = Callable[[Mapping[str, Any]], dict[str, Any]]
_TRANSLATIONS: Final[Mapping[str, _Translate]] = {
    "nodes": from_nodes, "actions": from_actions, "flow": from_flow, "steps": from_steps,
}  # fmt: skip
# What only steps of other products have.
_OF_A_FLOW: Final = frozenset({"nextSteps", "configuration", "errorHandling"})

# Beyond these it is no definition that anybody wrote, and the check says what is wrong with it.
_MOST_VALUES: Final = 100_000
_DEEPEST: Final = 100


def translated(document: Any) -> Any:
    """The document in our own format; anything that is in none of the four spellings as it came.

    Raises nothing for what is malformed inside: that is left for the check.
    """
    name = _spelling(document)
    if name is None or not _is_sensible(document):
        return document
    try:
        return _TRANSLATIONS[name](document)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return document


def _spelling(document: Any) -> str | None:
    """Which of the four it is; None for our own and for what is none of them."""
    if not isinstance(document, Mapping) or "format" in document:
        return None
    for name in ("nodes", "actions"):
        if isinstance(document.get(name), list) and "steps" not in document:
            return name
    steps = document.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        return None
    if any(_OF_A_FLOW & step.keys() for step in steps):
        return "flow"
    return "steps" if "trigger" in document or any("config" in step for step in steps) else None


def _is_sensible(document: Any) -> bool:
    """Whether it holds no more values, and no deeper ones, than people write."""
    values, waiting = 0, [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        inside = list(value.values()) if isinstance(value, Mapping) else value
        values += len(inside)
        if values > _MOST_VALUES or depth > _DEEPEST:
            return False
        waiting += [(each, depth + 1) for each in inside if isinstance(each, Mapping | list)]
    return True
