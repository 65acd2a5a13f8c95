"""Receiving webhooks: checked first, stored before they are answered, worked off by the next pass."""

import hashlib
import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from crm.faults import point, register
from crm.sealing import seal, unseal
from crm.signatures import LONGEST_ID, BadSignature, new_secret, verify
from pipelines.engine.kick import kick
from pipelines.engine.unheard import commit_unheard
from pipelines.models import Hook, HookDelivery, Trigger
from pipelines.triggers.storing import storable

LARGEST_BYTES: Final = 256 * 1024
DEEPEST: Final = 20
MARK: Final = "crmh_"

# The same whatever is wrong, so that nobody learns by trying.
UNSIGNED: Final = (
    "The signature does not fit: sign id.timestamp.body with the secret, by Standard Webhooks, within five minutes."
)

register("in_hook", "a webhook is stored, nothing is committed", in_transaction=True)
register("after_hook", "a webhook is committed and not answered yet")


class NotAccepted(Exception):
    """The post cannot be used as it is; `status` is the answer's."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@dataclass(frozen=True, slots=True)
class Opened:
    """A new address and its secret, which can never be shown again."""

    hook: Hook
    token: str
    secret: str


def open_hook(
    *,
    trigger: Trigger,
    name: str,
    signed: bool = True,
    fields: Mapping[str, Any] | None = None,
    topic: str = "",
    by: Any = None,
) -> Opened:
    """Make an address for a webhook trigger; `signed` asks posts for a signature of Standard Webhooks."""
    token, secret = MARK + secrets.token_hex(20), new_secret() if signed else ""
    hook = Hook.objects.create(
        team=trigger.pipeline.team,
        trigger=trigger,
        name=name,
        token_hash=token_hash(token),
        token_hint=token[-4:],
        secret=seal(secret) if secret else "",
        fields=dict(fields or {}),
        topic=topic,
        created_by=by,
    )
    return Opened(hook, token, secret)


def renew_hook(*, hook: Hook, signed: bool) -> Opened:
    """A new address and a new secret; the old ones stop at once."""
    token, secret = MARK + secrets.token_hex(20), new_secret() if signed else ""
    hook.token_hash, hook.token_hint = token_hash(token), token[-4:]
    hook.secret = seal(secret) if secret else ""
    hook.save(update_fields=["token_hash", "token_hint", "secret"])
    return Opened(hook, token, secret)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def receive(*, hook: Hook, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Store what was posted, once for each id; False when it had been stored before.

    Raises NotAccepted, and then keeps nothing but a count.
    """
    try:
        message_id = _message_id(hook, headers, body, now)
        payload = _payload(body)
    except NotAccepted:
        Hook.objects.filter(pk=hook.pk).update(refused_total=F("refused_total") + 1)
        raise
    with transaction.atomic():
        _, is_new = HookDelivery.objects.get_or_create(
            hook=hook, message_id=message_id, defaults={"body": payload, "at": now}
        )
        if is_new:
            Hook.objects.filter(pk=hook.pk).update(received_total=F("received_total") + 1, last_received_at=now)
            transaction.on_commit(kick)
        point("in_hook", then=commit_unheard)
    point("after_hook")
    return is_new


def take_in_again(*, delivery: HookDelivery) -> bool:
    """Let the next pass take a failed post in once more, from what was stored; False when it is not failed now."""
    failed = HookDelivery.objects.filter(pk=delivery.pk, state=HookDelivery.State.FAILED)
    with transaction.atomic():
        is_again = bool(failed.update(state=HookDelivery.State.RECEIVED, outcome="", finished_at=None))
        if is_again:
            transaction.on_commit(kick)
    return is_again


def _message_id(hook: Hook, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    if hook.is_signed:
        try:
            return verify(secret=unseal(hook.secret), headers=headers, body=body, now=now.timestamp())
        except BadSignature:
            raise NotAccepted(401, UNSIGNED) from None
    given = headers.get("webhook-id") or headers.get("idempotency-key") or ""
    if len(given) > LONGEST_ID:
        raise NotAccepted(400, "The id is too long.")
    return given or str(uuid.uuid4())


def _payload(body: bytes) -> dict[str, Any]:
    if len(body) > LARGEST_BYTES:
        raise NotAccepted(413, "The body is larger than 256 KiB.")
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAccepted(400, "The body is not JSON.") from None
    if not isinstance(payload, dict) or not storable(payload, DEEPEST):
        raise NotAccepted(400, f"The body is a JSON object of at most {DEEPEST} levels, in texts that can be stored.")
    return payload
