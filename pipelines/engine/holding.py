"""What keeps a message that is about to leave: send hours, caps for one person, the pace of a channel."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType

from contacts.models import Contact
from crm.models import Message
from pipelines.definition.pacing import DEFAULT_PRIORITY, Rate, parse_caps, parse_throttles
from pipelines.definition.windows import Holidays, Opening, Window, next_allowed, parse_holidays, parse_window
from pipelines.engine.pacing import Pace, Received
from pipelines.models import Effect, SendingRules

CAPPED, NEVER = "frequency_cap", "never_allowed"
SKIP = "skip"
_BEHIND = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Hold:
    """A message may leave at `until`, None for never, because of `rule`."""

    until: datetime | None
    rule: str
    code: str = ""


@dataclass(slots=True)
class TeamRules:
    """The rules of a team, read once."""

    zone: str
    window: Window = field(default_factory=Window)
    holidays: Holidays = field(default_factory=Holidays)
    caps: tuple[Rate, ...] = ()
    skips: bool = False
    longest_wait: timedelta = timedelta(days=3)
    throttles: Mapping[str, Rate] = field(default_factory=dict)


@dataclass(slots=True)
class _Waiting:
    """A message at the gate with what its step says about its time."""

    effect: Effect
    message: Message
    rules: TeamRules
    zone: str
    own: Window | None
    capped: str
    priority: int


def holds(sending: Sequence[tuple[Effect, Message]], *, now: datetime) -> dict[int, Hold]:
    """What is kept, by the id of its effect; the statements do not grow with the messages.

    Teams with caps or a pace are looked at one worker at a time, so that two never both send the last one.
    """
    teams = _rules({message.team_id: message.team.timezone for _, message in sending})
    everybody = parse_throttles(settings.PIPELINES_PACE)
    if not any(
        _has_rules(teams[message.team_id]) or "window" in effect.payload or message.channel in everybody
        for effect, message in sending
    ):
        return {}
    zones = _zones(sending, teams)
    waiting = [_waiting(effect, message, teams[message.team_id], zones) for effect, message in sending]
    held: dict[int, Hold] = {}
    hours: Callable[[_Waiting], tuple[Opening, ...]] = _Hours()
    for each in waiting:
        hold = _by_hours(each, hours(each), now)
        if hold is not None:
            held[each.effect.pk] = hold
    free = [each for each in waiting if each.effect.pk not in held]
    # Of messages to the same person the more important one goes first.
    free.sort(key=lambda each: (-each.priority, each.effect.pk))
    _by_caps(free, held, now)
    _by_pace([each for each in free if each.effect.pk not in held], everybody, held, now)
    return held


def _has_rules(rules: TeamRules) -> bool:
    return rules.window != Window() or rules.holidays != Holidays() or bool(rules.caps or rules.throttles)


def _rules(zones: Mapping[int, str]) -> dict[int, TeamRules]:
    rows = list(SendingRules.objects.filter(team_id__in=zones))
    if any(row.caps or row.throttles for row in rows):
        rows = list(SendingRules.objects.filter(team_id__in=zones).order_by("pk").select_for_update())
    found = {team_id: TeamRules(zone) for team_id, zone in zones.items()}
    for row in rows:
        found[row.team_id] = TeamRules(
            zone=zones[row.team_id],
            window=parse_window(row.window),
            holidays=parse_holidays(row.holidays),
            caps=parse_caps(row.caps),
            skips=row.when_capped == SendingRules.Capped.SKIP,
            longest_wait=timedelta(hours=row.longest_wait_hours),
            throttles=parse_throttles(row.throttles),
        )
    return found


def _zones(sending: Sequence[tuple[Effect, Message]], teams: Mapping[int, TeamRules]) -> dict[int, str]:
    """The time zones of the contacts that messages are about, where a rule asks for them."""
    asks = any(rules.window.zone == "subject" for rules in teams.values()) or any(
        (effect.payload.get("window") or {}).get("tz") == "subject" for effect, _ in sending
    )
    if not asks:
        return {}
    kind = ContentType.objects.get_for_model(Contact).pk
    ids = {message.about_id or 0 for _, message in sending if message.about_type_id == kind}
    return dict(Contact.objects.filter(pk__in=ids).values_list("pk", "timezone"))


def _waiting(effect: Effect, message: Message, rules: TeamRules, zones: Mapping[int, str]) -> _Waiting:
    own: Any = effect.payload.get("window")
    return _Waiting(
        effect=effect,
        message=message,
        rules=rules,
        zone=zones.get(message.about_id or 0, ""),
        own=None if own is None else parse_window(own),
        capped=str((own or {}).get("capped") or ""),
        priority=int(effect.payload.get("priority", DEFAULT_PRIORITY)),
    )


class _Hours:
    """The openings of a message, worked out once for all that share them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str, str, bool], tuple[Opening, ...]] = {}

    def __call__(self, each: _Waiting) -> tuple[Opening, ...]:
        own = json.dumps(each.effect.payload.get("window"), sort_keys=True)
        key = (each.message.team_id, each.zone, own, bool(each.message.topic))
        if key not in self._known:
            self._known[key] = self._work_out(each)
        return self._known[key]

    def _work_out(self, each: _Waiting) -> tuple[Opening, ...]:
        rules = each.rules
        found: tuple[Opening, ...] = ()
        for whose, window in (("the pipeline", each.own), ("the team", rules.window if each.message.topic else None)):
            if window is not None:
                found += window.openings(
                    whose=whose, subject_zone=each.zone, team_zone=rules.zone, holidays=rules.holidays
                )
        return found


def _by_hours(each: _Waiting, openings: Sequence[Opening], now: datetime) -> Hold | None:
    if not openings:
        return None
    allowed = next_allowed(now, openings)
    if allowed.at is None:
        return Hold(None, f"{allowed.rule}: it never opens together with the other hours", NEVER)
    if allowed.at <= now:
        return None
    return Hold(_spread(each, allowed.at, openings), allowed.rule)


def _spread(each: _Waiting, opens: datetime, openings: Sequence[Opening]) -> datetime:
    """What was kept does not all leave at the first second: each has its place in the band, always the same."""
    bands = [window.spread for window in (each.own, each.rules.window if each.message.topic else None) if window]
    band = max(bands, default=0.0)
    if not band:
        return opens
    later = opens + timedelta(seconds=Random(f"spread:{each.message.pk}").uniform(0, band))
    return later if next_allowed(later, openings).at == later else opens


def _by_caps(free: Sequence[_Waiting], held: dict[int, Hold], now: datetime) -> None:
    asked = [each for each in free if each.rules.caps and each.message.topic]
    if not asked:
        return
    longest = max(cap.seconds for each in asked for cap in each.rules.caps)
    received = Received(
        [each.message for each in asked], since=now - timedelta(seconds=longest), now=now,
        priorities={each.message.pk: each.priority for each in asked},
    )  # fmt: skip
    for each in asked:
        found = received.opens(each.message, each.priority, each.rules.caps)
        if found is None:
            received.add(each.message)
            continue
        until, cap, behind = found
        rule = f"frequency cap of the team ({cap})"
        if behind:
            # They are on their way to this gate; once they have passed it the cap is counted anew.
            held[each.effect.pk] = Hold(now + _BEHIND, f"{rule}: a more important message goes first")
            continue
        skips = each.capped == SKIP if each.capped else each.rules.skips
        if skips:
            held[each.effect.pk] = Hold(None, rule, CAPPED)
        elif until - each.message.created_at > each.rules.longest_wait:
            held[each.effect.pk] = Hold(None, f"{rule}, it would have waited too long", CAPPED)
        else:
            held[each.effect.pk] = Hold(until, rule)


def _by_pace(free: Sequence[_Waiting], everybody: Mapping[str, Rate], held: dict[int, Hold], now: datetime) -> None:
    """What a team says of its provider, and what the installation says of the one that all teams share."""
    asked = [(each, _paces(each, everybody)) for each in free]
    rates = {key: rate for _, paces in asked for key, rate in paces.items()}
    if not rates:
        return
    pace = Pace(rates, now=now)
    for each, paces in asked:
        found = pace.take(list(paces))
        if found is not None:
            (team_id, channel), until = found
            whose = f"pace of {channel}" if team_id else f"pace of this installation for {channel}"
            held[each.effect.pk] = Hold(until, f"{whose} ({paces[team_id, channel]})")
    pace.save()


def _paces(each: _Waiting, everybody: Mapping[str, Rate]) -> dict[tuple[int, str], Rate]:
    """The paces of a message, by team; those of the installation stand under 0."""
    channel = each.message.channel
    found = {(each.message.team_id, channel): each.rules.throttles.get(channel), (0, channel): everybody.get(channel)}
    return {key: rate for key, rate in found.items() if rate is not None}
