"""The admin site: members of a team and superusers only."""

from typing import Any

from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite


class CrmAdminSite(UnfoldAdminSite):
    """Unfold's site, open to superusers and to users who belong to a team."""

    def has_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.is_active and (user.is_superuser or getattr(request, "member", None)))


class CrmAdminConfig(AdminConfig):
    """Makes `django.contrib.admin.site` the site above."""

    default_site = "config.admin_site.CrmAdminSite"
