"""Push messages to apps by Firebase Cloud Messaging, HTTP version 1, as a service account."""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crm.channels.answers import HttpAnswer
from crm.channels.base import Delivered, DeliveryResult, Refused, Unknown
from crm.channels.letters import Letter, Target
from crm.channels.tokens import signed
from crm.channels.wire import inside, post_form, post_json, refusal, said

BASE: Final = "https://fcm.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
HOUR: Final = 3_600
MARGIN: Final = 120.0

# Access tokens by account, in the memory of this process alone: (token, end on the monotonic clock).
_tokens: dict[str, tuple[str, float]] = {}
_lock = threading.Lock()


class BadAccount(ValueError):
    """The file of the service account cannot be used; the sentence says why."""


def read_account(text: str) -> dict[str, str]:
    """The service account of a downloaded JSON file; raises BadAccount."""
    try:
        found: Any = json.loads(text)
        names = ("project_id", "client_email", "private_key", "token_uri")
        account = {name: str(found[name]) for name in names}
        _key(account["private_key"])
    except (ValueError, TypeError, KeyError):
        raise BadAccount("Paste the whole JSON file of a service account, as Firebase gave it to you.") from None
    return account


@dataclass(frozen=True, slots=True)
class Fcm:
    """Sends as one service account."""

    account: str
    base: str = BASE

    def send(self, target: Target, letter: Letter) -> DeliveryResult:
        """Hand one message over for one device."""
        try:
            account = read_account(self.account)
        except BadAccount as error:
            return Refused(code="validation", detail=str(error), permanent=True)
        token = self._token(account)
        if not isinstance(token, str):
            return token
        url = f"{self.base.rstrip('/')}/v1/projects/{account['project_id']}/messages:send"
        answer = post_json(url, {"message": _message(target, letter)}, {"authorization": f"Bearer {token}"})
        if not isinstance(answer, HttpAnswer):
            return answer
        body = said(answer)
        if answer.accepted:
            return Delivered(reference=str(body.get("name") or ""))
        if answer.status == 401:
            _tokens.pop(account["client_email"], None)
        code = inside(body, "error", "details", 0, "errorCode")
        gone = answer.status == 404 or code == "UNREGISTERED"
        words = inside(body, "error", "message")
        # A device may have registered with another account.
        shut = answer.status == 403 and code != "SENDER_ID_MISMATCH"
        return refusal(answer, who="Firebase", words=words, gone=gone, busy=answer.status == 401, shut=shut)

    def _token(self, account: dict[str, str]) -> str | Refused:
        """An access token, kept until shortly before its end; nothing was sent when there is none."""
        with _lock:
            known = _tokens.get(account["client_email"])
            if known is not None and known[1] > time.monotonic():
                return known[0]
            now = int(time.time())
            claims = {
                "iss": account["client_email"], "scope": SCOPE, "aud": account["token_uri"], "iat": now,
                "exp": now + HOUR,
            }  # fmt: skip
            form = {"grant_type": GRANT, "assertion": signed(claims, _key(account["private_key"]))}
            answer = post_form(account["token_uri"], form, {})
            if isinstance(answer, Unknown):
                return Refused(code="timeout", detail=answer.detail, permanent=False, away="sure")
            if isinstance(answer, Refused):
                return answer
            body = said(answer)
            if not answer.accepted or not body.get("access_token"):
                words = body.get("error_description") or body.get("error")
                return refusal(answer, who="Google's login", words=words, shut=True)
            token = str(body["access_token"])
            lasts = body.get("expires_in")
            seconds = float(lasts) if isinstance(lasts, int | float) else float(HOUR)
            _tokens[account["client_email"]] = (token, time.monotonic() + max(seconds - MARGIN, 0.0))
            return token


def _message(target: Target, letter: Letter) -> dict[str, Any]:
    message: dict[str, Any] = {
        "token": target.token,
        "notification": {"title": letter.title, "body": letter.text},
    }
    if letter.data:
        message["data"] = {str(name): str(value) for name, value in letter.data.items()}
    return message


def _key(text: str) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(text.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("not an RSA key")
    return key
