"""Forms of people who are not signed in: short, whatever a request of others may hold."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from django.http import HttpRequest, HttpResponse

from crm.errors import refuse

LONGEST: Final = 2_621_440
_FORM: Final = "application/x-www-form-urlencoded"
_TOLD: Final = f"This form is larger than {LONGEST / 1024**2:.1f} MiB: sign in first, or send less."


class ShortForms:
    """Refuses large ones before anything reads them: taken apart, they need seventy times their size in memory."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        announced = request.META.get("CONTENT_LENGTH") or "0"
        is_large = announced.isascii() and announced.isdigit() and int(announced) > LONGEST
        if is_large and request.content_type == _FORM and not request.user.is_authenticated:
            return refuse(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOLD)
        return self.get_response(request)
