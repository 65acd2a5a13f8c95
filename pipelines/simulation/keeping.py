"""A story that was played becomes a promise: what it was given, and what came of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from crm.models import Team
from pipelines.definition.durations import compact_duration
from pipelines.simulation.expect import Check, play_expectations
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.simulation.stage import our_sample
from pipelines.simulation.taking_over import taken_over
from pipelines.simulation.world import subject_kind

# Outcomes that say no more than that a step is over.
_USUAL: Final = ("next", "done", "", None)
# Of a step in a loop no more visits are told one by one.
_VISITS: Final = 5
_LONGEST_TEXT: Final = 80


@dataclass(frozen=True, slots=True)
class Kept:
    """A promise, how its story went, and which fields of a real record are in its sample (None: it was one already)."""

    promise: dict[str, Any]
    way: str
    fields: tuple[str, ...] | None = None


def promise_of(*, team: Team, document: Mapping[str, Any], name: str, story: Mapping[str, Any], now: datetime) -> Kept:
    """Play a story, with a sample in place of a real record, and put down what came of it.

    The start is written out, so that days of the week and hours hold. Raises what `simulate` raises.
    """
    given, fields = dict(story), None
    if isinstance(given.get("subject"), int):
        given["subject"], fields = taken_over(team=team, document=document, record=given["subject"])
    kind = subject_kind(document)
    if kind is not None and given.get("subject") is None:
        given["subject"] = our_sample(kind, team)
    start = scenario_of(given, now=now).start.astimezone(UTC).replace(microsecond=0)
    given["start"] = f"{start:%Y-%m-%dT%H:%M:%SZ}"
    report = simulate(team=team, document=document, scenario=scenario_of(given, now=now))
    then = [*_steps(report), *_messages(report), _end(report)]
    return Kept({"name": name, "given": given, "then": then}, way_of(report), fields)


def broken_at_once(*, team: Team, document: Mapping[str, Any], index: int) -> list[Check]:
    """What of the promise of this index is not so when it is played as before a publish."""
    (played,) = play_expectations(team=team, document=document, only=index)
    return [check for check in played.checks if not check.met]


def way_of(report: Mapping[str, Any]) -> str:
    """How a story went in one line, without its times: two that went alike have the same."""
    steps = [f"{each['key']}={each['outcome'] or ''}" for each in report["steps"] if _counts(each)]
    return " ".join([*steps, report["status"], report["reason"]]).strip()


def _counts(visit: Mapping[str, Any]) -> bool:
    return visit["event"] not in ("retried", "note")


def _steps(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each step that is reached, when, and with its outcome where that leads somewhere."""
    visits = [each for each in report["steps"] if _counts(each)]
    total, seen = Counter(each["key"] for each in visits), Counter[str]()
    for visit in visits:
        key = visit["key"]
        seen[key] += 1
        if seen[key] == 1 and total[key] > _VISITS:
            yield {"step": key, "visits": total[key]}
        if seen[key] <= _VISITS:
            told = {} if visit["outcome"] in _USUAL else {"outcome": visit["outcome"]}
            turn = {"visit": seen[key]} if seen[key] > 1 else {}
            yield {"step": key, **told, "at": _span(visit["entered_at"], report), **turn}


def _messages(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each message, by its subject; one without is told by how its text begins."""
    seen = Counter[str]()
    for message in report["messages"]:
        key = message["step"]
        seen[key] += 1
        if not key or seen[key] > _VISITS:
            continue
        says = {"subject": message["subject"]} if message["subject"] else {"contains": message["text"][:_LONGEST_TEXT]}
        turn = {"visit": seen[key]} if seen[key] > 1 else {}
        yield {"message": key, **says, "state": message["state"], "at": _span(message["at"], report), **turn}


def _end(report: Mapping[str, Any]) -> dict[str, Any]:
    reason = {"reason": report["reason"]} if report["reason"] else {}
    return {"status": report["status"], **reason}


def _span(moment: datetime, report: Mapping[str, Any]) -> str | float:
    """From the start of the story, as documents write it."""
    seconds: float = round((moment - report["started_at"]).total_seconds(), 3)
    return (compact_duration(int(seconds)) or 0) if seconds.is_integer() else seconds
