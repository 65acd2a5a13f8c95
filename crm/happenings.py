"""What became of a sent message, whoever told it: noted once, and what follows from it in the same transaction."""

import zlib
from datetime import datetime
from typing import Final

from django.db import transaction

from crm.models import Message, MessageEvent, Suppression
from crm.signals import message_happened
from crm.suppression import suppress

Kind = MessageEvent.Kind
# Places of bounces: the mailbox does not exist, or something that may be mended.
SOFT, HARD = 0, 1
LONGEST_TEXT: Final = 20_000


def note(
    message: Message,
    kind: str,
    *,
    at: datetime,
    place: int = 0,
    human: bool = False,
    reason: str = "",
    url: str = "",
    text: str = "",
) -> bool:
    """True when it is new; told again it changes nothing. The apps above hear of it in this transaction."""
    with transaction.atomic():
        event, new = MessageEvent.objects.get_or_create(
            message=message, kind=kind, place=place, likely_human=human,
            defaults={
                "team_id": message.team_id, "reason": reason[:60], "url": url[:2000], "text": text[:LONGEST_TEXT],
                "at": at, "last_at": at,
            },
        )  # fmt: skip
        if new:
            message_happened.send(sender=MessageEvent, message=message, event=event)
    return new


@transaction.atomic
def bounced(message: Message, *, hard: bool, detail: str, source: str, at: datetime) -> None:
    """It did not arrive; where there is no such mailbox nothing more is sent to it."""
    if note(message, Kind.BOUNCED, place=HARD if hard else SOFT, reason=detail, at=at) and hard:
        reason = Suppression.Reason.BOUNCED
        suppress(team_id=message.team_id, address=message.recipient, topic="", reason=reason, source=source)


@transaction.atomic
def complained(message: Message, *, source: str, at: datetime) -> None:
    """Its reader called it unwanted: nothing more is sent there."""
    if note(message, Kind.COMPLAINED, at=at):
        reason = Suppression.Reason.COMPLAINED
        suppress(team_id=message.team_id, address=message.recipient, topic="", reason=reason, source=source)


def place_of(text: str) -> int:
    """A number for something without one, above those of links: the same for the same text."""
    return 1_000_000 + zlib.crc32(text.encode()) % 1_000_000_000
