"""The admin site: members of a team and superusers only."""

from typing import Any, cast

from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from unfold.sites import UnfoldAdminSite


class CrmAdminSite(UnfoldAdminSite):
    """Unfold's site, open to superusers and to users who belong to a team."""

    def has_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.is_active and (user.is_superuser or getattr(request, "member", None)))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        """Every page is given this list, and hardly one shows it, for the sidebar is our own: it waits to be asked."""
        ask = super().get_app_list
        found: Any = SimpleLazyObject(lambda: ask(request, app_label))
        return cast(list[dict[str, Any]], found)


class CrmAdminConfig(AdminConfig):
    """Makes `django.contrib.admin.site` the site above."""

    default_site = "config.admin_site.CrmAdminSite"
