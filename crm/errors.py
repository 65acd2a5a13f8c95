"""Error pages that tell what to do and nothing about the inside."""

from http import HTTPStatus

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.shortcuts import render
from django.urls import resolve

from crm.api.problems import problem_response, too_large, wants_problem

DETAILS = {
    400: "The request could not be understood.",
    403: "You may not do this. Ask an admin of your team if you should be able to.",
    404: "There is nothing at this address.",
    500: "Something went wrong on our side. It has been logged.",
}


GO_BACK = (
    "Go back with your browser, where all that you typed is still there, and make it shorter or bring it as a file."
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return refuse(request, 413, f"{too_large(request)} {GO_BACK}")
    return refuse(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, 404)


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
    return refuse(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return refuse(request, 403, "This form has expired. Reload the page and send it again.")


def refuse(request: HttpRequest, status: int, detail: str = "") -> HttpResponse:
    """A page for people, problem details for programs, with the usual sentence of the status or another."""
    detail = detail or DETAILS[status]
    if wants_problem(request):
        return problem_response(status=status, detail=detail)
    title = HTTPStatus(status).phrase
    return render(None, "crm/error.html", {"title": title, "detail": detail}, status=status)
