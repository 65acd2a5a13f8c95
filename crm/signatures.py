"""Signatures of webhooks by the Standard Webhooks specification, version 1 (HMAC-SHA256): made and checked."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Final

MARK: Final = "whsec_"
TOLERANCE: Final = 300.0  # seconds that a timestamp may be off, both ways
LONGEST_ID: Final = 120


class BadSignature(Exception):
    """The request was not signed with the secret, or not within the last five minutes."""


def new_secret() -> str:
    """A secret of 256 bits."""
    return MARK + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(*, secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature` for a body as it is sent, byte for byte."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def verify(*, secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The id of a signed request; raises BadSignature. `now` is in seconds since 1970."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not message_id or len(message_id) > LONGEST_ID or not given:
        raise BadSignature("webhook-id or webhook-signature is missing")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise BadSignature("webhook-timestamp is not a number of seconds")
    if abs(now - int(timestamp)) > TOLERANCE:
        raise BadSignature("webhook-timestamp is too far from now")
    wanted = sign(secret=secret, message_id=message_id, timestamp=int(timestamp), body=body)
    # While a secret is changed a sender may give several signatures, separated by spaces.
    if not any(hmac.compare_digest(wanted.encode(), each.encode()) for each in given.split(" ")[:10]):
        raise BadSignature("no signature fits")
    return message_id


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(MARK), validate=True)
    except binascii.Error:
        raise ValueError("a secret is whsec_ and base64") from None
