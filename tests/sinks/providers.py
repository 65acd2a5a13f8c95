"""Providers on loopback that speak their own HTTP: an SMS gateway, a push service and Meta's Cloud API."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.test import Client

from crm.channels.sms import twilio_signature
from crm.channels.tokens import packed, unpacked
from crm.channels.whatsapp import meta_signature
from crm.channels.wire import basic
from tests.sinks.http import Answer, HttpSink

ACCOUNT, SECRET = "AC0123456789", "the-auth-token-of-twilio"


def said(status: int, value: Any, **headers: str) -> Answer:
    """A scripted answer in JSON."""
    return Answer(status, {name.replace("_", "-"): text for name, text in headers.items()}, json.dumps(value).encode())


class SmsGateway(HttpSink):
    """Takes messages as Twilio does: the account by basic authentication, a form, and 201 with an SID."""

    def answer_to(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._answers:
            return self.next_answer()
        form = dict(parse_qsl(body.decode()))
        if headers.get("authorization") != basic(ACCOUNT, SECRET)["authorization"]:
            return said(401, {"code": 20003, "message": "Authenticate", "status": 401})
        if path != f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json" or not {"To", "From", "Body"} <= form.keys():
            return said(404, {"code": 20404, "message": "Not found", "status": 404})
        return said(201, {"sid": f"SM{len(self.requests()):032d}", "status": "queued"})

    def sent(self) -> list[dict[str, str]]:
        """The forms that arrived."""
        return [dict(parse_qsl(each["body"])) for each in self.requests()]

    def report(self, client: Client, status: str, *, of: int = -1, **more: str) -> Any:
        """What becomes of a message, posted where it asked for it and signed."""
        url = self.sent()[of]["StatusCallback"]
        form = {"MessageSid": f"SM{len(self.requests()) if of == -1 else of + 1:032d}", "MessageStatus": status, **more}
        return post_signed(client, url, form)


def post_signed(client: Client, url: str, form: Mapping[str, str], *, secret: str = SECRET) -> Any:
    """A post of Twilio; `url` is absolute."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    signature = twilio_signature(secret=secret, url=url, form=form)
    return client.post(path, dict(form), headers={"X-Twilio-Signature": signature})


class PushService(HttpSink):
    """The push service of a browser: checks who sends, keeps what is encrypted, forgets subscriptions on demand."""

    def __init__(self, path: Path, **more: Any) -> None:
        super().__init__(path, **more)
        self.gone: set[str] = set()

    def answer_to(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._answers:
            return self.next_answer()
        if path in self.gone:
            return Answer(410, body=b"push subscription has unsubscribed or expired.")
        signed = str(headers.get("authorization")).startswith("vapid t=")
        return Answer(201 if signed and headers.get("ttl") else 400, body=b"")


class Browser:
    """What subscribes: keys of its own, and the only one that can read what is sent to it."""

    def __init__(self, service: PushService, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = b"0123456789abcdef"
        self.path = f"/push/{name}"
        self._service = service

    @property
    def subscription(self) -> dict[str, Any]:
        keys = {"p256dh": packed(_point(self._key)), "auth": packed(self._auth)}
        return {"endpoint": f"{self._service.url}{self.path}", "keys": keys}

    def shown(self) -> list[dict[str, Any]]:
        """The messages that reached it, decrypted."""
        mine = [each for each in self._service.requests() if each["path"] == self.path]
        return [json.loads(self._open(base64.b64decode(each["raw"]))) for each in mine]

    def _open(self, body: bytes) -> bytes:
        salt, sender, sealed = body[:16], body[21:86], body[86:]
        shared = self._key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        first = _derived(shared, self._auth, b"WebPush: info\0" + _point(self._key) + sender, 32)
        key = _derived(first, salt, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _derived(first, salt, b"Content-Encoding: nonce\0", 12)
        return AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0").removesuffix(b"\x02")


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length=length, salt=salt, info=info).derive(secret)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def vapid_holds(authorization: str, *, audience: str) -> bool:
    """Whether a push service would believe who sends: the signature fits the key that comes with it."""
    fields = dict(part.strip().split("=", 1) for part in authorization.removeprefix("vapid ").split(","))
    head, claims, signature = fields["t"].split(".")
    raw = unpacked(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unpacked(fields["k"]))
    key.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(SHA256()))
    return bool(json.loads(unpacked(claims))["aud"] == audience)


def post_from_meta(client: Client, url: str, value: Any, *, secret: str) -> Any:
    """A post of Meta, signed over its body."""
    body = json.dumps({"object": "whatsapp_business_account", "entry": [{"changes": [{"value": value}]}]})
    headers = {"X-Hub-Signature-256": meta_signature(secret=secret, body=body.encode())}
    return client.post(urlsplit(url).path, body, content_type="application/json", headers=headers)
