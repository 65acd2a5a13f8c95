"""The page on which a reader chooses topics: no account, a sealed link, the address masked."""

from functools import cache
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from crm.auditing import audit_request
from crm.consent import OFF, Act, Choices, choices, subscribe, unsubscribe
from crm.models import Team, Topic
from crm.sealing import link_token, link_values
from crm.unsubscribe import Ticket, busy, none_is_leaving, unseal

HOW: Final = "preferences page"


def preferences_url(*, team_id: int, address: str) -> str:
    """The absolute address of the page of one reader."""
    token = link_token("preferences", [team_id, address.strip().lower()])
    return f"{settings.BASE_URL}{_page().replace('-', token)}"


@cache
def _page() -> str:
    """The page with a dash for the token: every mail links to one."""
    return reverse("preferences", args=["-"])


def _read(token: str) -> tuple[Team, str] | None:
    values = link_values("preferences", token)
    if values is None:
        return None
    team_id, address = values
    team = Team.objects.filter(pk=team_id).first()
    return (team, str(address)) if team is not None else None


@require_safe
def choose(request: HttpRequest, token: str) -> HttpResponse:
    """From a link to unsubscribe to the page with everything one may choose."""
    ticket = unseal(token)
    if ticket is None:
        return private(render(request, "crm/no_link.html", status=404))
    return private(redirect(preferences_url(team_id=ticket.team_id, address=ticket.address)))


# The link in the mail is the key; there is no cookie that another site could misuse.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows what the reader gets; POST stores what was ticked, or that nothing shall come any more."""
    found = _read(token)
    if found is None:
        return private(render(request, "crm/no_link.html", status=404))
    team, address = found
    saved = request.method == "POST"
    if saved:
        _store(request, team, address)
        if not none_is_leaving(Ticket(team.pk, address, "")):
            return private(busy(request, look=True))
    return private(render(request, "crm/preferences.html", _context(team, address, saved=saved)))


def _store(request: HttpRequest, team: Team, address: str) -> None:
    act = Act(timezone.now(), HOW)
    before = choices(team_id=team.pk, address=address)
    if "nothing" in request.POST:
        unsubscribe(team_id=team.pk, address=address, topic="", act=act)
        audit_request(request=request, action="unsubscribed", team=team, topic="")
        return
    wanted = set(request.POST.getlist("topic"))
    for topic in Topic.objects.filter(team=team, shown=True).order_by("name"):
        state = before.states.get(topic.key, OFF)
        said = Act(act.at, HOW, wording=topic.wording, by_reader=True)
        if topic.key in wanted and state == OFF:
            subscribe(team_id=team.pk, address=address, topic=topic.key, act=said)
        elif topic.key not in wanted and state != OFF:
            unsubscribe(team_id=team.pk, address=address, topic=topic.key, act=said)
    audit_request(request=request, action="preferences.saved", team=team)


def _context(team: Team, address: str, *, saved: bool) -> dict[str, Any]:
    now: Choices = choices(team_id=team.pk, address=address)
    rows = [
        {"topic": topic, "state": now.states[topic.key], "on": now.states[topic.key] != OFF}
        for topic in Topic.objects.filter(team=team, shown=True).order_by("name")
        if topic.key in now.states
    ]
    waits = any(row["state"] == "pending" for row in rows)
    stopped = now.stopped if now.stopped not in ("", "unsubscribed") else ""
    return {
        "team": team, "address": masked(address), "rows": rows, "saved": saved, "waits": waits,
        "nothing": now.stopped == "unsubscribed", "stopped": stopped,
    }  # fmt: skip


def masked(address: str) -> str:
    """Enough for its owner to know it by: `a•••@e•••.org`."""
    name, _, domain = address.rpartition("@")
    host, dot, end = domain.rpartition(".")
    return f"{name[:1]}•••@{host[:1]}•••{dot}{end}" if dot else f"{name[:1]}•••@{domain[:1]}•••"


def private(answer: HttpResponse) -> HttpResponse:
    """Kept nowhere, found by no search, told to no other site."""
    answer["Cache-Control"] = "no-store, private"
    answer["Referrer-Policy"] = "no-referrer"
    answer["X-Robots-Tag"] = "noindex"
    return answer
