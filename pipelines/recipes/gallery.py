"""The recipes as they lie beside this file: documents with what they are for, what they need and what they promise."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from crm.starters import STARTERS

FOLDER: Final = Path(__file__).parent
_STARTERS: Final = {starter.key: starter for starter in STARTERS}


@dataclass(frozen=True, slots=True)
class Needs:
    """What a recipe refers to, each as the values of a row; `people` names the variable that lists members.

    `events` holds, by name, an example of what each event that others tell brings along; `hints` are sentences about
    what nobody can do for the team.
    """

    templates: tuple[Mapping[str, Any], ...] = ()
    segments: tuple[Mapping[str, Any], ...] = ()
    record_types: tuple[Mapping[str, Any], ...] = ()
    fields: tuple[Mapping[str, Any], ...] = ()
    events: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hints: tuple[str, ...] = ()
    people: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The same as the API shows it."""
        return {
            "templates": [{"key": each["key"], "name": each["name"]} for each in self.templates],
            "segments": [{"key": each["key"], "name": each["name"]} for each in self.segments],
            "record_types": [{"key": each["key"], "name": each["label"]} for each in self.record_types],
            "fields": [{"key": each["key"], "name": each["label"]} for each in self.fields],
            "events": {name: dict(payload) for name, payload in self.events.items()},
            "hints": list(self.hints),
            "people": bool(self.people),
        }


@dataclass(frozen=True, slots=True)
class Recipe:
    """One document of the gallery."""

    key: str
    name: str
    category: str
    summary: str
    document: Mapping[str, Any]
    needs: Needs

    @property
    def text(self) -> str:
        """The file, byte for byte."""
        return (FOLDER / f"{self.key}.json").read_text("utf-8")


@cache
def recipes() -> Mapping[str, Recipe]:
    """Every recipe by its key, in the order of categories and names."""
    read = (_recipe(json.loads(path.read_text("utf-8"))) for path in FOLDER.glob("*.json"))
    return {recipe.key: recipe for recipe in sorted(read, key=lambda each: (each.category, each.name))}


def _recipe(document: Mapping[str, Any]) -> Recipe:
    meta = document["meta"]
    return Recipe(
        document["key"], document["name"], meta["category"], meta["summary"], document, _needs(meta.get("needs") or {})
    )


def _needs(given: Mapping[str, Any]) -> Needs:
    return Needs(
        templates=tuple(_template(each) for each in given.get("templates", ())),
        segments=tuple(given.get("segments", ())),
        record_types=tuple(given.get("record_types", ())),
        fields=tuple(given.get("fields", ())),
        events=given.get("events", {}),
        hints=tuple(given.get("hints", ())),
        people=given.get("people", ""),
    )


def _template(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A template that says only its key is one that every new team begins with."""
    starter = _STARTERS.get(given["key"])
    known = {"name": starter.name, "subject": starter.subject, "text": starter.text} if starter else {}
    return {**known, **given}
