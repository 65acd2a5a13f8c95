"""Where other systems post: `/api/v1/hooks/<token>`, without a key, for the token and the signature speak."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import RawPostDataException
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from crm.addresses import client_address
from crm.api.problems import problem_response
from crm.api.throttling import over_limit
from pipelines.models import Hook
from pipelines.triggers.hooks import LARGEST_BYTES, NotAccepted, receive, token_hash


# The senders are programs of others: they have no cookies, so there is no CSRF token to ask for.
@csrf_exempt
def receive_hook(request: HttpRequest, token: str) -> HttpResponse:
    """202 for what is stored now, 200 for what had been stored before; refusals tell nothing that helps guessing."""
    if request.method != "POST":
        return _refused(405, "Post here.", Allow="POST")
    hashed = token_hash(token)
    wait = over_limit(scope="hooks", who=hashed[:16])
    hook = Hook.objects.select_related("trigger").filter(token_hash=hashed, enabled=True).first()
    if hook is None:
        wait = over_limit(scope="api_failures", who=f"ip{client_address(request)}") or wait
    if wait is not None:
        return _refused(429, "Too many at once: try again later.", **{"Retry-After": str(int(wait) + 1)})
    if hook is None:
        return _refused(404, "There is nothing at this address.")
    try:
        is_new = receive(hook=hook, headers=_headers(request), body=_body(request), now=timezone.now())
    except NotAccepted as error:
        return _refused(error.status, error.detail)
    return _quiet(JsonResponse({"status": "stored" if is_new else "known"}, status=202 if is_new else 200))


def _headers(request: HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _body(request: HttpRequest) -> bytes:
    """Never more than one byte beyond what is accepted, whatever the sender announced."""
    announced = request.META.get("CONTENT_LENGTH") or "0"
    if not announced.isdigit() or int(announced) > LARGEST_BYTES:
        raise NotAccepted(413, "The body is larger than 256 KiB.")
    try:
        return request.read(LARGEST_BYTES + 1)
    except (OSError, RawPostDataException):
        raise NotAccepted(400, "The body did not arrive.") from None


def _refused(status: int, detail: str, **headers: str) -> HttpResponse:
    answer = problem_response(status=status, detail=detail)
    for name, value in headers.items():
        answer[name] = value
    return _quiet(answer)


def _quiet(answer: HttpResponse) -> HttpResponse:
    """Django logs the address of refused requests, and this address is a secret."""
    answer._has_been_logged = True  # type: ignore[attr-defined]
    return answer
