"""What the providers of SMS, push and chat have in common: one post through the guarded client, answers in words."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from crm.channels.answers import HttpAnswer
from crm.channels.base import Away, Code, Refused, Unknown
from crm.channels.http import HttpFailure, request
from crm.channels.limits import configured

JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
_SHOWN: Final = 300


def post(*, url: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer | Refused | Unknown:
    """One request; once it was sent, whatever cannot be read leaves open whether it was taken."""
    try:
        return request(method="POST", url=url, headers=headers, body=body, policy=configured(reads_refusals=True))
    except HttpFailure as failure:
        if failure.sent:
            return Unknown(detail=failure.detail)
        result = failure.to_result()
        if not isinstance(result, Refused):
            return Unknown(detail=failure.detail)
        return replace(result, away="sure") if result.code in ("connection", "timeout") else result


def post_json(url: str, value: Any, headers: Mapping[str, str]) -> HttpAnswer | Refused | Unknown:
    return post(url=url, headers={"content-type": JSON_TYPE, **headers}, body=json.dumps(value).encode())


def post_form(url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> HttpAnswer | Refused | Unknown:
    return post(url=url, headers={"content-type": FORM_TYPE, **headers}, body=urlencode(form).encode())


def basic(user: str, password: str) -> dict[str, str]:
    """Basic authentication (RFC 7617)."""
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def said(answer: HttpAnswer) -> Mapping[str, Any]:
    """The object an answer holds, empty when it holds none."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def inside(value: Any, *path: str | int) -> Any:
    """What stands at a path of parsed JSON, None where it leads nowhere."""
    for name in path:
        if isinstance(value, Mapping) and isinstance(name, str):
            value = value.get(name)
        elif isinstance(value, list) and isinstance(name, int) and len(value) > name:
            value = value[name]
        else:
            return None
    return value


def refusal(
    answer: HttpAnswer, *, who: str, code: object = "", words: object = "", busy: bool = False, gone: bool = False,
    shut: bool = False,
) -> Refused:  # fmt: skip
    """A no in the provider's words; `busy` when it is only too much at once, `shut` when the account is not let in."""
    found = answer.to_result()
    kind: Code = found.code if isinstance(found, Refused) else "http_4xx"
    permanent = found.permanent if isinstance(found, Refused) else True
    text = " ".join(f"{code or answer.status} {words or ''}".split())
    return Refused(
        code="http_429" if busy else kind,
        detail=f"{who} refused it: {text}"[:_SHOWN],
        permanent=permanent and not busy,
        retry_after=answer.retry_after,
        gone=gone,
        away=_away(answer.status, shut=shut),
    )


def _away(status: int, *, shut: bool) -> Away:
    """A server that broke may have broken over this message alone."""
    if shut or status in (401, 429, 503):
        return "sure"
    return "maybe" if status >= 500 else "no"
