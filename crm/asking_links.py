"""Asks the addresses that a mail links to whether they answer, for somebody who wants to know before it is sent."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from crm.channels.answers import HttpAnswer
from crm.channels.http import HttpFailure, request
from crm.channels.limits import configured
from crm.letter_checks import addresses_in

MOST: Final = 25
SECONDS: Final = 20.0
EACH: Final = 5.0
AT_ONCE: Final = 5
# Servers that do not know HEAD, or do not want it.
_AGAIN: Final = frozenset({400, 403, 404, 405, 500, 501, 503})
_CLOSED: Final = frozenset({401, 403, 429})


@dataclass(frozen=True, slots=True)
class AskedLink:
    """One address and what it answered, in words; `ok` is None where that says nothing."""

    address: str
    ok: bool | None
    says: str


def ask_links(*, text: str, html: str, seconds: float = SECONDS) -> list[AskedLink]:
    """Ask every outside address of a mail once, at most 25 within a total time; call it with no transaction open.

    Pages of this installation are not asked: they are known.
    """
    found = list(dict.fromkeys(_outside(addresses_in(text=text, html=html))))
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        asked = list(pool.map(lambda address: _ask(address, until), found[:MOST]))
    return asked + [AskedLink(each, None, f"Not asked: only the first {MOST} are.") for each in found[MOST:]]


def _outside(addresses: Iterable[str]) -> Sequence[str]:
    ours = urlsplit(settings.BASE_URL).netloc
    return [each for each in addresses if _host(each) not in ("", ours)]


def _host(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return parts.netloc if parts.scheme in ("http", "https") else ""


def _ask(address: str, until: float) -> AskedLink:
    """HEAD first, so that as little as possible happens there; GET where that is no answer."""
    answer = _request("HEAD", address, until)
    if isinstance(answer, HttpAnswer) and answer.status in _AGAIN:
        answer = _request("GET", address, until)
    if isinstance(answer, HttpFailure):
        # Who sends more than anybody reads is there; what this installation may not call, others may reach.
        there = answer.sent and answer.code == "validation"
        says = "It answers." if there else str(answer)[:200]
        return AskedLink(address, None if answer.code == "blocked" else there, says)
    if answer is None:
        return AskedLink(address, None, "Not asked: there was no time left.")
    return _told(address, answer.status)


def _told(address: str, status: int) -> AskedLink:
    if status < 300:
        return AskedLink(address, True, f"It answers ({status}).")
    if status < 400:
        return AskedLink(address, True, f"It leads on to another address ({status}).")
    if status in _CLOSED:
        return AskedLink(address, None, f"It does not let everybody in ({status}): look at it yourself.")
    return AskedLink(address, False, f"It does not work ({status}).")


def _request(method: str, address: str, until: float) -> HttpAnswer | HttpFailure | None:
    left = until - time.monotonic()
    if left <= 0:
        return None
    try:
        return request(method=method, url=address, headers={}, body=None, policy=configured(seconds=min(EACH, left)))
    except HttpFailure as failure:
        return failure
