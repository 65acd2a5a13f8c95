"""The events that a recipe listens to and that nobody but other systems can tell."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipelines.definition.layout import every_place
from pipelines.triggers.told import OWN

_ENDS: Final = "ends it"
_COUNTS: Final = "counts as reaching its goal"


def events_from_outside(document: Mapping[str, Any]) -> set[str]:
    """Names of events in triggers, exit rules, goals and waits, without those that the CRM finds out itself."""
    return {name for name, _ in _listened(document)} - OWN


def told(document: Mapping[str, Any], events: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Each event with what it does to a run and a request that tells of it; those that begin one first."""
    order = list(dict.fromkeys(name for name, _ in _listened(document)))
    return [(name, say_event(document, name), _request(name, events[name])) for name in order if name in events]


def say_event(document: Mapping[str, Any], name: str) -> str:
    """What an event does to a run, such as `begins it` or `is waited for`."""
    said = dict.fromkeys(what for event, what in _listened(document) if event == name)
    if _ENDS in said:
        said.pop(_COUNTS, None)
    return ", ".join(said)


def _request(name: str, payload: Mapping[str, Any]) -> str:
    return json.dumps({"type": name, "email": "ann@example.org", **({"payload": payload} if payload else {})})


def _listened(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for trigger in document.get("triggers", ()):
        if trigger["type"] == "event":
            yield trigger["event"], "begins it"
    for place in every_place(document):
        for event in (place.step.get("with") or {}).get("events", ()) if place.step["type"] == "wait_for" else ():
            yield event["event"], "is waited for"
    for rule in document.get("exit", ()):
        if "event" in rule:
            yield rule["event"], _ENDS
    for goal in document.get("goals", ()):
        if "event" in goal:
            yield goal["event"], _COUNTS
