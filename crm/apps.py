"""The ground floor: teams, members, roles, keys, audit, tasks, messages and outbound channels."""

from django.apps import AppConfig


class CrmConfig(AppConfig):
    """Registers the ground floor."""

    name = "crm"
    verbose_name = "Workspace"
