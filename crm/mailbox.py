"""The page of mail that was captured instead of sent; there is none in production."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import wraps
from typing import Any, Final

import nh3
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from crm.channels.captured import BACKEND, captured_names, read_captured
from crm.permissions import ADMINS

PER_PAGE: Final = 25
# The document stands in a frame without rights; its policy holds also where it is opened by itself.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
UNSHOWN: Final = frozenset({"subject", "mime-version", "content-type", "content-transfer-encoding"})
STYLED: Final = {"style", "align", "valign", "bgcolor", "width", "height"}

View = Callable[..., HttpResponse]


@dataclass(frozen=True, slots=True)
class CapturedMail:
    """What the page shows of one message."""

    name: str
    at: datetime
    headers: list[tuple[str, str]]
    subject: str
    to: str
    text: str
    has_html: bool
    attachments: list[str]


def mail_is_captured() -> bool:
    """True on a development machine whose mail goes to files."""
    return bool(settings.DEBUG and settings.EMAIL_BACKEND == BACKEND)


def _only_here(view: View) -> View:
    """No page where mail is really sent; elsewhere only for those who run the installation or a team."""
    inside = admin.site.admin_view(require_safe(view))

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not mail_is_captured():
            raise Http404
        return inside(request, **kwargs)

    return guarded


@_only_here
def captured_mail(request: HttpRequest) -> HttpResponse:
    """Messages, newest first, a page at a time."""
    _check(request)
    page = Paginator(captured_names(), PER_PAGE).get_page(request.GET.get("page"))
    mails = [_shown(name, message) for name in page if (message := read_captured(name)) is not None]
    context = {**admin.site.each_context(request), "title": "Captured mail", "page": page, "mails": mails}
    return render(request, "admin/crm/captured_mail.html", context)


@_only_here
def captured_html(request: HttpRequest, *, name: str) -> HttpResponse:
    """The HTML of one message, without anything that could act or fetch."""
    _check(request)
    message = read_captured(name)
    part = message.get_body(("html",)) if message is not None else None
    if part is None:
        raise Http404
    attributes = {**nh3.ALLOWED_ATTRIBUTES, "*": STYLED}
    response = HttpResponse(nh3.clean(part.get_content(), attributes=attributes, url_schemes={"https", "http", "data"}))
    response["Content-Security-Policy"] = POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    return response


def urls() -> list[URLPattern]:
    """To stand before the admin's own."""
    return [
        path("admin/mail/captured/", captured_mail, name="captured-mail"),
        path("admin/mail/captured/<str:name>/", captured_html, name="captured-html"),
    ]


def _check(request: Any) -> None:
    """The folder holds the mail of every team, so it is not for everyone."""
    member = request.member
    if not (request.user.is_superuser or (member is not None and member.role in ADMINS)):
        raise PermissionDenied


def _shown(name: str, message: EmailMessage) -> CapturedMail:
    text = message.get_body(("plain",))
    headers = [(key, str(value)) for key, value in message.items() if key.lower() not in UNSHOWN]
    return CapturedMail(
        name=name,
        at=datetime.fromtimestamp(int(name[:20]) / 1e9, tz=UTC),
        headers=headers,
        subject=str(message["Subject"] or "(no subject)"),
        to=str(message["To"] or "nobody"),
        text=text.get_content() if text is not None else "",
        has_html=message.get_body(("html",)) is not None,
        attachments=[part.get_filename() or part.get_content_type() for part in message.iter_attachments()],
    )
