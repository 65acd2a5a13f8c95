"""Every error of the API as RFC 9457 problem details."""

import logging
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import IntegrityError
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

from crm.auditing import audit_request

logger = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"


class Conflict(APIException):
    """The state of things does not allow this; `errors` may say where."""

    status_code = HTTPStatus.CONFLICT
    default_detail = "This conflicts with what is stored."
    default_code = "conflict"


class Unprocessable(APIException):
    """Well-formed, but it cannot be done as asked."""

    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_detail = "This cannot be processed."
    default_code = "unprocessable"


class TooLarge(APIException):
    """The body of the request is longer than this installation reads."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "This request is too large."
    default_code = "too_large"


def problem_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer of DRF for an exception; None lets an unknown one reach the handler of status 500."""
    known = _known(exc, context)
    response = exception_handler(known, context)
    if response is None:
        return None
    if isinstance(known, PermissionDenied):
        _audit_refusal(context)
    errors = flatten(response.data) if isinstance(known, ValidationError) else list(getattr(exc, "errors", []))
    detail = _detail(known, response, errors)
    body = problem(status=response.status_code, detail=detail, errors=errors)
    answer = Response(body, status=response.status_code, content_type=CONTENT_TYPE)
    for name in ("WWW-Authenticate", "Retry-After", "Allow"):
        if name in response.headers:
            answer[name] = response[name]
    return answer


def too_large(request: Any) -> str:
    """How large a request is, and how large one may be."""
    most = (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0) / 1024**2
    announced = str(getattr(request, "META", {}).get("CONTENT_LENGTH") or "")
    size = f"has {int(announced) / 1024**2:.1f} MiB" if announced.isascii() and announced.isdigit() else "is larger"
    return f"This request {size}; at most {most:.1f} MiB are read."


def _known(exc: Exception, context: dict[str, Any]) -> Exception:
    if isinstance(exc, ModelValidationError):
        return ValidationError(detail=as_detail(exc))
    if isinstance(exc, RequestDataTooBig):
        request = context.get("request")
        return TooLarge(f"{too_large(request)} Send it in parts.")
    if isinstance(exc, ProtectedError):
        return Conflict("Other records still need this one, so it cannot be deleted.")
    if isinstance(exc, IntegrityError):
        logger.warning("Constraint refused a write of the API: %s", type(exc).__name__)
        return Conflict("Another record with these values exists already.")
    return exc


def as_detail(error: ModelValidationError) -> Any:
    """Messages of a model's validation in the shape DRF uses."""
    if not hasattr(error, "error_dict"):
        return {api_settings.NON_FIELD_ERRORS_KEY: error.messages}
    return {
        api_settings.NON_FIELD_ERRORS_KEY if name == NON_FIELD_ERRORS else name: messages
        for name, messages in error.message_dict.items()
    }


def problem(*, status: int, detail: str = "", errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The body: `type, title, status, detail` and, for rejected input, `errors[{path, message}]`."""
    title = HTTPStatus(status).phrase
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": _sayable(detail or title),
        "errors": [{name: _sayable(text) for name, text in error.items()} for error in errors or []],
    }


def _sayable(text: Any) -> str:
    """What a request held may be repeated in an answer: half characters are written out."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def flatten(detail: Any, path: str = "") -> list[dict[str, str]]:
    """DRF's nested error detail as a flat list of paths such as `steps[0].delay`."""
    if isinstance(detail, dict):
        return [error for name, part in detail.items() for error in flatten(part, _join(path, str(name)))]
    if isinstance(detail, list):
        nested = any(isinstance(part, (dict, list)) for part in detail)
        return [
            error
            for index, part in enumerate(detail)
            for error in flatten(part, f"{path}[{index}]" if nested else path)
        ]
    return [{"path": path, "message": str(detail)}]


def _join(path: str, name: str) -> str:
    if name == api_settings.NON_FIELD_ERRORS_KEY:
        return path
    if name.isdigit():
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _detail(exc: Exception, response: Response, errors: list[dict[str, str]]) -> str:
    if isinstance(exc, ValidationError):
        first = errors[0] if errors else {"path": "", "message": "The request is not valid."}
        return f"{first['path']}: {first['message']}" if first["path"] else first["message"]
    data = response.data
    return str(data.get("detail", "")) if isinstance(data, dict) else ""


def _audit_refusal(context: dict[str, Any]) -> None:
    request, view = context.get("request"), context.get("view")
    if request is not None and getattr(request, "auth", None) is not None:
        resource = getattr(view, "resource", "")
        audit_request(request=request, action="api.refused", target=resource, method=request.method)


def problem_response(*, status: int, detail: str = "") -> HttpResponse:
    """The same body outside of DRF."""
    return JsonResponse(problem(status=status, detail=detail), status=status, content_type=CONTENT_TYPE)


def wants_problem(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
