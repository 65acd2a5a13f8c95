"""The router every app registers its resources with."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from rest_framework.routers import DefaultRouter

from crm.scoping.api import TeamScopedView


class TeamRouter(DefaultRouter):
    """Takes only view sets on the team-scoped base, complete with their allow-lists."""

    include_root_view = False
    include_format_suffixes = False

    def register(self, prefix: str, viewset: Any, basename: str | None = None) -> None:
        if not issubclass(viewset, TeamScopedView):
            raise ImproperlyConfigured(f"{viewset.__name__} must build on crm.scoping.TeamScopedViewSet.")
        viewset.check_completeness()
        super().register(prefix, viewset, basename or prefix.replace("/", "-"))
