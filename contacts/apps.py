"""Contacts, companies, deals and what happened to them."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ContactsConfig(AppConfig):
    """Registers contacts."""

    name = "contacts"
    verbose_name = "Contacts"

    def ready(self) -> None:
        from contacts import consent_panel, devices, panels
        from contacts.watching import put_back

        panels.register(consent_panel.consent_panel)
        post_migrate.connect(put_back, sender=self, dispatch_uid="contacts:watching")
        devices.connect()
