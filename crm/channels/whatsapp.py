"""WhatsApp by Meta's Cloud API: texts within an open conversation, and templates that were approved there."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crm.channels.answers import HttpAnswer
from crm.channels.base import Delivered, DeliveryResult, Refused
from crm.channels.letters import Letter, dialled
from crm.channels.wire import inside, post_json, refusal, said

BASE: Final = "https://graph.facebook.com/v23.0"
# Limits of the account, of the pair of numbers, of the template.
BUSY: Final = frozenset({"4", "80007", "130429", "131048", "131056", "133016"})
# Those of the account, its token and its rights.
SHUT: Final = frozenset({"4", "10", "190", "80007", "130429", "131005", "131031"})
UNREACHABLE: Final = frozenset({"131026"})
# What the step's template is called among the data of a letter.
APPROVED: Final = "approved"


@dataclass(frozen=True, slots=True)
class WhatsappCloud:
    """One phone number of a business account."""

    number_id: str
    secret: str
    base: str = BASE
    country: str = ""
    many_at_once = True

    def deliver(self, letter: Letter) -> DeliveryResult:
        """Hand one message over; the id that Meta gives it is the reference."""
        to = dialled(letter, country=self.country)
        if isinstance(to, Refused):
            return to
        url = f"{self.base.rstrip('/')}/{self.number_id}/messages"
        answer = post_json(url, self._message(letter, to), {"authorization": f"Bearer {self.secret}"})
        if not isinstance(answer, HttpAnswer):
            return answer
        body = said(answer)
        if answer.accepted:
            return Delivered(reference=str(inside(body, "messages", 0, "id") or ""))
        code = str(inside(body, "error", "code") or "")
        words = inside(body, "error", "error_data", "details") or inside(body, "error", "message")
        return refusal(answer, who="WhatsApp", code=code, words=words, busy=code in BUSY, shut=code in SHUT)

    def _message(self, letter: Letter, to: str) -> dict[str, Any]:
        message: dict[str, Any] = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": to[1:]}
        if letter.ref:
            message["biz_opaque_callback_data"] = letter.ref
        approved = letter.data.get(APPROVED)
        if isinstance(approved, Mapping):
            return {**message, "type": "template", "template": _template(approved)}
        return {**message, "type": "text", "text": {"body": letter.text, "preview_url": False}}


def _template(approved: Mapping[str, Any]) -> dict[str, Any]:
    template: dict[str, Any] = {
        "name": str(approved.get("name") or ""),
        "language": {"code": str(approved.get("language") or "en")},
    }
    values = [{"type": "text", "text": str(each)} for each in approved.get("parameters") or ()]
    if values:
        template["components"] = [{"type": "body", "parameters": values}]
    return template


def meta_signature(*, secret: str, body: bytes) -> str:
    """The value of X-Hub-Signature-256 for a body, byte for byte."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
