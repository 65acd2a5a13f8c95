"""Signed tokens (RFC 7515) as push services want them, with the keys of the cryptography package."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def packed(data: bytes) -> str:
    """Base64 for addresses and headers, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unpacked(text: str) -> bytes:
    """The other way round; raises ValueError."""
    return base64.b64decode(
        text.encode().translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(text) % 4), validate=True
    )


def signed(claims: Mapping[str, Any], key: Key) -> str:
    """Claims signed by ES256 or RS256, whatever the key is for."""
    name = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
    parts = [packed(json.dumps(part, separators=(",", ":")).encode()) for part in ({"typ": "JWT", "alg": name}, claims)]
    return f"{'.'.join(parts)}.{packed(_signature('.'.join(parts).encode(), key))}"


def _signature(data: bytes, key: Key) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
