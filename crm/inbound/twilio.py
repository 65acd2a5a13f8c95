"""Posts of Twilio: signed over the address and every field; a status of a message, or a reply."""

import hmac
from collections.abc import Mapping
from typing import Final

from crm.channels.letters import e164
from crm.channels.sms import GONE, twilio_signature
from crm.inbound.reports import Reply, Report

KINDS: Final[Mapping[str, str]] = {
    "sent": "sent", "delivered": "delivered", "undelivered": "undelivered", "failed": "failed", "read": "read",
}  # fmt: skip


def is_signed(*, secret: str, url: str, form: Mapping[str, str], given: str) -> bool:
    """Whether the post is Twilio's; `url` is the whole address as it was called."""
    wanted = twilio_signature(secret=secret, url=url, form=form)
    return bool(secret) and hmac.compare_digest(wanted.encode(), given.encode())


def read(form: Mapping[str, str], *, message: str) -> Report | Reply | None:
    """What a post says; None for states on the way, such as queued."""
    reference = form.get("MessageSid") or form.get("SmsSid") or ""
    status = (form.get("MessageStatus") or form.get("SmsStatus") or "").lower()
    if "Body" in form and status in ("", "received"):
        number = e164(form.get("From", ""))
        meaning = form.get("OptOutType", "").lower()
        return (
            Reply(number, form["Body"], reference, meaning if meaning in ("stop", "start") else "") if number else None
        )
    if status not in KINDS:
        return None
    code = form.get("ErrorCode", "")
    return Report(KINDS[status], message, reference, code, form.get("ErrorMessage", ""), gone=code in GONE)
