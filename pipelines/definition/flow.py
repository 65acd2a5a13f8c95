"""Where a step may lead, which steps can be reached, and which names of outcomes exist."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .layout import Place, following

_EVERY_STEP = frozenset({"next", "error", "skipped", "timeout"})


class KindSpec(Protocol):
    """What the language needs to know of an action."""

    @property
    def code(self) -> str:
        """Its name in documents."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of its parameters."""

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes it may end with."""

    @property
    def effects(self) -> bool:
        """Whether it does work outside of the database."""

    @property
    def at_most_once(self) -> bool:
        """Whether that work is left to a person when its answer is lost, unless a step asks otherwise."""

    @property
    def idempotent(self) -> bool:
        """Whether doing that work twice with the same key is the same as doing it once."""


def possible_outcomes(step: Mapping[str, Any], kind: KindSpec | None) -> frozenset[str]:
    """The outcomes a step may end with: those of its action and those its parameters declare."""
    outcomes = set(kind.outcomes) if kind else {"next", "error"}
    parameters = step.get("with")
    parameters = parameters if isinstance(parameters, Mapping) else {}
    declared = _texts(parameters.get("outcomes"))
    if declared:
        outcomes.discard("completed")
    outcomes |= declared
    outcomes |= _names(parameters.get("cases"), "name") | _names(parameters.get("variants"), "name")
    if "holdout" in parameters:
        outcomes.add("holdout")
    outcomes |= _names(parameters.get("events"), "name", "event")
    if "if" in step and step.get("type") != "condition":
        outcomes.add("skipped")
    if "timeout" in step:
        outcomes.add("timeout")
    return frozenset(outcomes)


def allowed_outcomes(step: Mapping[str, Any], kind: KindSpec) -> frozenset[str]:
    """The outcomes that `on` may name."""
    return possible_outcomes(step, kind) | _EVERY_STEP


def successors(steps: Sequence[Place], position: int, kinds: Mapping[str, KindSpec]) -> frozenset[str]:
    """The keys of the steps that may come next."""
    step = steps[position].step
    given = step.get("on")
    on: Mapping[str, str] = given if isinstance(given, Mapping) else {}
    after = step.get("next", "next")
    after = following(steps, position) if after == "next" else after
    found = {after if target == "next" else target for target in on.values()}
    outcomes = possible_outcomes(step, kinds.get(str(step.get("type"))))
    if outcomes - {"error"} - set(on):
        found.add(after)
    return frozenset(str(target) for target in found)


def reachable(graph: Mapping[str, frozenset[str]], first: str) -> frozenset[str]:
    """Every key that can be reached from one, itself included."""
    found: set[str] = set()
    waiting = [first]
    while waiting:
        key = waiting.pop()
        if key not in found and key in graph:
            found.add(key)
            waiting.extend(graph[key])
    return frozenset(found)


def _texts(value: object) -> set[str]:
    return {item for item in value if isinstance(item, str)} if isinstance(value, list) else set()


def _names(items: object, key: str, otherwise: str = "") -> set[str]:
    """What each of some things is called, and by another key those without a name."""
    if not isinstance(items, list):
        return set()
    names = [item.get(key, item.get(otherwise)) for item in items if isinstance(item, Mapping)]
    return {name for name in names if isinstance(name, str)}
