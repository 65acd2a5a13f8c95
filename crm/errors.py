"""Error pages that tell what to do and nothing about the inside."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.shortcuts import render
from django.urls import resolve

from crm.api.problems import problem_response, wants_problem

DETAILS = {
    400: "The request could not be understood.",
    403: "You may not do this. Ask an admin of your team if you should be able to.",
    404: "There is nothing at this address.",
    500: "Something went wrong on our side. It has been logged.",
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404)


def no_such_endpoint(request: HttpRequest) -> HttpResponse:
    """What the API answers where it has nothing, whatever the settings say about errors."""
    whole = f"{request.path_info}/"
    if request.path_info.endswith("/") or resolve(whole).func is no_such_endpoint:
        return problem_response(status=404, detail=DETAILS[404])
    if request.method in ("GET", "HEAD"):
        return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
    # A redirect would lose what was sent.
    return problem_response(status=404, detail=f"{DETAILS[404]} With a slash at its end it is {whole}.")


def broken(request: HttpRequest) -> HttpResponse:
    return _answer(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _answer(request, 403, "This form has expired. Reload the page and send it again.")


def _answer(request: HttpRequest, status: int, detail: str = "") -> HttpResponse:
    detail = detail or DETAILS[status]
    if wants_problem(request):
        return problem_response(status=status, detail=detail)
    title = HTTPStatus(status).phrase
    return render(None, "crm/error.html", {"title": title, "detail": detail}, status=status)
