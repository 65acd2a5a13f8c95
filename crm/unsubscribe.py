"""One-click unsubscribing (RFC 8058): a page that only shows, and a POST that settles it for good."""

import time
from dataclasses import dataclass
from functools import cache
from typing import Final

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from crm import consent
from crm.auditing import audit_request
from crm.consent import Act
from crm.models import Message, Team, Topic
from crm.sealing import link_token, link_values

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.1
RETRY_AFTER = 30
# Shared by whoever reads suppressions to hand messages over, until the messages are marked as leaving.
HANDING_OVER_LOCK: Final = 7_231_004_377_519_205_104
# Beside the page itself, so that the page is the same for every token.
CHOOSE = "choose/"


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
    return link_token("unsubscribe", [ticket.team_id, ticket.address, ticket.topic])


def unseal(token: str) -> Ticket | None:
    """The ticket of a token, or None when it was not made here."""
    values = link_values("unsubscribe", token)
    return Ticket(*values) if values is not None else None


# Mail providers post here for the reader, without cookies, so there is no CSRF token to ask for.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows buttons; POST stores the wish, for the topic or for everything, once nothing more can leave."""
    if request.method != "POST":
        return render(request, "crm/unsubscribe.html", {"done": False, "choose": CHOOSE})
    ticket = unseal(token)
    if ticket is not None and not _carry_out(request, ticket, everything="everything" in request.POST):
        return busy(request)
    return render(request, "crm/unsubscribe.html", {"done": True, "choose": CHOOSE})


def busy(request: HttpRequest, *, look: bool = False) -> HttpResponse:
    """The wish is stored, but a message is just leaving; `look` offers to look again instead of a button."""
    answer = render(request, "crm/unsubscribe.html", {"done": False, "busy": True, "look": look}, status=503)
    answer["Retry-After"] = str(RETRY_AFTER)
    return answer


def _carry_out(request: HttpRequest, ticket: Ticket, *, everything: bool) -> bool:
    team = Team.objects.filter(pk=ticket.team_id).first()
    if team is None:
        return True
    topic = "" if everything else ticket.topic
    act = Act(timezone.now(), "one-click", wording=_wording(team, topic))
    if consent.unsubscribe(team_id=team.pk, address=ticket.address, topic=topic, act=act):
        audit_request(request=request, action="unsubscribed", team=team, topic=topic)
    return none_is_leaving(ticket)


def _wording(team: Team, topic: str) -> str:
    row = Topic.objects.filter(team=team, key=topic).first() if topic else None
    return row.wording if row else ""


def none_is_leaving(ticket: Ticket) -> bool:
    """A message handed over right now may still arrive; say "done" only after it has left or failed."""
    if not _all_are_marked():
        return False
    leaving = Message.objects.filter(
        team_id=ticket.team_id, recipient__iexact=ticket.address, state=Message.State.SENDING
    )
    until = time.monotonic() + WAIT_SECONDS
    while leaving.exists():
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _all_are_marked() -> bool:
    """Wait for those who may have looked before the wish was stored; SQLite has one writer at a time anyway."""
    if connection.vendor != "postgresql":
        return True
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{WAIT_SECONDS:.0f}s"])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [HANDING_OVER_LOCK])
    except OperationalError:
        return False
    return True
