"""Schedules of five fields in a time zone: which slots they have, each with a name of its own.

A job at fixed times that falls into the hour a clock change skips runs once right after it, and once in an hour that
comes twice; a job with a wildcard in its minute or hour goes by the minutes that really pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

_MOST_LOOKED_AT: Final = 5_000


class CronError(ValueError):
    """A schedule or a zone that cannot be read, as a sentence."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One time of a schedule: the moment, and the local time it stands for."""

    at: datetime
    name: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule in a zone."""

    expr: str
    zone: str

    def after(self, moment: datetime) -> Iterator[Slot]:
        """The slots after a moment, in order; raises CronError."""
        local = moment.astimezone(ZoneInfo(self.zone))
        try:
            for found in CronSim(self.expr, local):
                yield Slot(found.astimezone(UTC), self._name(found))
        except CronSimError as error:
            raise CronError(f"this is not a schedule: {error}") from None

    def next(self, moment: datetime) -> Slot | None:
        """The first slot after a moment; None when there is none."""
        return next(self.after(moment), None)

    def missed(self, first: datetime, now: datetime, *, most: int) -> list[Slot]:
        """The slots from `first` up to now, of very many the last ones only."""
        found: list[Slot] = []
        for slot in islice(self.after(_just_before(first)), _MOST_LOOKED_AT):
            if slot.at > now:
                return found[-most:]
            found.append(slot)
        # Only schedules that come every few minutes have so many.
        span = found[-1].at - found[0].at
        return (
            self.missed(now - span / 2, now, most=most)
            if now - found[-1].at > span / 2
            else self._late(found, now, most)
        )

    def _late(self, found: list[Slot], now: datetime, most: int) -> list[Slot]:
        for slot in self.after(found[-1].at):
            if slot.at > now:
                break
            found.append(slot)
        return found[-most:]

    def _name(self, local: datetime) -> str:
        minute, hour, *_ = self.expr.split()
        wild = minute.startswith("*") or hour.startswith("*")
        return local.isoformat(timespec="minutes") if wild else local.replace(tzinfo=None).isoformat(timespec="minutes")


def read_schedule(expr: str, zone: str) -> Schedule:
    """A schedule that has a next slot; raises CronError with a sentence."""
    fields = expr.split()
    if len(fields) != 5:
        raise CronError("use five fields: minute, hour, day, month, weekday")
    if zone not in _timezones():
        raise CronError(f"'{zone}' is no time zone: use a name such as Europe/Berlin")
    schedule = Schedule(" ".join(fields), zone)
    if schedule.next(datetime.now(UTC)) is None:
        raise CronError("this time never comes")
    return schedule


@cache
def _timezones() -> frozenset[str]:
    """Read from disk once: asking takes milliseconds."""
    return frozenset(available_timezones())


def _just_before(moment: datetime) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() - 60, UTC)
