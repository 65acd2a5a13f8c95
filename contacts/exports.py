"""Contacts as CSV, streamed, with no cell that a spreadsheet would run as a formula.

A cell is dangerous when its first visible character starts a formula, however many spaces,
control characters or apostrophes come before. Such a cell gets one apostrophe in front, and an
import takes exactly one away, so any number of round trips changes nothing.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from django.db.models import QuerySet

from contacts.models import Contact

_FORMULA: Final = "=+\\-@|\uff1d\uff0b\uff0d\uff20\uff5c"
_UNSEEN: Final = "'\\s\x00-\x1f\x7f-\x9f\u00a0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
_DANGEROUS: Final = re.compile(f"(?:[{_UNSEEN}]*[{_FORMULA}])|(?:'*[\t\r\n])")

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


def neutralized(cell: str) -> str:
    """The cell as a spreadsheet may open it."""
    return f"'{cell}" if _DANGEROUS.match(cell) else cell


def restored(cell: str) -> str:
    """The cell as it was before `neutralized`; the exact opposite for every text."""
    return cell[1:] if cell.startswith("'") and _DANGEROUS.match(cell[1:]) else cell


class TextSink(Protocol):
    """Anything that text can be written to."""

    def write(self, text: str, /) -> object: ...


class SafeWriter:
    """A CSV writer whose cells are quoted and neutralized."""

    def __init__(self, sink: TextSink) -> None:
        self._writer = csv.writer(sink, quoting=csv.QUOTE_ALL)

    def writerow(self, cells: Iterable[object]) -> Any:
        return self._writer.writerow([neutralized(_text(cell)) for cell in cells])


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return cell.isoformat() if isinstance(cell, datetime) else str(cell)


class _Echo:
    """A sink that hands back what is written, so that rows can be streamed one by one."""

    def write(self, text: str, /) -> str:
        return text


def custom_keys(*, contacts: QuerySet[Contact]) -> list[str]:
    """Every key of custom fields in use among these contacts, sorted."""
    found: set[str] = set()
    values = contacts.exclude(custom={}).order_by().values_list("custom", flat=True)
    for custom in values.iterator(chunk_size=2000):
        found.update(custom)
    return sorted(found)


def csv_lines(*, contacts: QuerySet[Contact]) -> Iterator[str]:
    """The header and one line per contact, read in chunks so that memory stays flat."""
    keys = custom_keys(contacts=contacts)
    writer = SafeWriter(_Echo())
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
        yield json.dumps({**cells, "custom": contact.custom}, default=_text) + "\n"
