"""Addresses nothing may be sent to."""

from collections.abc import Collection, Sequence

from django.db import transaction

from crm.models import Suppression
from crm.signals import addresses_suppressed


def suppressed(*, team_id: int, addresses: Collection[str], topic: str) -> dict[str, str]:
    """Reason by lower-case address, for those that may not get mail of `topic`; one query.

    A suppression without a topic stops everything; one with a topic stops that topic only.
    """
    wanted = {address.strip().lower() for address in addresses}
    if not wanted:
        return {}
    rows = Suppression.objects.filter(team_id=team_id, address__in=wanted, topic__in={"", topic})
    # A general suppression is named before one of the topic.
    return dict(rows.order_by("-topic").values_list("address", "reason"))


def suppress_bounced(addresses: Collection[tuple[int, str]], *, source: str) -> None:
    """Keep all mail from these (team, address), which no mailbox answers to; two statements for any number."""
    rows = [
        Suppression(team_id=team_id, address=address.strip().lower(), reason=Suppression.Reason.BOUNCED, source=source)
        for team_id, address in dict.fromkeys(addresses)
    ]
    with transaction.atomic():
        Suppression.objects.bulk_create(rows, ignore_conflicts=True)
        _tell([(row.team_id, row.address, "") for row in rows], Suppression.Reason.BOUNCED)


def suppress(*, team_id: int, address: str, topic: str, reason: str, source: str = "") -> bool:
    """Store a suppression; True when it is new. Storing it again changes nothing."""
    with transaction.atomic():
        row, created = Suppression.objects.get_or_create(
            team_id=team_id,
            address=address.strip().lower(),
            topic=topic,
            defaults={"reason": reason, "source": source[:200]},
        )
        if created:
            _tell([(team_id, row.address, topic)], reason)
    return created


def _tell(addresses: Sequence[tuple[int, str, str]], reason: str) -> None:
    """Let the apps above know."""
    addresses_suppressed.send(sender=Suppression, addresses=addresses, reason=str(reason))
