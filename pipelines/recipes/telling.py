"""What a recipe promises, as a timetable in words: no clock runs and nothing is looked up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.dateparse import parse_datetime

from pipelines.actions.registry import kinds
from pipelines.definition.durations import format_duration, parse_duration
from pipelines.definition.layout import every_place
from pipelines.recipes.gallery import Recipe

OUTCOMES: Final = {"true": "yes", "false": "no", "default": "otherwise", "timeout": "nobody answers in time"}
ENDS: Final = {
    "completed": "Is through",
    "cancelled": "Ends early",
    "failed": "Fails",
    "not_enrolled": "Does not enter at all",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that comes to pass, and when; `when` is empty where the story does not say."""

    when: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Story:
    """One way through a recipe."""

    name: str
    lines: tuple[Line, ...]


def timetable(recipe: Recipe) -> list[Story]:
    """The stories of a recipe, each with its lines in their order."""
    titles = _titles(recipe.document)
    return [
        Story(story["name"], tuple(_lines(story["then"], titles)))
        for story in recipe.document["meta"].get("expect", ())
    ]


def _titles(document: Mapping[str, Any]) -> dict[str, str]:
    known = kinds()
    return {place.key: place.step.get("name") or known[place.step["type"]].label for place in every_place(document)}


def _lines(promises: list[Mapping[str, Any]], titles: Mapping[str, str]) -> Iterator[Line]:
    for wanted in promises:
        sentence = _sentence(wanted, titles)
        if sentence:
            yield Line(_when(wanted.get("at")), sentence)


def _sentence(wanted: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    if "message" in wanted:
        subject = f" (“{wanted['subject']}”)" if "subject" in wanted else ""
        return f"“{titles[wanted['message']]}” is sent{subject}."
    if "step" in wanted:
        return _step(wanted, f"“{titles[wanted['step']]}”")
    if "status" in wanted:
        reason = wanted.get("reason", "end")
        return f"{ENDS[wanted['status']]}{'' if reason == 'end' else f': {reason}'}."
    return f"In the end {str(wanted['condition']).replace(' == ', ' is ')}."


def _step(wanted: Mapping[str, Any], title: str) -> str:
    if wanted.get("visits") == 0:
        return f"{title} does not come."
    if "visits" in wanted:
        return f"{title} comes {wanted['visits']} times."
    outcome = wanted.get("outcome", "")
    if outcome == "skipped":
        return f"{title} is skipped."
    again = " again" if wanted.get("visit", 1) > 1 else ""
    said = OUTCOMES.get(outcome, outcome.replace("_", " "))
    return f"{title}{again}: {said}." if said else f"{title}{again}."


def _when(at: Any) -> str:
    if at is None:
        return ""
    moment = parse_datetime(at) if isinstance(at, str) else None
    if moment is not None:
        return f"{moment:%a %-d %b %Y, %H:%M}"
    seconds = parse_duration(at)
    return f"after {format_duration(seconds)}" if seconds else "at once"
