"""Push messages to browsers: encrypted for one subscription (RFC 8291), signed as from us (RFC 8292)."""

import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crm.channels.answers import HttpAnswer
from crm.channels.base import Delivered, DeliveryResult, Refused
from crm.channels.letters import Letter, Target
from crm.channels.tokens import packed, signed, unpacked
from crm.channels.wire import post, refusal

CURVE: Final = ec.SECP256R1()
LARGEST: Final = 3_900  # bytes of the message; services take 4,096 with what encryption adds
RECORD: Final = 4_096
KEPT: Final = 4 * 7 * 24 * 3600  # seconds a service keeps it for a browser that sleeps
VALID: Final = 12 * 3600


def new_private_key() -> str:
    """A key pair of this installation's own; browsers subscribe with its public half."""
    number = ec.generate_private_key(CURVE).private_numbers().private_value
    return packed(number.to_bytes(32, "big"))


def public_key(private: str) -> str:
    """What a page gives to `pushManager.subscribe` as applicationServerKey; raises ValueError."""
    return packed(_point(private_key(private)))


def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """Raises ValueError."""
    return ec.derive_private_key(int.from_bytes(unpacked(text), "big"), CURVE)


@dataclass(frozen=True, slots=True)
class WebPush:
    """Sends with one key pair; `contact` is where the services complain, such as mailto:ops@example.org."""

    private: str
    contact: str

    def send(self, target: Target, letter: Letter) -> DeliveryResult:
        """Hand one message to the service of one browser."""
        endpoint = str(target.subscription.get("endpoint") or "")
        content = json.dumps({"title": letter.title, "body": letter.text, "data": dict(letter.data)}, default=str)
        if len(content.encode()) > LARGEST:
            sentence = f"The push message is larger than {LARGEST} bytes."
            return Refused(code="validation", detail=sentence, permanent=True)
        try:
            body = encrypt(content.encode(), target.subscription)
        except ValueError:
            return Refused(code="validation", detail="The keys of this browser cannot be read.", permanent=True)
        headers = {
            "content-encoding": "aes128gcm", "content-type": "application/octet-stream", "ttl": str(KEPT),
            "urgency": "normal", "authorization": self._authorization(endpoint),
        }  # fmt: skip
        answer = post(url=endpoint, headers=headers, body=body)
        if not isinstance(answer, HttpAnswer):
            return _doubtful(answer) if isinstance(answer, Refused) else answer
        if answer.accepted:
            return Delivered(reference="")
        words = answer.body[:200].decode("utf-8", "replace")
        return _doubtful(refusal(answer, who="The push service", words=words, gone=answer.status in (404, 410)))

    def _authorization(self, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        claims = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": int(time.time()) + VALID, "sub": self.contact}
        key = private_key(self.private)
        return f"vapid t={signed(claims, key)}, k={packed(_point(key))}"


def _doubtful(refused: Refused) -> Refused:
    """Every browser names the server of its own maker, so that one which is away says little about the others."""
    return replace(refused, away="maybe") if refused.away == "sure" else refused


def encrypt(
    content: bytes,
    subscription: Mapping[str, str],
    *,
    salt: bytes | None = None,
    own: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """The body of a request; raises ValueError for keys that are none. Salt and key are new each time."""
    theirs, secret = unpacked(subscription["p256dh"]), unpacked(subscription["auth"])
    salt = salt or os.urandom(16)
    own = own or ec.generate_private_key(CURVE)
    shared = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, theirs))
    info = b"WebPush: info\0" + theirs + _point(own)
    first = _hmac(salt, _hmac(_hmac(secret, shared), info + b"\x01"))
    key = _hmac(first, b"Content-Encoding: aes128gcm\0\x01")[:16]
    nonce = _hmac(first, b"Content-Encoding: nonce\0\x01")[:12]
    head = salt + RECORD.to_bytes(4, "big") + b"\x41" + _point(own)
    return head + AESGCM(key).encrypt(nonce, content + b"\x02", None)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()
