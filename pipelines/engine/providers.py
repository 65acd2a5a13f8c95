"""The providers of teams as one round of letters meets them: one that lets nobody in keeps its letters.

The others go on. A message that met an outage is put back without having used up a try, unless it may itself be what
the provider cannot bear: answers that say so little count when two different messages got them one after the other.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from crm.channels.base import Away, Delivered, DeliveryResult, Refused, Unknown
from crm.models import Message
from pipelines.engine.holding import Hold
from pipelines.engine.outage import Outage, end_outage, let_go, looks, name_of, note_outage, outages_of
from pipelines.models import Effect

Ready = tuple[Effect, Message]
Told = tuple[Effect, DeliveryResult]
# Whoever met an outage comes after those who wait for it, so that another one looks next.
BEHIND: Final = timedelta(seconds=1)
DOUBTS: Final = 2


class Providers:
    """What this round knows of the provider of each team, for one channel."""

    def __init__(self, channel: str, *, now: datetime) -> None:
        self._channel, self._now = channel, now
        # Outages that we look at, by team.
        self._looked_at: dict[int, Outage] = {}
        # What was answered since somebody was let in for the last time, where nothing is sure.
        self._doubts: dict[int, list[Told]] = {}
        # Found away in this round, and the effects that met it without having used up a try.
        self._away: dict[int, Outage] = {}
        self._spared: set[int] = set()

    def kept(self, ready: Sequence[Ready]) -> dict[int, Hold]:
        """What waits for a provider; where its pause is over, one worker's messages do not, and look.

        One statement, and one for each look.
        """
        names = {name_of(message.team_id, self._channel): message.team_id for _, message in ready}
        found = {names[name]: outage for name, outage in outages_of(names).items()} if names else {}
        for team_id, outage in list(found.items()):
            if team_id in self._looked_at or looks(outage, now=self._now, name=name_of(team_id, self._channel)):
                self._looked_at[team_id] = found.pop(team_id)
        return {
            effect.pk: Hold(self._later(found[message.team_id]), found[message.team_id].rule)
            for effect, message in ready
            if message.team_id in found
        }

    def _later(self, outage: Outage) -> datetime:
        """Those who come while another worker looks wait until it has."""
        return max(outage.next_at, self._now + BEHIND)

    def turn(self, waiting: Sequence[Ready], *, size: int) -> tuple[list[Ready], list[Ready]]:
        """Who may leave side by side, and who comes later; of a provider that is looked at one goes first."""
        now: list[Ready] = []
        later: list[Ready] = []
        # Whoever met it last is tried last: another one tells more.
        last = {outage.met for outage in self._looked_at.values()}
        for effect, message in sorted(waiting, key=lambda each: each[0].pk in last) if last else waiting:
            team_id = message.team_id
            if team_id in self._away:
                continue
            alone = team_id in self._looked_at and any(other.team_id == team_id for _, other in now)
            (later if alone or len(now) >= size else now).append((effect, message))
        return now, later

    def hear(self, answers: Iterable[tuple[Ready, DeliveryResult]]) -> None:
        """What came back from those who left side by side."""
        by_team: dict[int, list[Told]] = {}
        for (effect, message), result in answers:
            by_team.setdefault(message.team_id, []).append((effect, result))
        for team_id, told in by_team.items():
            self._judge(team_id, told)

    def _judge(self, team_id: int, told: Sequence[Told]) -> None:
        sure = [each for each in told if _away(each[1]) == "sure"]
        if any(_is_let_in(result) for _, result in told):
            self._doubts.pop(team_id, None)
            self._is_back(team_id)
            # Some got in: those that did not are tried again as ever, unless we are told to send less.
            sure = [(effect, result) for effect, result in sure if isinstance(result, Refused) and _is_busy(result)]
            if sure:
                self._shut(team_id, sure)
            return
        doubts = self._doubts.setdefault(team_id, [])
        doubts += [each for each in told if _away(each[1]) == "maybe"]
        if sure:
            self._shut(team_id, [*doubts, *sure])
        elif len(doubts) >= DOUBTS:
            self._shut(team_id, doubts)
        elif doubts and team_id in self._looked_at:
            # One that meets it again and again while nobody else does uses up its tries.
            self._shut(team_id, doubts, spares=doubts[0][0].pk != self._looked_at[team_id].met)

    def _is_back(self, team_id: int) -> None:
        if self._looked_at.pop(team_id, None) is not None:
            end_outage(name_of(team_id, self._channel))
            let_go(team_id=team_id, channel=self._channel, now=self._now)

    def _shut(self, team_id: int, told: Sequence[Told], *, spares: bool = True) -> None:
        self._looked_at.pop(team_id, None)
        effect, result = told[-1]
        name = name_of(team_id, self._channel)
        self._away[team_id] = note_outage(result, now=self._now, name=name, met=effect.pk)
        if spares:
            self._spared |= {effect.pk for effect, result in told if isinstance(result, Refused)}

    def keep(self, ready: Sequence[Ready], answered: Collection[int]) -> dict[int, tuple[Effect, datetime, str]]:
        """What goes back into the queue, until when and why, by the id of its effect."""
        found: dict[int, tuple[Effect, datetime, str]] = {}
        for effect, message in ready:
            outage = self._away.get(message.team_id)
            if outage is not None and effect.pk in self._spared:
                found[effect.pk] = (effect, outage.next_at + BEHIND, outage.rule)
            elif outage is not None and effect.pk not in answered:
                found[effect.pk] = (effect, outage.next_at, outage.rule)
        return found


def _away(result: DeliveryResult) -> Away:
    """An answer that was lost says little; whether the message arrived, it does not say at all."""
    match result:
        case Refused():
            return result.away
        case Unknown():
            return "maybe"
        case _:
            return "no"


def _is_let_in(result: DeliveryResult) -> bool:
    """Accepted, or refused for what it is; what was never asked does not count."""
    return isinstance(result, Delivered) or (
        isinstance(result, Refused) and result.away == "no" and result.code.startswith("http_")
    )


def _is_busy(result: Refused) -> bool:
    return result.code == "http_429"
