"""How many messages may leave: caps for one person, and a pace for all of a team, as values."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .durations import DurationError, format_duration, parse_duration
from .windows import WindowError

CHANNELS: Final = ("email", "sms", "push", "whatsapp", "chat")
DEFAULT_PRIORITY: Final = 5
LONGEST_CAP: Final = 31 * 86_400
# What falls to so many seconds may leave or begin at once.
_AHEAD: Final = 10
_RATE: Final = re.compile(r"(\d{1,7})\s+per\s+(?:(second|minute|hour|day|week)|(\S+))", re.ASCII | re.IGNORECASE)
_NAMED: Final = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0, "week": 604_800.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many in so many seconds."""

    most: int
    seconds: float

    def __str__(self) -> str:
        names = {seconds: name for name, seconds in _NAMED.items()}
        return f"{self.most} per {names.get(self.seconds) or format_duration(self.seconds)}"


def parse_rate(text: object, path: str = "") -> Rate:
    """Read "2 per day" or "600 per 10m"; raises WindowError."""
    match = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or int(match[1]) < 1:
        raise WindowError(path, f'“{str(text)[:40]}” is no rate: write "2 per day" or "600 per 10m"')
    try:
        seconds = _NAMED[match[2].lower()] if match[2] else parse_duration(match[3])
    except DurationError as error:
        raise WindowError(path, str(error)) from None
    if not 1 <= seconds <= LONGEST_CAP:
        raise WindowError(path, "the time of a rate is between a second and 31 days")
    return Rate(int(match[1]), seconds)


def parse_caps(lines: Iterable[object]) -> tuple[Rate, ...]:
    """Read caps, one text each; raises WindowError."""
    return tuple(parse_rate(line, f"[{index}]") for index, line in enumerate(lines))


def parse_throttles(raw: object) -> dict[str, Rate]:
    """Read `{"email": "600 per hour"}`; raises WindowError."""
    if not isinstance(raw, Mapping):
        raise WindowError("", 'throttles are an object such as {"email": "600 per hour"}')
    for name in raw:
        if name not in CHANNELS:
            raise WindowError(str(name)[:40], f"channels are {', '.join(CHANNELS)}")
    return {str(name): parse_rate(text, str(name)) for name, text in raw.items()}


def cap_opens(times: Sequence[dt.datetime], caps: Sequence[Rate], now: dt.datetime) -> tuple[dt.datetime, Rate] | None:
    """When one more may leave after those that left at `times`, and the cap that says so; None for now."""
    latest: tuple[dt.datetime, Rate] | None = None
    ordered = sorted(times)
    for cap in caps:
        span = dt.timedelta(seconds=cap.seconds)
        recent = [moment for moment in ordered if moment > now - span]
        if len(recent) >= cap.most:
            opens = recent[-cap.most] + span
            if latest is None or opens > latest[0]:
                latest = (opens, cap)
    return latest


@dataclass(slots=True)
class Bucket:
    """The pace of a channel: what may leave at once, and until when waiting messages have been given their times."""

    tokens: float
    at: dt.datetime
    tail: dt.datetime

    @classmethod
    def of(cls, data: Mapping[str, Any] | None, *, rate: Rate, now: dt.datetime) -> "Bucket":
        """A stored bucket filled up to now; a new one is full."""
        if not data:
            return cls(float(_burst(rate)), now, now)
        at, tail = (dt.datetime.fromisoformat(str(data[name])) for name in ("at", "tail"))
        passed = max(0.0, (now - at).total_seconds())
        tokens = min(float(_burst(rate)), float(data["tokens"]) + passed * rate.most / rate.seconds)
        return cls(tokens, max(at, now), max(tail, now))

    def take(self, rate: Rate) -> dt.datetime | None:
        """None when one may leave now; else when it should ask again."""
        # A token that is full but for the last bit of a division is a token.
        if self.tokens >= 1 - 1e-9:
            self.tokens -= 1
            return None
        step = rate.seconds / rate.most
        lacking = dt.timedelta(seconds=(1 - self.tokens) * step)
        self.tail = max(self.tail + dt.timedelta(seconds=step), self.at + lacking)
        return self.tail

    def give_back(self) -> None:
        """What was taken does not leave after all."""
        self.tokens += 1

    def stored(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "at": self.at.isoformat(), "tail": self.tail.isoformat()}


@dataclass(slots=True)
class Places:
    """Places one after the other, so that never more than `most` of them fall into sixty minutes.

    `tail` is the next one; what falls to ten seconds may be taken at once.
    """

    most: int
    tail: dt.datetime

    @classmethod
    def of(cls, tail: dt.datetime | None, *, most: int, now: dt.datetime) -> "Places":
        """Places that nobody took for a while are lost."""
        earliest = now - dt.timedelta(seconds=_AHEAD if most > 1 else 0)
        return cls(most, earliest if tail is None else max(tail, earliest))

    def take(self, now: dt.datetime) -> dt.datetime | None:
        """None when one may begin now; else when it may."""
        place = self.tail
        # The gap is so much longer than an hour's share that those taken at once are no more than the hour allows.
        seconds = (3_600 + _AHEAD) / (self.most - 1) if self.most > 1 else 3_600
        self.tail += dt.timedelta(seconds=seconds)
        return None if place <= now else place


def _burst(rate: Rate) -> int:
    """How many may leave at once: what falls to ten seconds, so that an hour's share is spread over the hour."""
    return max(1, min(rate.most, int(rate.most * _AHEAD / rate.seconds)))
