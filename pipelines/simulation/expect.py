"""What a pipeline promises: stories in its document with what must come of them, played before it is published."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from crm.models import Team
from pipelines.definition.document import Problem
from pipelines.definition.durations import DurationError, format_duration, parse_duration
from pipelines.engine.clock import engine_now
from pipelines.simulation.promised import names_at_end, promised
from pipelines.simulation.scenario import ScenarioError, scenario_of
from pipelines.simulation.simulate import simulate

PATH = "meta.expect"
MAX_STORIES = 20
SECONDS = 10.0
STEP = ("step", "outcome", "at", "visit", "visits")
MESSAGE = ("message", "contains", "subject", "to", "at", "state", "visit")
END = ("status", "reason")


@dataclass(slots=True)
class Check:
    """One thing that was to be, and whether it is."""

    path: str
    met: bool
    sentence: str


@dataclass(slots=True)
class Played:
    """One story and what became of its expectations."""

    name: str
    path: str
    checks: list[Check] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return all(check.met for check in self.checks)


def play_expectations(
    *, team: Team, document: Mapping[str, Any], beside: Sequence[Mapping[str, Any]] = (), only: int | None = None
) -> list[Played]:
    """Play every story of `meta.expect`, or `only` the one of that index.

    Raises InvalidDocument when the document cannot be published at all, and ScenarioError, with its path, for a
    story that cannot be read. Documents `beside` are those that come into the team together with this one.
    """
    return [_play(team, document, path, story, beside) for path, story in _stories(document, only)]


def outcome_of(played: Played) -> dict[str, Any]:
    """A story and its checks as programs read them."""
    checks = [{"path": check.path, "met": check.met, "message": check.sentence} for check in played.checks]
    return {"name": played.name, "path": played.path, "met": played.met, "checks": checks}


def unmet(document: Mapping[str, Any], team: Team, beside: Sequence[Mapping[str, Any]] = ()) -> list[Problem]:
    """What keeps a document from being published: expectations that are not met or cannot be played."""
    try:
        played = play_expectations(team=team, document=document, beside=beside)
    except ScenarioError as error:
        return [Problem(error.path, error.message)]
    return [Problem(check.path, check.sentence) for story in played for check in story.checks if not check.met]


def _stories(document: Mapping[str, Any], only: int | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    given = (document.get("meta") or {}).get("expect") or []
    if not isinstance(given, list):
        raise ScenarioError(PATH, 'must be a list of {"given": …, "then": […]}')
    if len(given) > MAX_STORIES:
        raise ScenarioError(PATH, f"has more than {MAX_STORIES} stories")
    for index, story in enumerate(given):
        if only is not None and index != only:
            continue
        path = f"{PATH}[{index}]"
        if not isinstance(story, Mapping) or not isinstance(story.get("then"), list):
            raise ScenarioError(path, 'must be an object such as {"name": …, "given": …, "then": […]}')
        unknown = sorted(set(story) - {"name", "given", "then"})
        if unknown:
            raise ScenarioError(f"{path}.{unknown[0]}", "is not known; there are name, given, then")
        yield path, story


def _play(
    team: Team, document: Mapping[str, Any], path: str, story: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]
) -> Played:
    given = story.get("given") or {}
    if not isinstance(given, Mapping):
        raise ScenarioError(f"{path}.given", "must be an object")
    scenario = scenario_of(given, now=engine_now(), at=f"{path}.given")
    try:
        report = simulate(team=team, document=document, scenario=scenario, seconds=SECONDS, beside=beside)
    except ScenarioError as error:
        raise ScenarioError(f"{path}.given.{error.path}", error.message) from None
    played = Played(str(story.get("name") or f"Story {path[len(PATH) + 1 : -1]}"), path, report=report)
    for index, wanted in enumerate(story["then"]):
        here = f"{path}.then[{index}]"
        if not isinstance(wanted, Mapping):
            raise ScenarioError(here, "must be an object")
        played.checks += list(_checks(wanted, document, report, here))
    return played


def _checks(
    wanted: Mapping[str, Any], document: Mapping[str, Any], report: Mapping[str, Any], path: str
) -> Iterator[Check]:
    if "step" in wanted:
        _only(wanted, STEP, path)
        yield from _step_checks(wanted, report, path)
    elif "message" in wanted:
        _only(wanted, MESSAGE, path)
        yield from _message_checks(wanted, report, path)
    elif "status" in wanted or "reason" in wanted:
        _only(wanted, END, path)
        for name in END:
            if name in wanted:
                yield _equal(f"{path}.{name}", f"the {name} of the run", wanted[name], report[name])
    elif "condition" in wanted:
        _only(wanted, ("condition",), path)
        yield _condition_check(wanted["condition"], document, report, f"{path}.condition")
    else:
        raise ScenarioError(path, "say what to look at: step, message, status, reason or condition")


def _only(wanted: Mapping[str, Any], names: Sequence[str], path: str) -> None:
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise ScenarioError(f"{path}.{unknown[0]}", f"is not known here; there are {', '.join(names)}")


def _step_checks(wanted: Mapping[str, Any], report: Mapping[str, Any], path: str) -> Iterator[Check]:
    key = str(wanted["step"])
    visits = [each for each in report["steps"] if each["key"] == key and each["event"] not in ("retried", "note")]
    if "visits" in wanted:
        yield _equal(f"{path}.visits", f"the number of visits of {key}", wanted["visits"], len(visits))
    if not set(wanted) - {"step", "visits"}:
        if "visits" not in wanted:
            yield Check(path, bool(visits), f"{key} is {'' if visits else 'never '}reached{_came(report)}")
        return
    turn = _turn(wanted, path)
    if len(visits) < turn:
        yield Check(path, False, f"{key} is reached {len(visits)} times, not {turn}{_came(report)}")
        return
    visit = visits[turn - 1]
    if "outcome" in wanted:
        yield _equal(f"{path}.outcome", f"the outcome of {key}", wanted["outcome"], visit["outcome"])
    if "at" in wanted:
        yield _at(f"{path}.at", key, wanted["at"], visit["entered_at"], report["started_at"])


def _turn(wanted: Mapping[str, Any], path: str) -> int:
    turn = wanted.get("visit", 1)
    if type(turn) is not int or turn < 1:
        raise ScenarioError(f"{path}.visit", "must be 1 for the first visit, 2 for the second, and so on")
    return turn


def _message_checks(wanted: Mapping[str, Any], report: Mapping[str, Any], path: str) -> Iterator[Check]:
    """`message` names the step that sends it; with several the `visit` picks, else the one that contains the text."""
    key = str(wanted["message"])
    sent = [each for each in report["messages"] if each["step"] == key]
    if not sent:
        yield Check(path, False, f"{key} sends no message{_came(report)}")
        return
    if "visit" in wanted:
        turn = _turn(wanted, path)
        if len(sent) < turn:
            yield Check(f"{path}.visit", False, f"{key} sends {len(sent)} messages, not {turn}{_came(report)}")
            return
        sent = [sent[turn - 1]]
    texts = wanted.get("contains", [])
    parts = [str(part) for part in (texts if isinstance(texts, list) else [texts])]
    message = next((each for each in sent if all(part in _words(each) for part in parts)), sent[0])
    for part in parts:
        met = part in _words(message)
        says = "contains" if met else "does not contain"
        yield Check(f"{path}.contains", met, f"the message of {key} {says} “{part}”")
    for name in ("subject", "to", "state"):
        if name in wanted:
            yield _equal(f"{path}.{name}", f"“{name}” of the message of {key}", wanted[name], message[name])
    if "at" in wanted:
        yield _at(f"{path}.at", f"the message of {key}", wanted["at"], message["at"], report["started_at"])
    if not parts and not set(wanted) - {"message", "visit"}:
        yield Check(path, True, f"{key} sends a message")


def _words(message: Mapping[str, Any]) -> str:
    return f"{message['subject']}\n{message['text']}\n{message['html']}"


def _condition_check(condition: Any, document: Mapping[str, Any], report: Mapping[str, Any], path: str) -> Check:
    """The names of a run at its end, and `status`, `reason` and `messages` of the report."""
    verdict = promised(condition, document, report, path).evaluate(names_at_end(document, report))
    seen = ", ".join(f"{leaf.as_dict().get('field')} is {leaf.as_dict().get('actual')!r}" for leaf in verdict.why)
    met = verdict.met and not verdict.error
    return Check(path, met, "the condition is met" if met else f"the condition is not met: {verdict.error or seen}")


def _equal(path: str, what: str, wanted: Any, found: Any) -> Check:
    met = wanted == found
    return Check(path, met, f"{what} is {found!r}" if met else f"{what} is {found!r}, not {wanted!r}")


def _at(path: str, what: str, wanted: Any, found: datetime, start: datetime) -> Check:
    """Told as it was promised: a span from the start, or a time."""
    moment = _time(wanted)
    if moment is not None:
        met = abs(found - moment) < timedelta(seconds=1)
        sentence = f"{what} comes at {found:%Y-%m-%d %H:%M:%S} UTC"
        return Check(
            path, met, sentence if met else f"{sentence}, not at {moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        )
    span, after = _span(wanted, path), found - start
    met = abs(after - span) < timedelta(seconds=1)
    sentence = f"{what} comes {_after(after)}"
    return Check(path, met, sentence if met else f"{sentence}, not {_after(span)}")


def _after(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    return f"{format_duration(seconds)} after the start" if seconds else "at once"


def _time(wanted: Any) -> datetime | None:
    try:
        found = parse_datetime(wanted) if isinstance(wanted, str) else None
    except ValueError:
        return None
    return timezone.make_aware(found) if found is not None and timezone.is_naive(found) else found


def _span(wanted: Any, path: str) -> timedelta:
    try:
        return timedelta(seconds=float(parse_duration(wanted)))
    except (DurationError, ValueError, OverflowError):
        raise ScenarioError(path, "give a span from the start such as 3d, or a time") from None


def _came(report: Mapping[str, Any]) -> str:
    """Where the story ended, for whoever wonders."""
    end = f"; the run is {report['status']}"
    return f"{end} ({report['reason']})" if report["reason"] else end
