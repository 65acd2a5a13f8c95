"""When a step is due: a wait, a date to wait for, and the days and hours that are allowed."""

import datetime as dt
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from .comparing import as_moment
from .durations import DurationError, format_duration, parse_duration
from .values import ParameterError, Value, compile_value, is_dynamic
from .zones import known_zone

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEK = frozenset(range(7))
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_KEYS = frozenset({"for", "until", "from", "at", "days", "tz", "jitter", "if_past"})
_MINUTE = dt.timedelta(minutes=1)
_LONGEST_GAP_MINUTES = 1_500
_MOST_DAYS_AHEAD = 15


class Skip(Enum):
    """The answer when the time of a delay has passed and the document says to skip."""

    SKIPPED = "skipped"


SKIPPED: Final = Skip.SKIPPED


class DelayError(ValueError):
    """A delay cannot be read or worked out; `path` names the part."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(f"{path}: {message}" if path else message)


@dataclass(frozen=True, slots=True)
class Delay:
    """The rule for the time at which a run enters a step."""

    wait: Value
    jitter: Value
    until: Value | None = None
    until_text: str = ""
    wait_text: str = ""
    origin: Literal["previous", "start"] = "previous"
    at: dt.time | None = None
    days: frozenset[int] = _WEEK
    zone: str = ""
    skips_past: bool = False
    # The rule as it was written, to tell whether two are the same.
    source: str = ""
    # Whether a run enters the step at once; asked at every visit, so worked out once.
    is_zero: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_zero", self.is_plain_seconds and self._is_no_wait())

    def _is_no_wait(self) -> bool:
        try:
            return self.seconds == 0
        except DelayError:
            # Told when the rule is asked for a time.
            return False

    @property
    def paths(self) -> frozenset[tuple[str, ...]]:
        """The dotted paths the rule reads."""
        read = self.wait.paths | self.jitter.paths
        return read | self.until.paths if self.until else read

    @property
    def seconds(self) -> float | None:
        """The wait when it is fixed, whatever else the rule says."""
        return _seconds(self.wait, {}, "for") if self.wait.is_constant else None

    @property
    def is_plain_seconds(self) -> bool:
        """Whether the rule is nothing but a fixed wait after the previous step."""
        return (
            self.wait.is_constant
            and not self._has_jitter
            and self.until is None
            and self.origin == "previous"
            and not self._has_calendar
        )

    def due_at(
        self,
        *,
        previous: dt.datetime,
        start: dt.datetime,
        timezone_name: str = "UTC",
        context: Mapping[str, Any] | None = None,
        rng: random.Random | None = None,
    ) -> dt.datetime | Skip:
        """The moment, in UTC, at which the step is due; never before `previous`.

        `previous` is the end of the previous step, `start` the start of the run, and
        `timezone_name` the zone used when the rule names none or one that does not exist.
        """
        data = context or {}
        zone = self._zone(timezone_name, data)
        try:
            moment = self._base(previous, start, data, zone)
            moment += dt.timedelta(seconds=_seconds(self.wait, data, "for"))
            if moment < previous:
                if self.skips_past:
                    return SKIPPED
                moment = previous
            moment = self._allowed(moment.astimezone(dt.UTC), zone)
            return moment + self._chance(data, rng)
        except OverflowError:
            raise DelayError("", "the delay leads beyond the calendar") from None

    def describe(self) -> str:
        """Say the rule in words."""
        if self.is_zero:
            return "immediately"
        wait, calendar = self._describe_wait(), self._describe_calendar()
        # A first step has no step before it: where nothing is waited for, the hours say all there is.
        parts = (
            [calendar] if calendar and wait == "after the previous step" else [wait, calendar and f"then {calendar}"]
        )
        if self._has_jitter:
            parts.append("spread by chance")
        if self.skips_past:
            parts.append("skipped if that has passed")
        return ", ".join(part for part in parts if part)

    @property
    def _has_jitter(self) -> bool:
        return not self.jitter.is_constant or _seconds(self.jitter, {}, "jitter") > 0

    @property
    def _has_calendar(self) -> bool:
        return self.at is not None or self.days != _WEEK

    def _describe_wait(self) -> str:
        waits = self.seconds != 0
        span = format_duration(self.seconds) if self.seconds is not None else self.wait_text
        if self.until is not None:
            return f"{span} after {self.until_text}" if waits else f"at {self.until_text}"
        anchor = "the start of the run" if self.origin == "start" else "the previous step"
        return f"{span} after {anchor}" if waits else f"after {anchor}"

    def _describe_calendar(self) -> str:
        clock = f"at {self.at:%H:%M}" if self.at else ""
        days = ""
        if self.days == frozenset(range(5)):
            days = "on weekdays"
        elif self.days != _WEEK:
            days = "on " + ", ".join(_DAY_NAMES[day] for day in sorted(self.days))
        zones = {"subject": "in the contact's time zone", "team": "in the team's time zone"}
        zone = zones.get(self.zone, f"({self.zone})" if self.zone else "")
        return " ".join(part for part in (days, clock, zone) if part) if days or clock else ""

    def _zone(self, fallback: str, data: Mapping[str, Any]) -> ZoneInfo:
        name: object = self.zone
        if name in ("subject", "team"):
            owner = data.get(str(name))
            name = owner.get("timezone") if isinstance(owner, Mapping) else None
        return known_zone(name) or known_zone(fallback) or ZoneInfo("UTC")

    def _base(self, previous: dt.datetime, start: dt.datetime, data: Mapping[str, Any], zone: ZoneInfo) -> dt.datetime:
        if self.until is None:
            return start if self.origin == "start" else previous
        try:
            value = self.until.evaluate(data)
        except ParameterError as error:
            raise DelayError("until", error.message) from None
        if value is None or value == "":
            raise DelayError("until", f"{self.until_text} has no date")
        try:
            return _in_zone(value, zone)
        except (TypeError, ValueError):
            raise DelayError("until", f"{self.until_text} is not a date") from None

    def _allowed(self, moment: dt.datetime, zone: ZoneInfo) -> dt.datetime:
        if not self._has_calendar:
            return moment
        local = moment.astimezone(zone)
        if self.at is None and local.weekday() in self.days:
            return moment
        clock = self.at or local.time().replace(tzinfo=None, fold=0)
        for ahead in range(_MOST_DAYS_AHEAD):
            wall = dt.datetime.combine(local.date() + dt.timedelta(days=ahead), clock)
            candidate = existing_moment(wall, zone)
            if candidate >= moment and candidate.astimezone(zone).weekday() in self.days:
                return candidate
        raise DelayError("days", "no allowed day was found")

    def _chance(self, data: Mapping[str, Any], rng: random.Random | None) -> dt.timedelta:
        most = _seconds(self.jitter, data, "jitter")
        return dt.timedelta(seconds=rng.uniform(0, most) if rng and most else 0)


def parse_delay(delay: object) -> Delay:
    """Read a delay: seconds, a duration, a template of one, or an object; None is no delay."""
    if delay is None:
        delay = 0
    if not isinstance(delay, Mapping):
        return Delay(
            wait=_duration_value(delay, ""), jitter=compile_value(0), wait_text=str(delay), source=_source(delay)
        )
    unknown = sorted(str(key) for key in delay if key not in _KEYS)
    if unknown:
        raise DelayError(unknown[0], f"unknown property '{unknown[0]}'")
    until = delay.get("until")
    return Delay(
        wait=_duration_value(delay.get("for", 0), "for"),
        jitter=_duration_value(delay.get("jitter", 0), "jitter"),
        until=None if until is None else _until_value(until),
        until_text=str(until).strip("={} ") if until is not None else "",
        wait_text=str(delay.get("for", 0)),
        origin=_choice(delay, "from", ("previous", "start")),
        at=_clock(delay.get("at")),
        days=_days(delay.get("days")),
        zone=_zone_name(delay.get("tz")),
        skips_past=_choice(delay, "if_past", ("now", "skip")) == "skip",
        source=_source(delay),
    )


def _source(delay: object) -> str:
    return json.dumps(delay, sort_keys=True, default=str)


def existing_moment(wall: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The UTC moment of a wall clock time: the first if it comes twice, the next if it never does."""
    for _ in range(_LONGEST_GAP_MINUTES):
        moment = wall.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)
        if moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
            return moment
        wall = wall.replace(second=0, microsecond=0) + _MINUTE
    raise DelayError("at", "this time does not exist in the time zone")


def _seconds(value: Value, data: Mapping[str, Any], path: str) -> float:
    try:
        found = value.evaluate(data)
    except ParameterError as error:
        raise DelayError(path, error.message) from None
    if isinstance(found, dt.timedelta):
        found = found.total_seconds()
    try:
        return parse_duration(found)
    except DurationError as error:
        raise DelayError(path, str(error)) from None


def _duration_value(raw: object, path: str) -> Value:
    try:
        if not is_dynamic(raw):
            return compile_value(parse_duration(raw))  # type: ignore[arg-type]
        return compile_value(raw)
    except DurationError as error:
        raise DelayError(path, str(error)) from None
    except ParameterError as error:
        raise DelayError(path, error.message) from None


def _until_value(raw: object) -> Value:
    if not isinstance(raw, str):
        raise DelayError("until", "give a date as text, or a template such as {{ demo_date }}")
    try:
        value = compile_value(raw)
    except ParameterError as error:
        raise DelayError("until", error.message) from None
    if value.is_constant:
        try:
            as_moment(raw)
        except ValueError:
            message = f'"{raw[:40]}" is not a date: write "2025-01-31" or {{{{ a_date }}}}'
            raise DelayError("until", message) from None
    return value


def _in_zone(value: object, zone: ZoneInfo) -> dt.datetime:
    """Dates without a zone are meant as wall clock time in the zone of the rule."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value[:40].strip())
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return existing_moment(value, zone)
    return as_moment(value)


def _choice(delay: Mapping[str, Any], key: str, options: tuple[Any, Any]) -> Any:
    value = delay.get(key, options[0])
    if value not in options:
        raise DelayError(key, f"'{key}' must be '{options[0]}' or '{options[1]}'")
    return value


def _clock(value: object) -> dt.time | None:
    if value is None:
        return None
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise DelayError("at", 'a time of day is written "09:00", from "00:00" to "23:59"')
    return dt.time(int(match[1]), int(match[2]))


def _days(value: object) -> frozenset[int]:
    if not value:
        return _WEEK
    if not isinstance(value, list | tuple) or any(day not in _DAYS for day in value):
        raise DelayError("days", f"days are a list of {', '.join(_DAYS)}")
    return frozenset(_DAYS.index(day) for day in value)


def _zone_name(value: object) -> str:
    if value is None or value in ("subject", "team"):
        return str(value or "")
    if not known_zone(value):
        raise DelayError("tz", f"unknown time zone '{value}': write 'Europe/Paris' or 'subject'")
    return str(value)
