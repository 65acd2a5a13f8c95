"""Contacts as CSV, streamed, with no cell that a spreadsheet would run as a formula."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from django.db.models import QuerySet

from contacts.models import Contact
from contacts.own_fields import definitions
from crm.models import Team
from crm.tables import Echo, SafeWriter, as_text

COLUMNS: Final = (
    "id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "job_title",
    "company",
    "owner",
    "lifecycle_stage",
    "lead_source",
    "timezone",
    "language",
    "tags",
    "last_interaction",
    "created_at",
)


def custom_keys(*, contacts: QuerySet[Contact]) -> list[str]:
    """Every key of custom fields in use among these contacts, sorted."""
    found: set[str] = set()
    values = contacts.exclude(custom={}).order_by().values_list("custom", flat=True)
    for custom in values.iterator(chunk_size=2000):
        found.update(custom)
    return sorted(found)


def csv_lines(*, contacts: QuerySet[Contact], team: Team | None = None) -> Iterator[str]:
    """The header and one line per contact, read in chunks so that memory stays flat.

    The fields that the team defines come first and in their order, filled or not; then the other keys in use.
    """
    own = [str(field["key"]) for field in definitions(team=team, model=Contact)] if team is not None else []
    keys = list(dict.fromkeys([*own, *custom_keys(contacts=contacts)]))
    writer = SafeWriter(Echo())
    yield str(writer.writerow([*COLUMNS, *(f"custom.{key}" for key in keys)]))
    rows = contacts.select_related("company", "owner").prefetch_related("tags")
    for contact in rows.iterator(chunk_size=1000):
        yield str(writer.writerow(_cells(contact, keys)))


def _cells(contact: Contact, keys: Sequence[str]) -> list[object]:
    fixed: list[object] = [
        contact.pk,
        contact.first_name,
        contact.last_name,
        contact.email,
        contact.phone,
        contact.job_title,
        contact.company.name if contact.company else "",
        contact.owner.get_username() if contact.owner else "",
        contact.lifecycle_stage,
        contact.lead_source,
        contact.timezone,
        contact.language,
        "; ".join(sorted(tag.name for tag in contact.tags.all())),
        contact.last_interaction,
        contact.created_at,
    ]
    return fixed + [_custom_text(contact.custom.get(key)) for key in keys]


def _custom_text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "; ".join(str(item) for item in value) if isinstance(value, list) else value


def json_lines(*, contacts: QuerySet[Contact]) -> Iterator[str]:
    """One JSON object per contact, with the names that the API uses."""
    rows = contacts.select_related("company", "owner").prefetch_related("tags")
    for contact in rows.iterator(chunk_size=1000):
        cells = dict(zip(COLUMNS, _cells(contact, []), strict=True))
        cells["tags"] = sorted(tag.name for tag in contact.tags.all())
        yield json.dumps({**cells, "custom": contact.custom}, default=as_text) + "\n"
