"""What came back changes the message it is about: bounces and complaints suppress, answers are noted, each once."""

from collections.abc import Sequence
from datetime import datetime

from crm.happenings import Kind, bounced, complained, note, place_of
from crm.inbound.reading import Returned
from crm.message_ids import is_ours
from crm.models import Message


def take_in(returned: Returned, *, now: datetime) -> Message | None:
    """The message it was about, None when there is none, or the report names somebody else or shows no id of ours.

    Taking the same in again changes nothing.
    """
    message = _message(returned.message_ids)
    if message is None or not _is_about(returned, message):
        return None
    source = f"report: {returned.detail}"[:200] if returned.detail else "report"
    if returned.kind == "bounced":
        bounced(message, hard=returned.gone, detail=returned.detail, source=source, at=now)
    elif returned.kind == "complained":
        complained(message, source=source, at=now)
    elif returned.kind == "replied":
        reason = "an automatic answer" if returned.automatic else ""
        place = place_of(returned.own_id) if returned.own_id else 0
        note(
            message, Kind.REPLIED, place=place, human=not returned.automatic, reason=reason, text=returned.text, at=now
        )
    return message


def _message(ids: Sequence[str]) -> Message | None:
    rows = {row.message_id: row for row in Message.objects.filter(message_id__in=ids, sent_at__isnull=False)}
    return next((rows[each] for each in ids if each in rows), None)


def _is_about(returned: Returned, message: Message) -> bool:
    """Reports name whom the mail did not reach: one about somebody else suppresses nobody.

    Nor does one by somebody who cannot have seen the message: its id holds a token that nobody else can make.
    """
    if returned.kind == "replied":
        return True
    if not is_ours(message.message_id):
        return False
    if returned.address:
        return returned.address.strip().lower() == message.recipient.lower()
    return returned.kind == "complained"
