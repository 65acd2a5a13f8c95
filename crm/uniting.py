"""Addresses turn out to be one person's: what was refused with any of them holds for the one that stays.

Only refusals come along. Consent was given for an address, a number or a device, and stays with it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from django.db import transaction

from crm.channels.letters import e164
from crm.integrations import enabled_by_channel
from crm.models import ConsentEntry, OptIn, Subscription, Suppression
from crm.opt_in import country_of, say
from crm.signals import addresses_suppressed
from crm.suppression import kept_rows

HOW: Final = "merged contacts"
# That mail bounces belongs to an address and says nothing of another.
_PERSONAL: Final = (Suppression.Reason.UNSUBSCRIBED, Suppression.Reason.COMPLAINED, Suppression.Reason.MANUAL)
_BY_NUMBER: Final = (OptIn.Channel.SMS, OptIn.Channel.WHATSAPP)


@transaction.atomic
def unite_mail(*, team_id: int, keep: str, others: Collection[str], now: datetime) -> list[str]:
    """Let `keep` get no mail that was refused with one of the others; the topics, an empty one for everything."""
    keep = keep.strip().lower()
    rest = {each.strip().lower() for each in others} - {keep, ""}
    new = _inherit(team_id, keep, rest, None) if keep and rest else []
    topics = [row.topic for row in new]
    left = [row for row in new if row.reason == Suppression.Reason.UNSUBSCRIBED]
    ConsentEntry.objects.bulk_create(
        ConsentEntry(
            team_id=team_id, address=keep, topic=row.topic, kind=ConsentEntry.Kind.UNSUBSCRIBED, at=now, how=HOW
        )
        for row in left
    )
    Subscription.objects.filter(team_id=team_id, address=keep, topic__in=topics).delete()
    return topics


@transaction.atomic
def unite_numbers(*, team_id: int, keep: str, others: Collection[str], now: datetime) -> list[str]:
    """Let `keep` get no messages over channels that were withdrawn with one of the others; these channels."""
    providers = enabled_by_channel(team_id)
    found = []
    for channel in _BY_NUMBER:
        country = country_of(providers.get(channel, ()))
        mine, rest = e164(keep, country=country), {e164(each, country=country) for each in others}
        rest -= {mine, ""}
        if not mine or not rest:
            continue
        _inherit(team_id, mine, rest, channel)
        if _withdrawn(team_id, channel, rest) and not _withdrawn(team_id, channel, {mine}):
            say(team_id=team_id, channel=channel, address=mine, granted=False, source=HOW, now=now)
            found.append(str(channel.label))
    return found


def _inherit(team_id: int, keep: str, others: Collection[str], topic: str | None) -> list[Suppression]:
    """Suppressions of the others, of one topic or of all, that are new for `keep`; three statements."""
    known = [
        row
        for row in kept_rows(team_id=team_id, addresses={keep, *others})
        if topic is None or row.topic in ("", topic)
    ]
    mine = {row.topic for row in known if row.address == keep}
    theirs = {row.topic: row for row in known if row.address != keep and row.reason in _PERSONAL}
    new = [
        Suppression(team_id=team_id, address=keep, topic=each, reason=row.reason, source=HOW)
        for each, row in theirs.items()
        if each not in mine
    ]
    Suppression.objects.bulk_create(new, ignore_conflicts=True)
    for reason in sorted({str(row.reason) for row in new}):
        refused = [(team_id, keep, row.topic) for row in new if row.reason == reason]
        addresses_suppressed.send(sender=Suppression, addresses=refused, reason=reason)
    return new


def _withdrawn(team_id: int, channel: str, numbers: Collection[str]) -> bool:
    """Whether the last word about one of these numbers was no."""
    rows: Sequence[tuple[str, bool]] = list(
        OptIn.objects.filter(team_id=team_id, channel=channel, address__in=numbers)
        .order_by("pk")
        .values_list("address", "granted")
    )
    return not all(dict(rows).values())
