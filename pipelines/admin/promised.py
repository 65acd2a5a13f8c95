"""Promises of a pipeline as its page shows them: what each holds in words, and what is so when it is played."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.dateparse import parse_datetime

from pipelines.actions.registry import title_of
from pipelines.admin.telling import words
from pipelines.definition.durations import DurationError, format_duration, parse_duration
from pipelines.definition.layout import every_place
from pipelines.models import Pipeline
from pipelines.simulation.expect import Check, play_expectations
from pipelines.simulation.scenario import ScenarioError

# What a story may be given beside its record, in words.
_GIVEN: Final[Mapping[str, str]] = {
    "records": "records that are there before", "trigger": "what the trigger brings", "variables": "variables",
    "events": "events", "responses": "answers of people", "stubs": "answers of other systems",
}  # fmt: skip
_MOST_VALUES: Final = 4


@dataclass(slots=True)
class Promise:
    """One promise on the page; `checks` stand there once it was played, `problem` where it could not be."""

    mark: str
    index: int
    name: str
    given: str
    lines: Sequence[str]
    checks: Sequence[Check] | None = None
    problem: ScenarioError | None = None

    @property
    def is_played(self) -> bool:
        return self.checks is not None or self.problem is not None

    @property
    def met(self) -> bool:
        return self.problem is None and all(check.met for check in self.checks or ())


def stories_of(document: Mapping[str, Any]) -> list[Any]:
    """What stands in `meta.expect`; what is no list holds no promise."""
    found = (document.get("meta") or {}).get("expect")
    return found if isinstance(found, list) else []


def mark_of(story: Any) -> str:
    """What a promise is known by in addresses: it is another one as soon as it says something else."""
    return hashlib.sha256(json.dumps(story, sort_keys=True).encode()).hexdigest()[:16]


def promises_of(document: Mapping[str, Any]) -> list[Promise]:
    """Every promise of a document in its order, also one that cannot be read."""
    titles = {place.key: title_of(place.step) for place in every_place(document)}
    return [_promise(index, story, titles) for index, story in enumerate(stories_of(document))]


def play_promises(
    *, pipeline: Pipeline, document: Mapping[str, Any], promises: Sequence[Promise], only: str = ""
) -> list[Promise]:
    """The same with what came of them, those that are not kept first; `only` is the mark of one.

    Raises InvalidDocument when the document cannot be published at all.
    """
    for promise in promises:
        if only in ("", promise.mark):
            try:
                (played,) = play_expectations(team=pipeline.team, document=document, only=promise.index)
                promise.checks = played.checks
            except ScenarioError as error:
                promise.problem = error
    return sorted(promises, key=lambda each: (not each.is_played, each.met))


def _promise(index: int, story: Any, titles: Mapping[str, str]) -> Promise:
    number = f"Story {index}"
    if not isinstance(story, Mapping) or not isinstance(story.get("then"), list):
        return Promise(mark_of(story), index, number, "", ["This is no promise that can be read: edit or remove it."])
    given = story.get("given")
    lines = [_line(wanted, titles) for wanted in story["then"]]
    name = str(story.get("name") or number)
    return Promise(mark_of(story), index, name, _given(given if isinstance(given, Mapping) else {}), lines)


def _given(given: Mapping[str, Any]) -> str:
    subject = given.get("subject")
    if isinstance(subject, Mapping):
        values = [f"{name} {value}" for name, value in subject.items() if not isinstance(value, Mapping | list)]
        more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
        who = f"A sample with {', '.join(values[:_MOST_VALUES])}{more}" if values else "A sample without values"
    else:
        who = "A sample of ours" if subject is None else f"Record {subject}"
    start = _moment(given.get("start"))
    begins = f"; begins {start:%a %-d %b %Y, %H:%M} {start.tzname() or ''}".rstrip() if start else ""
    also = [name for key, name in _GIVEN.items() if given.get(key)]
    return f"{who}{begins}{f'; with {_listed(also)}' if also else ''}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _moment(text: Any) -> datetime | None:
    try:
        return parse_datetime(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _line(wanted: Any, titles: Mapping[str, str]) -> str:
    """One expectation as a sentence."""
    if not isinstance(wanted, Mapping):
        return str(wanted)
    turn = wanted.get("visit", 1)
    again = f" (visit {turn})" if turn != 1 else ""
    if "step" in wanted:
        return f"{_title(wanted['step'], titles)}{again} {_step(wanted)}."
    if "message" in wanted:
        return f"{_title(wanted['message'], titles)}{again} {_message(wanted)}."
    if "condition" in wanted:
        condition = wanted["condition"]
        return f"At the end: {condition if isinstance(condition, str) else json.dumps(condition, ensure_ascii=False)}"
    reason = words(str(wanted["reason"])) if wanted.get("reason") else ""
    status = words(str(wanted.get("status", "")))
    return f"It ends {status}{f' ({reason})' if status and reason else reason}."


def _title(key: Any, titles: Mapping[str, str]) -> str:
    return f"“{titles.get(str(key), key)}”"


def _step(wanted: Mapping[str, Any]) -> str:
    parts = []
    if "visits" in wanted:
        count = wanted["visits"]
        times = {0: "is never reached", 1: "is reached once"}
        parts.append(times.get(count, f"is reached {count} times"))
    if "at" in wanted or "visits" not in wanted:
        parts.append(f"is reached{_at(wanted)}")
    if "outcome" in wanted:
        parts.append(f"with “{words(str(wanted['outcome']))}”")
    return ", ".join(parts)


def _message(wanted: Mapping[str, Any]) -> str:
    said = wanted.get("subject") or wanted.get("contains")
    text = " … ".join(map(str, said)) if isinstance(said, list) else str(said or "")
    what = f" “{text}”" if text else " a message"
    state = wanted.get("state", "sent")
    how = "sends" if state == "sent" else f"leaves {words(str(state))}:"
    to = f" to {wanted['to']}" if wanted.get("to") else ""
    return f"{how}{what}{to}{_at(wanted)}"


def _at(wanted: Mapping[str, Any]) -> str:
    if "at" not in wanted:
        return ""
    try:
        seconds = parse_duration(wanted["at"])
    except DurationError:
        return f" at {wanted['at']}"
    return f" after {format_duration(seconds)}" if seconds else " at once"
