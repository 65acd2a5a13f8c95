"""One-click unsubscribing (RFC 8058): a page that only shows, and a POST that settles it for good."""

import json
import time
from dataclasses import dataclass
from functools import cache

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from crm.auditing import audit_request
from crm.models import Message, Suppression, Team
from crm.sealing import link_cipher
from crm.suppression import suppress

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.1
RETRY_AFTER = 30


@dataclass(frozen=True)
class Ticket:
    """Whose mail of which topic a link ends."""

    team_id: int
    address: str
    topic: str


def unsubscribe_url(*, team_id: int, address: str, topic: str) -> str:
    """The absolute address of the one-click page; its token is encrypted and needs no stored row."""
    token = seal(Ticket(team_id, address.strip().lower(), topic))
    return f"{settings.BASE_URL}{_page().replace('-', token)}"


@cache
def _page() -> str:
    """The page with a dash for the token: thousands of links have it in common."""
    return reverse("unsubscribe", args=["-"])


def seal(ticket: Ticket) -> str:
    """The ticket as an opaque token."""
    text = json.dumps([ticket.team_id, ticket.address, ticket.topic], separators=(",", ":"))
    return link_cipher("unsubscribe").encrypt(text.encode()).decode().rstrip("=")


def unseal(token: str) -> Ticket | None:
    """The ticket of a token, or None when it was not made here."""
    try:
        team_id, address, topic = json.loads(link_cipher("unsubscribe").decrypt(token + "=" * (-len(token) % 4)))
    except (InvalidToken, ValueError):
        return None
    return Ticket(team_id, address, topic)


# Mail providers post here for the reader, without cookies, so there is no CSRF token to ask for.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows a button; POST stores the wish and answers once nothing more can leave."""
    if request.method != "POST":
        return render(request, "crm/unsubscribe.html", {"done": False})
    ticket = unseal(token)
    if ticket is not None and not _carry_out(request, ticket):
        answer = render(request, "crm/unsubscribe.html", {"done": False, "busy": True}, status=503)
        answer["Retry-After"] = str(RETRY_AFTER)
        return answer
    return render(request, "crm/unsubscribe.html", {"done": True})


def _carry_out(request: HttpRequest, ticket: Ticket) -> bool:
    team = Team.objects.filter(pk=ticket.team_id).first()
    if team is None:
        return True
    new = suppress(
        team_id=team.pk,
        address=ticket.address,
        topic=ticket.topic,
        reason=Suppression.Reason.UNSUBSCRIBED,
        source="one-click",
    )
    if new:
        audit_request(request=request, action="unsubscribed", team=team, topic=ticket.topic)
    return _wait_until_none_is_leaving(ticket)


def _wait_until_none_is_leaving(ticket: Ticket) -> bool:
    """A message handed over right now may still arrive; say "done" only after it has left or failed."""
    leaving = Message.objects.filter(
        team_id=ticket.team_id, recipient__iexact=ticket.address, state=Message.State.SENDING
    )
    until = time.monotonic() + WAIT_SECONDS
    while leaving.exists():
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_SECONDS)
    return True
