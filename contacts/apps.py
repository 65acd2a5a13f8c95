"""Contacts, companies, deals and what happened to them."""

from django.apps import AppConfig


class ContactsConfig(AppConfig):
    """Registers contacts."""

    name = "contacts"
    verbose_name = "Contacts"

    def ready(self) -> None:
        from contacts import consent_panel, panels

        panels.register(consent_panel.consent_panel)
