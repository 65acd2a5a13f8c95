"""Secrets of teams at rest, and tokens of links in mail: sealed with the keys of the settings, newest first."""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class SealBroken(Exception):
    """The text was sealed with a key that is no longer among `ENCRYPTION_KEYS`."""


def seal(text: str) -> str:
    """The text, readable only with the keys of this installation."""
    return _cipher().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """The text of `seal`; raises SealBroken when no key fits."""
    try:
        return _cipher().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise SealBroken("No key of ENCRYPTION_KEYS opens this secret: put the key it was sealed with back.") from None


def link_token(purpose: str, values: Sequence[int | str]) -> str:
    """The values as an opaque part of an address, which only links of this purpose open."""
    text = json.dumps(values, separators=(",", ":"))
    return _link_cipher(purpose).encrypt(text.encode()).decode().rstrip("=")


def link_values(purpose: str, token: str) -> list[Any] | None:
    """The values of `link_token`, None when the token was not made here for this purpose."""
    try:
        found = json.loads(_link_cipher(purpose).decrypt(token + "=" * (-len(token) % 4)))
    except (InvalidToken, ValueError):
        return None
    return found if isinstance(found, list) else None


def _link_cipher(purpose: str) -> MultiFernet:
    """Keys for one kind of link alone, and those of predecessors so that links in old mail keep working."""
    return _link_ciphers(
        purpose, tuple(str(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    )


@lru_cache(maxsize=16)
def _link_ciphers(purpose: str, secrets: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(secret, purpose)) for secret in secrets])


def _cipher() -> MultiFernet:
    """Without keys of its own an installation seals with keys derived from its secret key."""
    derived = [_derived(str(secret)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    keys = [*settings.ENCRYPTION_KEYS, *derived]
    return MultiFernet([Fernet(key) for key in keys])


def _derived(secret: str, purpose: str = "sealing") -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(f"{purpose}:{secret}".encode()).digest()).decode()
