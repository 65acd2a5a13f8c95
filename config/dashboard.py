"""The first page: what runs, what is late, what failed and what waits for me."""

from typing import Any

from django.http import HttpRequest


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the admin's first page."""
    return context
