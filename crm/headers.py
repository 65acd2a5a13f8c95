"""Content security: strict everywhere, with the two exceptions that the admin's skin cannot do without."""

from typing import Any

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponseBase

# Alpine and the charts of the admin evaluate expressions and set styles in the page.
ADMIN = {"script-src": [UNSAFE_INLINE, UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}
# Swagger draws with inline styles and data images, but runs only files of ours.
DOCS = {"style-src": [UNSAFE_INLINE], "img-src": ["data:"], "connect-src": [SELF]}


class SecurityHeaders(CSPMiddleware):
    """Writes the policy of the settings, relaxed below `/admin/`, and switches off what no page uses."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        relaxed = _relaxed(request.path_info)
        if relaxed and not hasattr(response, "_csp_update"):
            marked: Any = response
            marked._csp_update = relaxed
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        )
        return super().process_response(request, response)


def _relaxed(path: str) -> dict[str, list[str]] | None:
    if path.startswith("/admin/"):
        return ADMIN
    return DOCS if path == "/api/v1/docs/" else None
