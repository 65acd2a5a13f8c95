"""SMS by the HTTP interface of Twilio, which other gateways speak as well."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crm.channels.answers import HttpAnswer
from crm.channels.base import Delivered, DeliveryResult, Refused
from crm.channels.letters import Letter, dialled
from crm.channels.wire import basic, post_form, refusal, said

BASE: Final = "https://api.twilio.com"
# Too many at once, whatever the status says.
BUSY: Final = frozenset({"14107", "20429", "21611", "30001", "30022"})
# The account is not let in: wrong credentials, not active, too many at once.
SHUT: Final = frozenset({"20003", "20005", "20429"})
# The number answered STOP, is none, or is none that gets SMS: no later attempt helps.
GONE: Final = frozenset({"21211", "21217", "21610", "21614", "30005", "30006"})


@dataclass(frozen=True, slots=True)
class TwilioSms:
    """One account; `callback` is where its reports go, `country` the calling code of numbers that have none."""

    account: str
    secret: str
    sender: str
    base: str = BASE
    country: str = ""
    callback: str = ""
    many_at_once = True

    def deliver(self, letter: Letter) -> DeliveryResult:
        """Hand one SMS over; Twilio's own id of it is the reference."""
        to = dialled(letter, country=self.country)
        if isinstance(to, Refused):
            return to
        url = f"{self.base.rstrip('/')}/2010-04-01/Accounts/{self.account}/Messages.json"
        answer = post_form(url, self._form(letter, to), basic(self.account, self.secret))
        if not isinstance(answer, HttpAnswer):
            return answer
        body = said(answer)
        if answer.accepted:
            return Delivered(reference=str(body.get("sid") or ""), detail={"status": str(body.get("status") or "")})
        code = str(body.get("code") or "")
        return refusal(
            answer, who="The SMS gateway", code=code, words=body.get("message"), busy=code in BUSY, gone=code in GONE,
            shut=code in SHUT or (answer.status == 403 and not code),
        )  # fmt: skip

    def _form(self, letter: Letter, to: str) -> dict[str, str]:
        sender = letter.sender or self.sender
        form = {"To": to, "Body": letter.text}
        form["MessagingServiceSid" if sender.startswith("MG") else "From"] = sender
        if self.callback:
            form["StatusCallback"] = f"{self.callback}?message={letter.ref}" if letter.ref else self.callback
        return form


def twilio_signature(*, secret: str, url: str, form: Mapping[str, str]) -> str:
    """The value of X-Twilio-Signature: HMAC-SHA1 over the address and the sorted fields."""
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha1).digest()).decode()
