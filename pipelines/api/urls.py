"""Where the resources of this app stand in the API."""

from django.urls import URLPattern

from crm.api.router import TeamRouter

urlpatterns: list[URLPattern] = []


def register(router: TeamRouter) -> None:
    """Add every resource of this app."""
