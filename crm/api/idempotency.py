"""`Idempotency-Key`: a repeated POST gets the first answer and has one effect."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.problems import Conflict, Unprocessable
from crm.models import ApiKey, IdempotentRequest

REMEMBERED = timedelta(hours=24)
LONGEST = IdempotentRequest._meta.get_field("key").max_length
Handler = Callable[..., Response]


class _Failed(Exception):
    """Carries an error answer out of the transaction, which is undone."""

    def __init__(self, response: Response) -> None:
        self.response = response


def once(*, handler: Handler, request: Request, one_transaction: bool) -> Handler:
    """Wrap the handler of a POST so that it runs once per key of the header.

    In one transaction the claim, the effect and the remembered answer stand or fall together, and a
    second caller waits for the first. A handler that must not run inside a transaction claims first,
    and a second caller is told 409 until the answer is known.
    """

    def handle(*args: Any, **kwargs: Any) -> Response:
        if one_transaction:
            return _in_one_transaction(handler, request, args, kwargs)
        return _claim_then_answer(handler, request, args, kwargs)

    return handle


def _in_one_transaction(handler: Handler, request: Request, args: Any, kwargs: Any) -> Response:
    try:
        with transaction.atomic():
            row, remembered = _claim(request)
            return remembered or _answer(handler, row, args, kwargs)
    except _Failed as failed:
        return failed.response


def _claim_then_answer(handler: Handler, request: Request, args: Any, kwargs: Any) -> Response:
    row, remembered = _claim(request)
    if remembered is not None:
        return remembered
    try:
        return _answer(handler, row, args, kwargs)
    except BaseException as failure:
        row.delete()
        if isinstance(failure, _Failed):
            return failure.response
        raise


def _claim(request: Request) -> tuple[IdempotentRequest, Response | None]:
    key: Any = request.auth
    name = _name_of(request)
    fingerprint = _fingerprint(request)
    forget_answers(before=timezone.now() - REMEMBERED, api_key=key)
    try:
        with transaction.atomic():
            return IdempotentRequest.objects.create(api_key=key, key=name, fingerprint=fingerprint), None
    except IntegrityError:
        row = IdempotentRequest.objects.get(api_key=key, key=name)
    if row.fingerprint != fingerprint:
        raise Unprocessable("This Idempotency-Key was used with another request before.")
    if row.status is None:
        raise Conflict("The first request with this Idempotency-Key is still being answered.")
    return row, Response(row.body, status=row.status, headers={"Idempotent-Replayed": "true"})


def _answer(handler: Handler, row: IdempotentRequest, args: Any, kwargs: Any) -> Response:
    response = handler(*args, **kwargs)
    if response.status_code >= 400:
        raise _Failed(response)
    rendered = JSONRenderer().render(response.data)
    row.status, row.body = response.status_code, json.loads(rendered) if rendered else None
    row.save(update_fields=["status", "body"])
    return response


def _name_of(request: Request) -> str:
    name = str(request.headers["Idempotency-Key"])
    if not name.isprintable() or not 0 < len(name) <= (LONGEST or 0):
        raise ValidationError({"Idempotency-Key": [f"Use 1 to {LONGEST} printable characters."]})
    return name


def _fingerprint(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True, default=str)
    return hashlib.sha256(f"{request.method} {request.get_full_path()}\n{body}".encode()).hexdigest()


def forget_answers(*, before: datetime, api_key: ApiKey | None = None) -> int:
    """Drop answers given before a time; returns how many."""
    rows = IdempotentRequest.objects.filter(created_at__lt=before)
    return (rows.filter(api_key=api_key) if api_key else rows).delete()[0]
