"""The mail server cannot be reached: all letters wait, and one worker at a time looks whether it is back."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from crm.channels.base import Refused
from pipelines.models import EngineState

log = logging.getLogger(__name__)

NAME: Final = "mail-outage"
# Seconds until the next look; they double.
FIRST, LONGEST = 30, 300


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when, why, and when somebody looks again."""

    since: datetime
    next_at: datetime
    code: str
    data: Mapping[str, Any]


def mail_outage() -> Outage | None:
    """The outage under way; one statement."""
    row = EngineState.objects.filter(name=NAME).first()
    return None if row is None else _read(row)


def looks(outage: Outage, *, now: datetime) -> bool:
    """Whether we are to look if the server is back: its pause is over, and nobody else is at it."""
    if now < outage.next_at:
        return False
    mine = EngineState.objects.filter(name=NAME, data=outage.data)
    later = (now + timedelta(seconds=FIRST)).isoformat()
    return bool(mine.update(data={**outage.data, "next_at": later}))


def note_outage(refused: Refused, *, now: datetime) -> datetime:
    """Nobody was let in; when somebody looks again."""
    row = EngineState.objects.filter(name=NAME).first()
    data = row.data if row is not None else {}
    pause = min(LONGEST, int(data["pause"]) * 2) if "pause" in data else FIRST
    next_at = now + timedelta(seconds=pause)
    log.warning("the mail server cannot be reached: %s, tried again in %s seconds", refused.code, pause)
    EngineState.objects.update_or_create(
        name=NAME,
        defaults={
            "at": now,
            "data": {
                "code": refused.code, "since": data.get("since", now.isoformat()), "pause": pause,
                "next_at": next_at.isoformat(),
            },
        },
    )  # fmt: skip
    return next_at


def end_outage() -> None:
    """Somebody was let in."""
    EngineState.objects.filter(name=NAME).delete()


def _read(row: EngineState) -> Outage:
    """Of an outage that an older version noted only the moment is known."""
    at = row.at.isoformat() if row.at is not None else ""
    since, next_at = (datetime.fromisoformat(row.data.get(name, at)) for name in ("since", "next_at"))
    return Outage(since, next_at, str(row.data.get("code", "unknown")), row.data)
