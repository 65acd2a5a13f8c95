"""The device that steps and conditions read of a contact is one of those that are registered."""

from collections.abc import Collection
from typing import Any

from django.contrib.contenttypes.models import ContentType

from contacts.models import Contact
from crm.models import Device
from crm.signals import devices_changed

FIELD = "device_token"


def connect() -> None:
    """Listen; called once when the apps are ready."""
    devices_changed.connect(on_devices, dispatch_uid="contacts:devices")


def on_devices(*, owners: Collection[tuple[int, int, int]], lost: Collection[str], **_: Any) -> None:
    """Contacts without a device get their newest; those whose device is gone get another, or none."""
    kind = ContentType.objects.get_for_model(Contact).pk
    ids = {about_id for _, type_id, about_id in owners if type_id == kind}
    if not ids:
        return
    teams = {team_id for team_id, *_ in owners}
    contacts = Contact.objects.filter(pk__in=ids, team_id__in=teams).order_by("pk").select_for_update()
    rows = Device.objects.filter(team_id__in=teams, about_type_id=kind, about_id__in=ids).order_by("seen_at", "pk")
    newest = dict(rows.values_list("about_id", "token"))
    for contact in contacts:
        _follow(contact, newest.get(contact.pk, ""), lost)


def _follow(contact: Contact, newest: str, lost: Collection[str]) -> None:
    custom = dict(contact.custom or {})
    known = custom.pop(FIELD, None)
    if known and known not in lost:
        return
    if newest:
        custom[FIELD] = newest
    if custom != (contact.custom or {}):
        contact.custom = custom
        # Saved one by one, so that pipelines hear of it: it is one contact but for the rarest cases.
        contact.save(update_fields=["custom", "updated_at"])
