"""The project as an app of its own, first in the list: it checks the settings of all the others."""

import os
from types import ModuleType

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class ProjectConfig(AppConfig):
    """Registers the system checks."""

    name = "config"
    verbose_name = "Project"

    def __init__(self, app_name: str, app_module: ModuleType | None) -> None:
        super().__init__(app_name, app_module)
        _refuse_unknown_cluster()

    def ready(self) -> None:
        from config import checks

        checks.register_all()


def _refuse_unknown_cluster() -> None:
    """django-q2 fails while it is imported, before any check could say why."""
    name = os.environ.get("Q_CLUSTER_NAME")
    known = {settings.Q_CLUSTER["name"], *settings.Q_CLUSTER.get("ALT_CLUSTERS", {})}
    if name and name not in known:
        raise ImproperlyConfigured(
            f"Q_CLUSTER_NAME is {name!r}, but Q_CLUSTER knows only {', '.join(sorted(known))}:"
            " unset it, or describe that cluster in ALT_CLUSTERS."
        )
