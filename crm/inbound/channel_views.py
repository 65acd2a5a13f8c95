"""Where providers post: `/api/v1/channels/<token>/`, without a key, for their signatures speak."""

import hmac
import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from crm.addresses import client_address
from crm.api.problems import problem_response
from crm.api.throttling import over_limit
from crm.inbound import meta, twilio
from crm.inbound.reports import Report, take_reply, take_report
from crm.integrations import provider_of, secrets_of
from crm.models import Integration
from crm.sealing import SealBroken

LARGEST = 1024 * 1024
FORBIDDEN = "The signature does not fit."


# The senders are programs of others: they have no cookies, so there is no CSRF token to ask for.
@csrf_exempt
def channel_reports(request: HttpRequest, token: str) -> HttpResponse:
    """204 for what was heeded or known before; 401 for what is not signed right, of which nothing is kept."""
    row = Integration.objects.filter(token=token).first()
    if row is None:
        wait = over_limit(scope="api_failures", who=f"ip{client_address(request)}")
        return _too_many(wait) if wait is not None else _refused(404, "There is nothing at this address.")
    wait = over_limit(scope="hooks", who=f"channel{row.pk}")
    if wait is not None:
        return _too_many(wait)
    try:
        secrets = secrets_of(row)
    except SealBroken:
        return _refused(503, "The secrets of this channel cannot be opened.")
    if row.provider == Integration.Provider.TWILIO:
        return _from_twilio(request, row, secrets)
    if row.provider == Integration.Provider.WHATSAPP:
        return _from_meta(request, row, secrets)
    return _refused(404, "There is nothing at this address.")


def _from_twilio(request: HttpRequest, row: Integration, secrets: dict[str, str]) -> HttpResponse:
    if request.method != "POST":
        return _refused(405, "Post here.")
    if not _fits(request):
        return _refused(413, "The body is too large.")
    form = {name: value for name, value in request.POST.items() if isinstance(value, str)}
    given = request.headers.get("X-Twilio-Signature", "")
    # The address as the provider was told it, which a proxy may have changed on the way.
    url = f"{settings.BASE_URL}{request.get_full_path()}"
    if not twilio.is_signed(secret=secrets.get("auth_token", ""), url=url, form=form, given=given):
        return _refused(401, FORBIDDEN)
    item = twilio.read(form, message=request.GET.get("message", ""))
    _heed(row, [item] if item is not None else [])
    return _done()


def _from_meta(request: HttpRequest, row: Integration, secrets: dict[str, str]) -> HttpResponse:
    if request.method == "GET":
        return _greeting(request, secrets.get("verify_token", ""))
    if request.method != "POST":
        return _refused(405, "Post here.")
    if not _fits(request):
        return _refused(413, "The body is too large.")
    body = request.body
    given = request.headers.get("X-Hub-Signature-256", "")
    if not meta.is_signed(secret=secrets.get("app_secret", ""), body=body, given=given):
        return _refused(401, FORBIDDEN)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return _refused(400, "The body is not JSON.")
    _heed(row, meta.read(value))
    return _done()


def _greeting(request: HttpRequest, word: str) -> HttpResponse:
    """Meta asks once whether the address is ours, and wants its own number back."""
    given = request.GET.get("hub.verify_token", "")
    if not word or not hmac.compare_digest(given.encode(), word.encode()):
        return _refused(403, "The verify token does not fit.")
    return _quiet(HttpResponse(request.GET.get("hub.challenge", "")[:200], content_type="text/plain"))


def _heed(row: Integration, items: list[Any]) -> None:
    now = timezone.now()
    provider = provider_of(row)
    for item in items:
        channel = provider.channel if provider is not None else ""
        if isinstance(item, Report):
            take_report(integration=row, channel=channel, report=item, now=now)
        else:
            take_reply(integration=row, channel=channel, reply=item, now=now)


def _fits(request: HttpRequest) -> bool:
    announced = request.META.get("CONTENT_LENGTH") or "0"
    return announced.isdigit() and int(announced) <= LARGEST


def _done() -> HttpResponse:
    return _quiet(HttpResponse(status=204))


def _too_many(wait: float) -> HttpResponse:
    answer = _refused(429, "Too many at once: try again later.")
    answer["Retry-After"] = str(int(wait) + 1)
    return answer


def _refused(status: int, detail: str) -> HttpResponse:
    return _quiet(problem_response(status=status, detail=detail))


def _quiet(answer: HttpResponse) -> HttpResponse:
    """Django logs the address of refused requests, and addresses of channels are nobody's business."""
    answer._has_been_logged = True  # type: ignore[attr-defined]
    return answer
