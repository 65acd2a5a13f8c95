"""What a simulation is to assume: who, when, what happens outside, and how people and systems answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from pipelines.definition.durations import DurationError, parse_duration

LONGEST = timedelta(days=366 * 5)
DEFAULT_SPAN = timedelta(days=366)
FARTHEST = timedelta(days=36_525)
MAX_HAPPENINGS = 1_000
NAMES = ("subject", "records", "entry", "trigger", "variables", "start", "until", "events", "responses", "stubs")
BY_HAND = "by_hand"
LARGEST_ID = 2**63 - 1


class ScenarioError(Exception):
    """The scenario cannot be played; `path` says where, the text what to write instead."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path, self.message = path, message


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of the outside, so many seconds after the start."""

    after: float
    type: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """What a person answers to a task, so many seconds after it was given to them."""

    after: float
    values: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story to be played. `subject` is a record's id, sample values, or None for a sample of ours."""

    start: datetime
    until: datetime
    subject: int | Mapping[str, Any] | None = None
    entry: str = ""
    trigger: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Happening, ...] = ()
    responses: Mapping[str, tuple[Response, ...]] = field(default_factory=dict)
    stubs: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    # Sample records by kind that are there before the story begins.
    records: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)


def scenario_of(data: Mapping[str, Any], *, now: datetime, at: str = "") -> Scenario:
    """Read a scenario as documents and the API write it; raises ScenarioError with its path."""
    unknown = sorted(set(data) - set(NAMES))
    if unknown:
        raise ScenarioError(_join(at, unknown[0]), f"is not known; there are {', '.join(NAMES)}")
    start = _moment(data.get("start"), now, _join(at, "start")) or now
    if abs(start - now) > FARTHEST:
        raise ScenarioError(_join(at, "start"), "must be within a hundred years of now")
    until = _moment(data.get("until"), start, _join(at, "until")) or start + DEFAULT_SPAN
    if not start <= until <= start + LONGEST:
        raise ScenarioError(_join(at, "until"), "must be after the start and within five years of it")
    return Scenario(
        start=start,
        until=until,
        subject=_subject(data.get("subject"), _join(at, "subject")),
        entry=_text(data.get("entry", ""), _join(at, "entry")),
        trigger=_mapping(data.get("trigger"), _join(at, "trigger")),
        variables=_mapping(data.get("variables"), _join(at, "variables")),
        events=tuple(_events(data.get("events"), _join(at, "events"))),
        responses=_by_step(data.get("responses"), _join(at, "responses"), _response),
        stubs=_by_step(data.get("stubs"), _join(at, "stubs"), lambda value, path: value),
        records=_by_step(data.get("records"), _join(at, "records"), _mapping),
    )


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def is_id(value: Any) -> TypeGuard[int]:
    """Whether a number can be the id of a record at all: databases refuse to look for larger ones."""
    return type(value) is int and 0 < value <= LARGEST_ID


def _subject(value: Any, path: str) -> int | Mapping[str, Any] | None:
    if value is None or isinstance(value, Mapping) or is_id(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        raise ScenarioError(path, "there is no record of this number")
    raise ScenarioError(path, 'give the id of a record, or sample values such as {"email": "ann@example.org"}')


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ScenarioError(path, "must be an object of names and values")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise ScenarioError(path, "must be a text")
    return value


def _list(value: Any, path: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise ScenarioError(path, "must be a list")
    if len(value) > MAX_HAPPENINGS:
        raise ScenarioError(path, f"has more than {MAX_HAPPENINGS} entries")
    return value


def _events(value: Any, path: str) -> Sequence[Happening]:
    found = []
    for index, each in enumerate(_list(value if value is not None else [], path)):
        here = f"{path}[{index}]"
        given = _known(_mapping(each, here), ("after", "type", "payload"), here)
        name = given.get("type")
        if not isinstance(name, str) or not name:
            raise ScenarioError(f"{here}.type", "name the event, such as cart.abandoned")
        payload = _mapping(given.get("payload"), f"{here}.payload")
        found.append(Happening(_seconds(given.get("after", 0), f"{here}.after"), name, payload))
    return found


def _by_step(value: Any, path: str, read: Any) -> dict[str, tuple[Any, ...]]:
    found = {}
    for key, given in _mapping(value, path).items():
        items = given if isinstance(given, list) else [given]
        found[str(key)] = tuple(read(item, f"{path}.{key}[{index}]") for index, item in enumerate(items))
    return found


def _response(value: Any, path: str) -> Response:
    given = _known(_mapping(value, path), ("after", "values", "outcome"), path)
    return Response(
        _seconds(given.get("after", 0), f"{path}.after"),
        _mapping(given.get("values"), f"{path}.values"),
        _text(given.get("outcome", ""), f"{path}.outcome"),
    )


def _known(given: Mapping[str, Any], names: Sequence[str], path: str) -> Mapping[str, Any]:
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ScenarioError(f"{path}.{unknown[0]}", f"is not known; there are {', '.join(names)}")
    return given


def _seconds(value: Any, path: str) -> float:
    try:
        return float(parse_duration(value))
    except DurationError as error:
        raise ScenarioError(path, str(error)) from None


def _moment(value: Any, base: datetime, path: str) -> datetime | None:
    """A point in time, or a span from `base`."""
    if value is None or isinstance(value, datetime):
        return value
    try:
        found = parse_datetime(value) if isinstance(value, str) else None
        if found is not None:
            return found if timezone.is_aware(found) else timezone.make_aware(found)
        return base + timedelta(seconds=float(parse_duration(value)))
    except (DurationError, ValueError, OverflowError):
        raise ScenarioError(path, "give a time such as 2027-03-01T12:00:00Z or a span such as 90d") from None
