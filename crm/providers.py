"""What mail providers tell by webhooks, in the words of django-anymail: noted like what comes back by mail.

Providers tell again what was not answered at once; the second time changes nothing.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from django.conf import settings
from django.urls import URLPattern
from django.utils import timezone

from crm.consent import Act, unsubscribe
from crm.happenings import Kind, bounced, complained, note, place_of
from crm.models import Message
from crm.tracking.judging import Call, why_a_program, why_no_reader
from crm.tracking.links import PIXEL, links_of

# In their own words: Postmark, Amazon SES, SparkPost.
_SOFT: Final = frozenset(
    {"SoftBounce", "Transient", "Undetermined", "20", "21", "22", "23", "24", "40", "60", "70", "100"}
)
_STATUS: Final = re.compile(r"\b[45]\.(\d{1,3})\.\d{1,3}\b")
# Django-anymail's reasons of bounces after which there is no such mailbox.
_GONE: Final = frozenset({None, "invalid", "bounced"})


class TrackingEvent(Protocol):
    """The fields of `anymail.signals.AnymailTrackingEvent` that are read here."""

    event_type: str
    event_id: str | None
    timestamp: datetime | None
    message_id: str | None
    metadata: dict[str, Any] | None
    recipient: str | None
    reject_reason: str | None
    description: str | None
    mta_response: str | None
    user_agent: str | None
    click_url: str | None
    esp_event: Any


def connect() -> None:
    """Listen where providers are set; called once when the apps are ready."""
    if settings.MAIL_PROVIDERS:
        from anymail.signals import tracking

        tracking.connect(on_tracking, dispatch_uid="crm:provider-told")


def is_known_provider(name: str) -> bool:
    """True when django-anymail is installed and has webhooks of this provider."""
    try:
        from anymail.urls import urlpatterns
    except ImportError:
        return False
    return any(str(pattern.pattern) == f"{name}/tracking/" for pattern in urlpatterns)


def urls() -> list[URLPattern]:
    """One address for each provider of the settings, none without a secret that keeps strangers out."""
    if not settings.MAIL_PROVIDERS or not settings.ANYMAIL.get("WEBHOOK_SECRET"):
        return []
    from anymail.urls import urlpatterns

    wanted = tuple(f"{provider}/tracking/" for provider in settings.MAIL_PROVIDERS)
    return [pattern for pattern in urlpatterns if str(pattern.pattern) in wanted]


def on_tracking(sender: object, event: TrackingEvent, esp_name: str, **_: Any) -> None:
    """One event; what is about none of our messages, or about another recipient, is left alone."""
    message = _message(event)
    if message is None or (event.recipient or "").strip().lower() != message.recipient.lower():
        return
    at = event.timestamp or timezone.now()
    detail = " ".join((event.mta_response or event.description or event.reject_reason or "").split())
    source = f"{esp_name}: {detail}"[:200]
    if event.event_type == "delivered":
        note(message, Kind.DELIVERED, reason=esp_name, at=at)
    elif event.event_type in ("bounced", "rejected", "failed"):
        bounced(message, hard=_is_gone(event), detail=detail, source=source, at=at)
    elif event.event_type == "complained":
        complained(message, source=source, at=at)
    elif event.event_type == "unsubscribed":
        act = Act(at, f"button of {esp_name}"[:60])
        unsubscribe(team_id=message.team_id, address=message.recipient, topic=message.topic, act=act)
    elif event.event_type in ("opened", "clicked"):
        _seen(message, event, at)


def _is_gone(event: TrackingEvent) -> bool:
    """There is no such mailbox, as far as the provider tells; a full one is said to have bounced, too."""
    if event.event_type != "bounced" or event.reject_reason not in _GONE:
        return False
    status = _STATUS.search(f"{event.mta_response or ''} {event.description or ''}")
    raw: Any = event.esp_event
    said = raw if isinstance(raw, Mapping) else {}
    inner = said.get("bounce")
    kind = said.get("Type") or (inner.get("bounceType") if isinstance(inner, Mapping) else said.get("bounce_class"))
    return (status is None or status[1] == "1") and str(kind) not in _SOFT


def _message(event: TrackingEvent) -> Message | None:
    named = str((event.metadata or {}).get("message") or event.message_id or "")
    ids = [named, f"<{named}>"] if named else []
    rows = Message.objects.filter(message_id__in=ids, channel=Message.Channel.EMAIL)
    fields = ("team_id", "html", "sent_at", "about_type_id", "about_id", "recipient", "run_id", "step_id", "subject")
    return rows.only(*fields, "topic", "message_id").first()


def _seen(message: Message, event: TrackingEvent, at: datetime) -> None:
    """Opens and clicks are judged as those that we see ourselves."""
    call = Call(method="GET", agent=(event.user_agent or "")[:300], headers={}, at=at, sent_at=message.sent_at)
    if event.event_type == "opened":
        note(message, Kind.OPENED, place=PIXEL, reason=why_no_reader(call), at=at)
        return
    url = event.click_url or ""
    links = links_of(message.html)
    place = links.index(url) if url in links else place_of(url)
    reason = why_a_program(call)
    note(message, Kind.CLICKED, place=place, human=not reason, reason=reason, url=url, at=at)
