"""The ground floor: teams, members, roles, keys, audit, tasks, messages and outbound channels."""

from django.apps import AppConfig


class CrmConfig(AppConfig):
    """Registers the ground floor."""

    name = "crm"
    verbose_name = "Workspace"

    def ready(self) -> None:
        from crm import auth, beat, providers  # noqa: F401  (auth connects the receivers that count and record logins)
        from crm.api import schema  # noqa: F401  (registers how the API describes its keys)

        beat.connect()
        providers.connect()
