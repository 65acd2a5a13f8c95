"""Message-IDs that only this installation can make: a report about a message must show that its sender has seen it."""

import hashlib
import hmac
import re
from typing import Final

from django.conf import settings

_OURS: Final = re.compile(r"<run-(\d{1,19}\.-?\d{1,19}\.\d{1,19})\.([0-9a-f]{24})@[^<>@\s]{1,253}>")


def message_id(*, run_id: int, seq: int, n: int, domain: str) -> str:
    """The same id for every attempt at one visit of a step."""
    name = f"{run_id}.{seq}.{n}"
    return f"<run-{name}.{_token(name, str(settings.SECRET_KEY))}@{domain}>"


def is_ours(text: str) -> bool:
    """True for an id made here, also with a key that was replaced since."""
    found = _OURS.fullmatch(text)
    if found is None:
        return False
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(hmac.compare_digest(found[2], _token(found[1], str(key))) for key in keys)


def _token(name: str, key: str) -> str:
    return hmac.new(f"message-id:{key}".encode(), name.encode(), hashlib.sha256).hexdigest()[:24]
