"""Who carries messages cannot be reached: all of them wait, and one worker at a time looks whether it is back.

The mail server is everybody's; every team has its own provider of each other channel.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from crm.channels.base import DeliveryResult, Refused
from crm.channels.letters import NAMES
from crm.models import Message, Team
from pipelines.engine.clock import engine_now
from pipelines.engine.kick import kick
from pipelines.models import Effect, EngineState

log = logging.getLogger(__name__)

MAIL: Final = "mail-outage"
_OF_TEAM: Final = "outage:"
# Seconds until the next look; they double.
FIRST, LONGEST = 30, 300
FRESH: Final = timedelta(minutes=10)
# How messages that wait for it say so.
KEPT: Final = "its provider cannot be reached"


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when, why, and when somebody looks again; no team for the mail server of the installation."""

    channel: str
    since: datetime
    next_at: datetime
    code: str
    detail: str
    team_id: int | None
    data: Mapping[str, Any]

    @property
    def met(self) -> int:
        """The effect that met it last, 0 where that is not known."""
        return int(self.data.get("met", 0))

    @property
    def rule(self) -> str:
        """What keeps messages, in words."""
        return f"{KEPT} ({self.detail})" if self.detail else KEPT


def outage_words(outage: Outage) -> str:
    """What people are told of it."""
    since, then = (f"{moment:%H:%M} UTC" for moment in (outage.since, outage.next_at))
    if outage.team_id is None:
        return f"The mail server cannot be reached since {since}. Mail waits, and it is looked for again at {then}."
    what = NAMES.get(outage.channel, outage.channel)
    why = f" ({outage.detail.rstrip('.')})" if outage.detail else ""
    return (
        f"The provider of {what} lets nobody in since {since}{why}. Its messages wait, and it is tried again at {then}."
    )


def name_of(team_id: int, channel: str) -> str:
    """What the outage of a team's provider is kept by."""
    return f"{_OF_TEAM}{team_id}:{channel}"


def outages(*, team: Team | None, now: datetime) -> list[Outage]:
    """All that are under way, as one team meets them or everywhere; the mail server first. One statement.

    Where nobody looked though the time had come, nothing waits.
    """
    rows = EngineState.objects.filter(name__startswith=_OF_TEAM if team is None else name_of(team.pk, ""))
    found = [_read(row) for row in (rows | EngineState.objects.filter(name=MAIL)).order_by("name")]
    return [each for each in found if each.next_at > now - FRESH]


def outages_of(names: Collection[str]) -> dict[str, Outage]:
    """Those under way among these, by name; one statement."""
    return {row.name: _read(row) for row in EngineState.objects.filter(name__in=names)}


def mail_outage() -> Outage | None:
    """The one of the mail server; one statement."""
    return outages_of([MAIL]).get(MAIL)


def looks(outage: Outage, *, now: datetime, name: str = MAIL) -> bool:
    """Whether we are to look if it is back: its pause is over, and nobody else is at it."""
    if now < outage.next_at:
        return False
    mine = EngineState.objects.filter(name=name, data=outage.data)
    later = (now + timedelta(seconds=FIRST)).isoformat()
    return bool(mine.update(data={**outage.data, "next_at": later}))


def note_outage(result: DeliveryResult, *, now: datetime, name: str = MAIL, met: int = 0) -> Outage:
    """Nobody was let in; `met` is the effect that met it. A provider that names a time is asked no sooner."""
    row = EngineState.objects.filter(name=name).first()
    data = row.data if row is not None else {}
    pause = min(LONGEST, int(data["pause"]) * 2) if "pause" in data else FIRST
    code, asked = (result.code, result.retry_after or 0.0) if isinstance(result, Refused) else ("timeout", 0.0)
    next_at = now + timedelta(seconds=max(pause, asked))
    log.warning("%s: nobody is let in: %s, tried again at %s", name, code, next_at)
    row = EngineState(
        name=name, at=now,
        data={
            "code": code, "since": data.get("since", now.isoformat()), "pause": pause, "next_at": next_at.isoformat(),
            "detail": "" if name == MAIL or not isinstance(result, Refused) else result.detail[:120], "met": met,
        },
    )  # fmt: skip
    EngineState.objects.bulk_create([row], update_conflicts=True, unique_fields=["name"], update_fields=["at", "data"])
    return _read(row)


def end_outage(name: str = MAIL) -> None:
    """Somebody was let in."""
    EngineState.objects.filter(name=name).delete()


def let_go(*, team_id: int, channel: str, now: datetime) -> None:
    """What waited for a provider may leave now; what another rule keeps stays."""
    waiting = Message.objects.filter(
        team_id=team_id, channel=channel, state=Message.State.QUEUED, held_by__startswith=KEPT
    )
    kind = next(kind for kind in Effect.Kind if kind.label == channel)
    Effect.objects.filter(
        kind=kind, status=Effect.Status.QUEUED, available_at__gt=now, run_id__in=waiting.values("run_id")
    ).update(available_at=now)


def look_at_once(*, team_id: int, channel: str, now: datetime) -> None:
    """Somebody changed how a team sends: what waits for its provider tries at once."""
    name = name_of(team_id, channel)
    outage = outages_of([name]).get(name)
    if outage is None:
        return
    data = {key: value for key, value in outage.data.items() if key != "pause"} | {"next_at": now.isoformat()}
    EngineState.objects.filter(name=name).update(data=data)
    let_go(team_id=team_id, channel=channel, now=now)
    kick()


def troubles_of(team: Team) -> dict[str, str]:
    """What is told of each channel of a team whose provider lets nobody in."""
    return {
        each.channel: outage_words(each) for each in outages(team=team, now=engine_now()) if each.team_id is not None
    }


def _read(row: EngineState) -> Outage:
    """Of an outage that an older version noted only the moment is known."""
    at = row.at.isoformat() if row.at is not None else ""
    since, next_at = (datetime.fromisoformat(row.data.get(name, at)) for name in ("since", "next_at"))
    _, team, channel = row.name.split(":") if row.name != MAIL else ("", "", "email")
    return Outage(
        channel=channel, since=since, next_at=next_at, code=str(row.data.get("code", "unknown")),
        detail=str(row.data.get("detail", "")), team_id=int(team) if team else None, data=row.data,
    )  # fmt: skip
