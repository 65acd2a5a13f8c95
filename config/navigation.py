"""What the sidebar of the admin shows, and to whom."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse


def team_name(request: HttpRequest) -> str:
    """The name of the team one works in, below the title of the site."""
    team = getattr(request, "team", None)
    return team.name if team else "Pipelines that run themselves"


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of links; Unfold hides those whose permission is refused."""
    return [{"title": "Overview", "items": [{"title": "Dashboard", "icon": "home", "link": reverse("admin:index")}]}]
