"""The pixel and the links of mail: they note what happened and lead only to what the message itself links to."""

import base64
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from crm.models import Message, MessageEvent
from crm.signals import message_happened
from crm.tracking.judging import TOO_FAST, Call, why_a_program, why_no_reader
from crm.tracking.links import HIDDEN_LINK, PIXEL, links_of, read_token

GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
Kind = MessageEvent.Kind


@require_safe
def track_open(request: HttpRequest, token: str) -> HttpResponse:
    """The same picture for every token, whether it means anything or not."""
    message, place = _message(token)
    if message is not None and place == PIXEL:
        call = _call(request, message, Kind.OPENED, place)
        _note(message, Kind.OPENED, place=PIXEL, url="", reason=why_no_reader(call), at=call.at)
    return _private(HttpResponse(GIF, content_type="image/gif"))


@require_safe
def track_click(request: HttpRequest, token: str) -> HttpResponse:
    """Leads to the link of the stored message; anything else is one neutral page."""
    message, place = _message(token)
    links = links_of(message.html) if message is not None else []
    hidden = message is not None and place == HIDDEN_LINK
    if message is None or not (hidden or 0 <= place < len(links)):
        return _private(render(request, "crm/no_link.html", status=404))
    call = _call(request, message, Kind.CLICKED, place)
    reason = "followed a link nobody sees" if hidden else why_a_program(call)
    url = "" if hidden else links[place]
    _note(message, Kind.CLICKED, place=place, url=url, reason=reason, at=call.at)
    if hidden:
        return _private(render(request, "crm/no_link.html", status=404))
    answer = HttpResponse(status=302)
    answer["Location"] = url
    return _private(answer)


def _message(token: str) -> tuple[Message | None, int]:
    named = read_token(token)
    if named is None:
        return None, 0
    fields = ("team_id", "html", "sent_at", "about_type_id", "about_id", "recipient", "run_id", "step_id", "subject")
    return Message.objects.filter(pk=named[0]).only(*fields).first(), named[1]


def _call(request: HttpRequest, message: Message, kind: str, place: int) -> Call:
    """Costs one statement: what else was done with this mail."""
    now = timezone.now()
    rows = MessageEvent.objects.filter(message=message, kind=Kind.CLICKED)
    before: list[tuple[int, datetime]] = list(rows.values_list("place", "last_at")) if kind == Kind.CLICKED else []
    recent = {place, *(other for other, at in before if now - at < TOO_FAST)} - {HIDDEN_LINK}
    caught = [at for other, at in before if other == HIDDEN_LINK]
    return Call(
        method=request.method or "",
        agent=request.headers.get("User-Agent", "")[:300],
        headers=request.headers,
        at=now,
        sent_at=message.sent_at,
        links_just_now=len(recent),
        hidden_link_at=max(caught, default=None),
    )


def _note(message: Message, kind: str, *, place: int, url: str, reason: str, at: datetime) -> None:
    """One row for each link and judgment, counted; the apps above hear of the first."""
    human = not reason
    with transaction.atomic():
        rows = MessageEvent.objects.filter(message=message, kind=kind, place=place, likely_human=human)
        if rows.update(count=F("count") + 1, last_at=at):
            return
        event, new = MessageEvent.objects.get_or_create(
            message=message, kind=kind, place=place, likely_human=human,
            defaults={"team_id": message.team_id, "url": url[:2000], "reason": reason, "at": at, "last_at": at},
        )  # fmt: skip
        if new:
            message_happened.send(sender=MessageEvent, message=message, event=event)


def _private(answer: HttpResponse) -> HttpResponse:
    answer["Cache-Control"] = "no-store, private"
    answer["Referrer-Policy"] = "no-referrer"
    return answer
