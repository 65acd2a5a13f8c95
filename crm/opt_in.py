"""Who agreed to get messages over a channel: what people said, and what may not be sent because of it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from django.db import IntegrityError, transaction

from crm.channels.letters import NAMES, device_token, e164
from crm.integrations import enabled_for
from crm.models import Device, Integration, Message, OptIn, Suppression
from crm.suppression import forms_of, suppress

NO_COUNTRY: Final = "Write the number with its country, such as +4915112345678."
NO_DEVICE: Final = "Write the token of a device as steps name it, without spaces."
CHANNELS: Final = frozenset(OptIn.Channel.values)
NO_CONSENT, WITHDRAWN = "no_consent", "consent_withdrawn"
# What a person's own word ends; what bounced or complained, or a person of the team put there, stays.
_OWN_WORD: Final = (Suppression.Reason.UNSUBSCRIBED,)


class WrongAddress(ValueError):
    """No choice can be kept by what was typed; the sentence says what to write."""


def say(
    *, team_id: int, channel: str, address: str, granted: bool, source: str, now: datetime, reference: str = ""
) -> bool:
    """Keep one choice and let suppressions follow it; False when this reply was known already."""
    try:
        with transaction.atomic():
            OptIn.objects.create(
                team_id=team_id, channel=channel, address=address, granted=granted, source=source[:200],
                reference=reference[:200], at=now,
            )  # fmt: skip
            _follow(team_id, channel, address, granted, source)
    except IntegrityError:
        return False
    return True


def _follow(team_id: int, channel: str, address: str, granted: bool, source: str) -> None:
    if granted:
        mine = Suppression.objects.filter(team_id=team_id, address__in=forms_of(address), topic=channel)
        mine.filter(reason__in=_OWN_WORD).delete()
    else:
        reason = Suppression.Reason.UNSUBSCRIBED
        suppress(team_id=team_id, address=address, topic=channel, reason=reason, source=source)


def normal_address(channel: str, address: str, *, country: str = "") -> str:
    """An address as choices are kept by it; empty when it is none. Numbers without a country get that of `country`."""
    return device_token(address) if channel == OptIn.Channel.PUSH else e164(address, country=country)


def said_address(*, team_id: int, channel: str, address: str) -> str:
    """The address of a choice that somebody typed, with the country of the team's channel. Raises WrongAddress."""
    found = normal_address(channel, address, country=country_of(enabled_for(channel, [team_id]).get(team_id, ())))
    if not found:
        raise WrongAddress(NO_DEVICE if channel == OptIn.Channel.PUSH else NO_COUNTRY)
    return found


def with_countries(messages: Sequence[Message]) -> list[Message]:
    """Give numbers of letters the country of their team's provider; those that changed, unsaved."""
    changed = []
    for channel in (OptIn.Channel.SMS.value, OptIn.Channel.WHATSAPP.value):
        mine = [message for message in messages if message.channel == channel]
        rows = enabled_for(channel, {message.team_id for message in mine}) if mine else {}
        for message in mine:
            providers = rows.get(message.team_id)
            number = e164(message.recipient, country=country_of(providers)) if providers else ""
            if number and number != message.recipient:
                message.recipient = number
                changed.append(message)
    return changed


def country_of(rows: Sequence[Integration]) -> str:
    """The calling code of numbers without one, as the team's provider of a channel says; empty for none."""
    return str((rows[0].options or {}).get("country") or "") if rows else ""


def refusals(messages: Sequence[Message]) -> dict[int, tuple[str, str]]:
    """Letters that may not be sent, as (code, sentence) by id; three statements for each channel among them.

    Who said no gets nothing with a topic. Where the team's provider asks for consent, neither does who said nothing.
    """
    found: dict[int, tuple[str, str]] = {}
    for channel in sorted(CHANNELS & {message.channel for message in messages}):
        mine = [message for message in messages if message.channel == channel and message.topic]
        if mine:
            found |= _refusals(channel, mine)
    return found


def _refusals(channel: str, messages: Sequence[Message]) -> dict[int, tuple[str, str]]:
    asking = _asking(channel, {message.team_id for message in messages})
    said = _said(channel, messages)
    found: dict[int, tuple[str, str]] = {}
    for message in messages:
        granted = said.get((message.team_id, message.recipient))
        if granted is False:
            found[message.pk] = (WITHDRAWN, f"Not sent: this contact does not want {NAMES[channel]} any more.")
        elif granted is None and message.team_id in asking:
            found[message.pk] = (NO_CONSENT, f"Not sent: this contact has not agreed to get {NAMES[channel]}.")
    return found


def _asking(channel: str, team_ids: Collection[int]) -> set[int]:
    rows: dict[int, list[Integration]] = enabled_for(channel, team_ids)
    return {team_id for team_id, each in rows.items() if any(row.asks_consent for row in each)}


def _said(channel: str, messages: Sequence[Message]) -> dict[tuple[int, str], bool]:
    teams, addresses = {message.team_id for message in messages}, {message.recipient for message in messages}
    said: dict[tuple[int, str], bool] = {}
    if channel == OptIn.Channel.PUSH:
        devices = Device.objects.filter(team_id__in=teams, token__in=addresses).values_list("team_id", "token")
        said = dict.fromkeys(devices, True)
    rows = OptIn.objects.filter(team_id__in=teams, channel=channel, address__in=addresses).order_by("pk")
    for team_id, address, granted in rows.values_list("team_id", "address", "granted"):
        said[team_id, address] = granted
    return said
