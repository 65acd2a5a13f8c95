"""Contacts, companies, deals and own records as CSV, streamed, with no cell that a spreadsheet runs as a formula."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from contacts.models import Company, Contact, Deal, Record, RecordType
from contacts.own_fields import definitions
from crm.models import Team
from crm.tables import as_text
from crm.tables import csv_lines as lines_of

Cell = Callable[[Any], object]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of a kind of record that every team has, and what is read with each row."""

    columns: Mapping[str, Cell]
    related: Sequence[str]
    many: Sequence[str] = ()


def _plain(name: str) -> Cell:
    return lambda row: getattr(row, name)


def _owner(row: Any) -> str:
    return row.owner.get_username() if row.owner else ""


def _company(row: Any) -> str:
    return row.company.name if row.company else ""


CONTACTS: Final = Layout(
    columns={
        **{name: _plain(name) for name in ("id", "first_name", "last_name", "email", "phone", "job_title")},
        "company": _company,
        "owner": _owner,
        **{name: _plain(name) for name in ("lifecycle_stage", "lead_source", "timezone", "language")},
        "tags": lambda contact: "; ".join(sorted(tag.name for tag in contact.tags.all())),
        **{name: _plain(name) for name in ("last_interaction", "created_at")},
    },
    related=("company", "owner"),
    many=("tags",),
)
COMPANIES: Final = Layout(
    columns={
        **{name: _plain(name) for name in ("id", "name", "domain", "phone", "website", "industry", "address")},
        "owner": _owner,
        "created_at": _plain("created_at"),
    },
    related=("owner",),
)
DEALS: Final = Layout(
    columns={
        **{name: _plain(name) for name in ("id", "title", "stage", "amount", "currency", "expected_close")},
        "contact": lambda deal: deal.contact.email if deal.contact else "",
        # Several may share an address or a name.
        "contact_id": _plain("contact_id"),
        "company": _company,
        "company_id": _plain("company_id"),
        "owner": _owner,
        "created_at": _plain("created_at"),
    },
    related=("contact", "company", "owner"),
)
RECORDS: Final = Layout(columns={"id": _plain("id"), "created_at": _plain("created_at")}, related=())
LAYOUTS: Final[Mapping[type[Any], Layout]] = {Contact: CONTACTS, Company: COMPANIES, Deal: DEALS, Record: RECORDS}


def csv_lines(*, rows: QuerySet[Any], team: Team | None = None, kind: RecordType | None = None) -> Iterator[str]:
    """The header and one line per row, read in chunks so that memory stays flat; `kind` is that of own records.

    The fields that the team defines come first behind the columns and in their order, filled or not; then the other
    keys in use. Of an own type these are its fields.
    """
    own = own_columns(rows=rows, team=team, kind=kind)
    columns = {**LAYOUTS[rows.model].columns, **own}
    return lines_of(list(columns), ([cell(row) for cell in columns.values()] for row in _read(rows)))


def own_columns(*, rows: QuerySet[Any], team: Team | None, kind: RecordType | None) -> dict[str, Cell]:
    """Columns of what a team defined, by their titles."""
    if kind is not None:
        return {str(field["key"]): own_cell("values", str(field["key"])) for field in kind.fields}
    defined = [str(field["key"]) for field in definitions(team=team, model=rows.model)] if team is not None else []
    keys = dict.fromkeys([*defined, *custom_keys(rows=rows)])
    return {f"custom.{key}": own_cell("custom", key) for key in keys}


def custom_keys(*, rows: QuerySet[Any]) -> list[str]:
    """Every key of custom fields in use among these rows, sorted."""
    found: set[str] = set()
    values = rows.exclude(custom={}).order_by().values_list("custom", flat=True)
    for custom in values.iterator(chunk_size=2000):
        found.update(custom)
    return sorted(found)


def own_cell(column: str, key: str) -> Cell:
    """What stands under a key of a JSON column, as a cell shows it."""
    return lambda row: _custom_text((getattr(row, column) or {}).get(key))


def _custom_text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "; ".join(str(item) for item in value) if isinstance(value, list) else value


def _read(rows: QuerySet[Any]) -> Iterator[Any]:
    layout = LAYOUTS[rows.model]
    joined = rows.select_related(*layout.related) if layout.related else rows
    return joined.prefetch_related(*layout.many).iterator(chunk_size=1000)


def json_lines(*, contacts: QuerySet[Contact]) -> Iterator[str]:
    """One JSON object per contact, with the names that the API uses."""
    for contact in _read(contacts):
        cells = {name: cell(contact) for name, cell in CONTACTS.columns.items()}
        cells["tags"] = sorted(tag.name for tag in contact.tags.all())
        yield json.dumps({**cells, "custom": contact.custom}, default=as_text) + "\n"
