"""Posts of Meta about WhatsApp: signed over the body; statuses of messages and replies, several in one post."""

import hmac
from collections.abc import Iterator, Mapping
from typing import Any, Final

from crm.channels.letters import e164
from crm.channels.whatsapp import UNREACHABLE, meta_signature
from crm.channels.wire import inside
from crm.inbound.reports import Reply, Report

KINDS: Final = frozenset({"sent", "delivered", "read", "failed"})
MOST: Final = 1_000


def is_signed(*, secret: str, body: bytes, given: str) -> bool:
    """Whether the post is Meta's."""
    return bool(secret) and hmac.compare_digest(meta_signature(secret=secret, body=body).encode(), given.encode())


def read(value: Any) -> list[Report | Reply]:
    """What a post says, in its order."""
    return [item for part in _values(value) for item in _items(part)][:MOST]


def _values(value: Any) -> Iterator[Mapping[str, Any]]:
    for entry in _list(inside(value, "entry")):
        for change in _list(inside(entry, "changes")):
            found = inside(change, "value")
            if isinstance(found, Mapping):
                yield found


def _items(value: Mapping[str, Any]) -> Iterator[Report | Reply]:
    for status in _list(value.get("statuses")):
        kind = str(inside(status, "status") or "")
        if kind not in KINDS:
            continue
        code = str(inside(status, "errors", 0, "code") or "")
        yield Report(
            kind=kind,
            message=str(inside(status, "biz_opaque_callback_data") or ""),
            reference=str(inside(status, "id") or "")[:200],
            code=code,
            detail=str(inside(status, "errors", 0, "title") or ""),
            gone=code in UNREACHABLE,
        )
    for message in _list(value.get("messages")):
        number = e164(f"+{inside(message, 'from') or ''}")
        text = inside(message, "text", "body") or inside(message, "button", "text") or ""
        if number:
            yield Reply(number, str(text), str(inside(message, "id") or "")[:200])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
