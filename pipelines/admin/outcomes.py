"""How a visit came out, in a sentence: the same on the page of a run and on the page of a simulation."""

from collections.abc import Mapping
from typing import Final

WAITS: Final[Mapping[str, str]] = {
    "human_task": "Nobody answered in time.",
    "wait_for": "It did not come in time.",
}
_SAID: Final[Mapping[str, str]] = {
    "human_task": "Answered with “{}”.",
    "split": "Drew “{}”.",
    "switch": "Took the way “{}”.",
    "wait_for": "“{}” came.",
}


def came_out(kind: str, outcome: str | None) -> str:
    """The outcome of a step as a sentence; empty where it simply went on."""
    if outcome in (None, "", "next"):
        return ""
    name = str(outcome).replace("_", " ")
    if outcome == "timeout":
        return WAITS.get(kind, "It took too long.")
    if kind == "condition":
        return "The condition was met." if outcome == "true" else "The condition was not met."
    if kind == "wait_for" and outcome == "met":
        return "Its condition was met."
    if kind == "switch" and outcome == "default":
        return "None of its cases was met."
    if kind == "human_task" and outcome == "completed":
        return "Answered."
    return _SAID.get(kind, "Went on with “{}”.").format(name)
