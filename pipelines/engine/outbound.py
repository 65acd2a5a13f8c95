"""HTTP calls of steps, through the one guarded client, each attempt with the same webhook-id."""

import json
import logging
import uuid
from typing import Any

from crm.channels.base import DeliveryResult, Unknown
from crm.channels.http import HttpFailure, request
from crm.channels.limits import configured
from pipelines.engine.unsealing import NotSent, Secrets, filled, refused
from pipelines.models import Effect

log = logging.getLogger(__name__)

# Fixed for ever: receivers discard repeats by the id that comes from it.
NAMESPACE = uuid.UUID("6f1c9c1e-8f0e-4a39-9a55-6d9b7b2f3a10")
MAX_SHOWN = 64 * 1024


def key_of(effect: Effect) -> str:
    """The idempotency key of an effect, the same for every attempt."""
    return f"{effect.run_id}:{effect.seq}:{effect.n}"


def webhook_id(effect: Effect) -> str:
    return f"msg_{uuid.uuid5(NAMESPACE, key_of(effect)).hex}"


def call(effect: Effect, secrets: Secrets) -> DeliveryResult:
    """One request with the secrets it names, which nothing that comes of it repeats; never raises."""
    payload = effect.payload
    body = payload.get("body")
    try:
        given = filled(effect, secrets)
    except NotSent as error:
        return refused(error)
    headers = {"content-type": "application/json", **given.headers}
    headers |= {"webhook-id": webhook_id(effect), "idempotency-key": webhook_id(effect)}
    try:
        answer = request(
            method=payload["method"],
            url=payload["url"],
            headers=headers,
            body=None if body is None else _encode(body),
            policy=configured(seconds=payload.get("seconds")),
        )
    except HttpFailure as failure:
        return given.clean(failure.to_result())
    except Exception as error:  # a mistake of our own: the receiver may have the request, so it is repeated by its id
        # What it says may repeat what it was given, which no log may have.
        log.error("calling failed: effect %s: %s", effect.pk, type(error).__name__, exc_info=not given.values)
        return given.clean(Unknown(detail=f"{type(error).__name__}: {error}"[:400]))
    return given.clean(given.clean_answer(answer).to_result())


def _encode(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body, default=str).encode()
