"""When messages may leave: hours of the week in a zone, quiet hours and holidays, as values."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from .durations import DurationError, parse_duration
from .zones import known_zone

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KEYS: Final = frozenset({"days", "hours", "quiet", "tz", "holidays", "spread", "capped"})
# Looked at this far ahead: a window that a year of holidays closes never opens.
HORIZON: Final = dt.timedelta(days=400)
_DAY: Final = 24 * 60
_RANGE: Final = re.compile(r"([01]\d|2[0-4]):([0-5]\d)\s*[-–]\s*([01]\d|2[0-4]):([0-5]\d)", re.ASCII)
_HOLIDAY: Final = re.compile(r"(?:(\d{4})-)?(\d{2})-(\d{2})(?:\s+(.{1,80}))?", re.ASCII)
_SECOND: Final = dt.timedelta(seconds=1)

# Minutes of a day that are open, as (first, one past the last), in order and apart.
Day = tuple[tuple[int, int], ...]
Week = tuple[Day, Day, Day, Day, Day, Day, Day]
OPEN_DAY: Final[Day] = ((0, _DAY),)
ALWAYS: Final[Week] = (OPEN_DAY,) * 7


class WindowError(ValueError):
    """A window cannot be read; `path` names the part."""

    def __init__(self, path: str, message: str) -> None:
        self.path, self.message = path, message
        super().__init__(f"{path}: {message}" if path else message)


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days on which nothing leaves, with their names: dates, and (month, day) of every year."""

    dates: Mapping[dt.date, str] = field(default_factory=dict)
    yearly: Mapping[tuple[int, int], str] = field(default_factory=dict)

    def name(self, day: dt.date) -> str | None:
        """The holiday of a day, None for a common day."""
        found = self.dates.get(day)
        return self.yearly.get((day.month, day.day)) if found is None else found


NO_HOLIDAYS: Final = Holidays()


@dataclass(frozen=True, slots=True)
class Opening:
    """Hours that are open in one zone; `words` say the rule to people."""

    words: str
    zone: ZoneInfo
    week: Week = ALWAYS
    holidays: Holidays = NO_HOLIDAYS

    def is_open(self, moment: dt.datetime) -> bool:
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        inside = any(first <= minute < last for first, last in self.week[local.weekday()])
        return inside and self.holidays.name(local.date()) is None

    def why_closed(self, moment: dt.datetime) -> str:
        """The rule that keeps a message at a moment at which this is closed."""
        name = self.holidays.name(moment.astimezone(self.zone).date())
        return self.words if name is None else f"holiday: {name or 'listed by the team'}"

    def next_open(self, moment: dt.datetime) -> dt.datetime | None:
        """The first moment from `moment` on that is open, in UTC; None when none is within the horizon."""
        here, end = moment.astimezone(dt.UTC), moment + HORIZON
        while here <= end:
            if self.is_open(here):
                return here
            here = self._following(here)
        return None

    def _following(self, here: dt.datetime) -> dt.datetime:
        """The next moment at which anything may change: an opening, midnight, or a jump of the clock."""
        local = here.astimezone(self.zone)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0, tzinfo=None)
        minute = local.hour * 60 + local.minute
        ahead = [first for first, _ in self.week[local.weekday()] if first > minute]
        wall = midnight + dt.timedelta(minutes=min(ahead, default=_DAY))
        # As if the clock did not jump before; if it does, the moment of its jump is looked at first.
        there = here + (wall - local.replace(tzinfo=None, fold=0))
        return self._jump(here, there) or there

    def _jump(self, here: dt.datetime, there: dt.datetime) -> dt.datetime | None:
        """The moment between two at which the clock is set forward or back."""
        before = here.astimezone(self.zone).utcoffset()
        if there.astimezone(self.zone).utcoffset() == before:
            return None
        low, high = here.replace(microsecond=0), there
        while high - low > _SECOND:
            middle = low + (high - low) // 2
            middle = middle.replace(microsecond=0)
            if middle in (low, high):
                break
            if middle.astimezone(self.zone).utcoffset() == before:
                low = middle
            else:
                high = middle
        return high


@dataclass(frozen=True, slots=True)
class Allowed:
    """The first moment at which a message may leave, None for never, and the rule that keeps it until then."""

    at: dt.datetime | None
    rule: str = ""


def next_allowed(moment: dt.datetime, openings: Sequence[Opening]) -> Allowed:
    """The first moment from `moment` on, in UTC, at which every opening is open; `moment` itself when they all are."""
    here = moment.astimezone(dt.UTC)
    rule, end = "", here + HORIZON
    while True:
        closed = next((opening for opening in openings if not opening.is_open(here)), None)
        if closed is None:
            return Allowed(here, rule)
        rule = rule or closed.why_closed(here)
        following = closed.next_open(here)
        if following is None or following > end:
            return Allowed(None, rule)
        here = following


@dataclass(frozen=True, slots=True)
class Window:
    """Send hours as a team, a pipeline or a step states them; the zone may be that of the contact or the team."""

    week: Week = ALWAYS
    quiet: Week = ALWAYS
    zone: str = "team"
    keeps_holidays: bool = True
    spread: float = 0.0
    hours_words: str = ""
    quiet_words: str = ""

    def openings(
        self, *, whose: str, subject_zone: str, team_zone: str, holidays: Holidays = NO_HOLIDAYS
    ) -> tuple[Opening, ...]:
        """What must be open for one contact; `whose` says whose rule it is, such as "the team"."""
        name = {"subject": subject_zone or team_zone, "team": team_zone}.get(self.zone, self.zone)
        zone = known_zone(name) or known_zone(team_zone) or ZoneInfo("UTC")
        kept = holidays if self.keeps_holidays else NO_HOLIDAYS
        found = []
        if self.week != ALWAYS or (kept is not NO_HOLIDAYS and (kept.dates or kept.yearly)):
            words = f"send hours of {whose} ({self.hours_words or 'every day'}, {zone.key})"
            found.append(Opening(words, zone, self.week, kept))
        if self.quiet != ALWAYS:
            found.append(Opening(f"quiet hours of {whose} ({self.quiet_words}, {zone.key})", zone, self.quiet))
        return tuple(found)


def parse_window(raw: object) -> Window:
    """Read a window such as `{"days": ["mon"], "hours": "09:00-17:00", "tz": "subject"}`; raises WindowError."""
    if raw is None:
        return Window()
    if not isinstance(raw, Mapping):
        raise WindowError("", 'a window is an object such as {"days": ["mon", "fri"], "hours": "09:00-17:00"}')
    unknown = sorted(str(key) for key in raw if key not in KEYS)
    if unknown:
        raise WindowError(unknown[0], f"unknown property '{unknown[0]}': there are {', '.join(sorted(KEYS))}")
    if raw.get("holidays", "skip") not in ("skip", "send"):
        raise WindowError("holidays", "'holidays' must be 'skip' or 'send'")
    if raw.get("capped", "wait") not in ("wait", "skip"):
        raise WindowError("capped", "'capped' must be 'wait' or 'skip'")
    return Window(
        week=_week(raw.get("days"), raw.get("hours")),
        quiet=_but(_ranges(raw["quiet"], "quiet")) if raw.get("quiet") else ALWAYS,
        zone=_zone(raw.get("tz")),
        keeps_holidays=raw.get("holidays", "skip") == "skip",
        spread=_spread(raw.get("spread", 0)),
        hours_words=_words(raw.get("days"), raw.get("hours")),
        quiet_words=str(raw.get("quiet") or ""),
    )


def parse_holidays(lines: Iterable[object]) -> Holidays:
    """Read days such as "2026-04-03 Good Friday", or "12-25 Christmas" for every year; raises WindowError."""
    dates: dict[dt.date, str] = {}
    yearly: dict[tuple[int, int], str] = {}
    for index, line in enumerate(lines):
        match = _HOLIDAY.fullmatch(line.strip()) if isinstance(line, str) else None
        try:
            if match is None:
                raise ValueError
            year, month, day = match[1], int(match[2]), int(match[3])
            # The 29th of February comes in some years only, so it is asked of one that has it.
            found = dt.date(int(year or 2024), month, day)
        except ValueError:
            example = '"2026-04-03 Good Friday", or "12-25 Christmas" for every year'
            raise WindowError(f"[{index}]", f"“{str(line)[:40]}” is not a day: write {example}") from None
        if year:
            dates[found] = match[4] or ""
        else:
            yearly[month, day] = match[4] or ""
    return Holidays(dates, yearly)


def _week(days: object, hours: object) -> Week:
    if isinstance(hours, Mapping):
        if days:
            raise WindowError("days", "the days stand in 'hours' already")
        unknown = sorted(str(day) for day in hours if day not in DAYS)
        if unknown or not hours:
            raise WindowError("hours", f"days are {', '.join(DAYS)}")
        return _seven([_merged(_ranges(hours[day], f"hours.{day}")) if day in hours else () for day in DAYS])
    if days is not None and (not isinstance(days, list | tuple) or not days or any(day not in DAYS for day in days)):
        raise WindowError("days", f"days are a list of {', '.join(DAYS)}")
    chosen = DAYS if days is None else days
    wanted = OPEN_DAY if hours is None else _merged(_ranges(hours, "hours"))
    return _seven([wanted if day in chosen else () for day in DAYS])


def _seven(days: Sequence[Day]) -> Week:
    monday, tuesday, wednesday, thursday, friday, saturday, sunday = days
    return (monday, tuesday, wednesday, thursday, friday, saturday, sunday)


def _ranges(value: object, path: str) -> list[tuple[int, int]]:
    """Ranges of one day; one that ends before it begins goes over midnight and stands in two parts."""
    texts = value if isinstance(value, list | tuple) else [value]
    found: list[tuple[int, int]] = []
    for text in texts:
        match = _RANGE.fullmatch(text.strip()) if isinstance(text, str) else None
        first, last = (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])) if match else (0, 0)
        if first == last or max(first, last) > _DAY:
            raise WindowError(path, 'hours are written "09:00-17:00", from "00:00" to "24:00"')
        found += [(first, last)] if first < last else [(0, last), (first, _DAY)]
    if not found:
        raise WindowError(path, 'hours are written "09:00-17:00"')
    return found


def _merged(ranges: Iterable[tuple[int, int]]) -> Day:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(pair for pair in ranges if pair[0] < pair[1]):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _but(ranges: Iterable[tuple[int, int]]) -> Week:
    """Every day without these hours."""
    found, begin = [], 0
    for first, last in _merged(ranges):
        if begin < first:
            found.append((begin, first))
        begin = last
    if begin < _DAY:
        found.append((begin, _DAY))
    if not found:
        raise WindowError("quiet", "quiet hours must leave a part of the day")
    return _seven([tuple(found)] * 7)


def _zone(value: object) -> str:
    if value is None or value in ("subject", "team"):
        return str(value or "team")
    if known_zone(value) is None:
        raise WindowError("tz", f"unknown time zone '{value}': write 'Europe/Paris', 'team' or 'subject'")
    return str(value)


def _spread(value: object) -> float:
    try:
        seconds = parse_duration(value)  # type: ignore[arg-type]
    except DurationError as error:
        raise WindowError("spread", str(error)) from None
    if seconds > 86_400:
        raise WindowError("spread", "a band is at most one day long")
    return seconds


def _words(days: object, hours: object) -> str:
    if isinstance(hours, Mapping):
        return ", ".join(f"{day} {_said(hours[day])}" for day in DAYS if day in hours)
    spoken = " ".join(str(day) for day in days) if isinstance(days, list | tuple) else ""
    return " ".join(part for part in (spoken, _said(hours) if hours else "") if part)


def _said(hours: object) -> str:
    return " and ".join(str(each) for each in hours) if isinstance(hours, list | tuple) else str(hours)
