"""What came back changes the message it is about: bounces and complaints suppress, answers are noted, each once."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from crm.inbound.reading import Returned
from crm.models import Message, MessageEvent, Suppression
from crm.signals import message_happened
from crm.suppression import suppress

Kind = MessageEvent.Kind
_REASONS = {"bounced": Suppression.Reason.BOUNCED, "complained": Suppression.Reason.COMPLAINED}


def take_in(returned: Returned, *, now: datetime) -> Message | None:
    """The message it was about, None when there is none or the report names somebody else.

    Taking the same in again changes nothing.
    """
    message = _message(returned.message_ids)
    if message is None or not _is_about(returned, message):
        return None
    if returned.kind == "delayed":
        return message
    with transaction.atomic():
        new = _note(message, returned, now)
        reason = _REASONS.get(returned.kind)
        if new and reason is not None and (returned.kind == "complained" or returned.gone):
            suppress(
                team_id=message.team_id, address=message.recipient, topic="", reason=reason,
                source=f"report: {returned.detail}"[:200] if returned.detail else "report",
            )  # fmt: skip
    return message


def _message(ids: Sequence[str]) -> Message | None:
    rows = {row.message_id: row for row in Message.objects.filter(message_id__in=ids, sent_at__isnull=False)}
    return next((rows[each] for each in ids if each in rows), None)


def _is_about(returned: Returned, message: Message) -> bool:
    """Reports name whom the mail did not reach: one about somebody else suppresses nobody."""
    if returned.kind in ("bounced", "complained") and returned.address:
        return returned.address.strip().lower() == message.recipient.lower()
    return returned.kind != "bounced" or bool(returned.address)


def _note(message: Message, returned: Returned, now: datetime) -> bool:
    human = returned.kind == "replied" and not returned.automatic
    reason = "an automatic answer" if returned.automatic else returned.detail if returned.kind == "bounced" else ""
    event, new = MessageEvent.objects.get_or_create(
        message=message, kind=returned.kind, place=0, likely_human=human,
        defaults={"team_id": message.team_id, "reason": reason[:60], "at": now, "last_at": now},
    )  # fmt: skip
    if new:
        message_happened.send(sender=MessageEvent, message=message, event=event)
    return new
