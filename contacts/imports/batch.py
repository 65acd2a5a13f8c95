"""One batch of an import, inside the caller's transaction: look up, create, change, announce."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from contacts import hooks
from contacts.imports.matching import match
from contacts.imports.validate import Values
from contacts.models import Company, Contact
from contacts.tagging import attach, tags_named
from crm.models import Team

_WRITTEN: Final = (
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
    "custom",
    "updated_at",
)
_ANNOUNCED: Final = (*_WRITTEN[:-1], "tags")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows that were found good, by the lines they stand on, and what to do with them."""

    team: Team
    rows: Sequence[tuple[int, Values]]
    key: str
    update: bool
    announce: bool


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of the rows of one batch; `refused` are the reasons by line."""

    created: Sequence[Contact]
    founded: Sequence[Company]
    updated: int
    skipped: int
    enrolled: int
    refused: Mapping[int, str]


def write_batch(batch: Batch) -> Written:
    """Create or change the contacts of a batch; a row about which there is a doubt is refused."""
    # Two imports into one team take turns, so that neither creates what the other just did.
    Team.objects.select_for_update(no_key=True).get(pk=batch.team.pk)
    matched = match(team=batch.team, key=batch.key, rows=batch.rows)
    fresh = matched.fresh
    old = matched.known if batch.update else []
    companies, founded = _companies(batch, [*fresh, *(values for _, values in old)])
    before = {contact.pk: _values_of(contact) for contact, _ in old}
    changed = [contact for contact, values in old if _apply(contact, values, companies, batch.key)]
    links = _missing_tags(old)
    touched = {contact.pk for contact in changed} | {contact for contact, _ in links}
    created = _create(batch.team, fresh, companies)
    _store(changed)
    _tag(batch.team, [*links, *_new_tags(created, fresh)])
    return Written(
        created=created,
        founded=founded,
        updated=len(touched),
        skipped=len(matched.known) - len(touched),
        enrolled=_announce(batch, created, founded, sorted(touched), before),
        refused=matched.refused,
    )


def _values_of(contact: Contact) -> dict[str, Any]:
    """The columns that an import may write, relations by their ids."""
    fields = [field for field in Contact._meta.concrete_fields if field.name in _WRITTEN[:-1]]
    values = {field.name: getattr(contact, field.attname) for field in fields}
    return {**values, "custom": dict(contact.custom)}


def _companies(batch: Batch, rows: Sequence[Values]) -> tuple[dict[str, Company], Sequence[Company]]:
    """Companies by lower-case name, and which of them are new."""
    names = {values.company.lower(): values.company for values in rows if values.company}
    if not names:
        return {}, []
    named = Company.objects.for_team(batch.team).alias(lowered=Lower("name"))
    same = named.filter(Q(lowered__in=list(names)) | Q(name__in=list(names.values())))
    found: dict[str, Company] = {}
    for company in same.order_by("pk"):
        found.setdefault(company.name.lower(), company)
    new = [Company(team=batch.team, name=name) for key, name in names.items() if key not in found]
    if new:
        Company.objects.bulk_create(new)
    return found | {company.name.lower(): company for company in new}, new


def _apply(contact: Contact, values: Values, companies: Mapping[str, Company], key: str) -> bool:
    """Put what the row says into the contact, but for its key, which may be spelled otherwise; true for a change."""
    changed = False
    for name, value in values.fields.items():
        if getattr(contact, name) != value and name != key:
            setattr(contact, name, value)
            changed = True
    given = {name: value for name, value in values.custom.items() if f"custom.{name}" != key}
    custom = {**contact.custom, **given}
    if custom != contact.custom:
        contact.custom, changed = custom, True
    company = companies.get(values.company.lower())
    if company is not None and contact.company_id != company.pk:
        contact.company, changed = company, True
    return changed


def _create(team: Team, rows: Sequence[Values], companies: Mapping[str, Company]) -> list[Contact]:
    contacts = [
        Contact(
            team=team,
            company=companies.get(values.company.lower()),
            custom=dict(values.custom),
            **values.fields,
        )
        for values in rows
    ]
    return Contact.objects.bulk_create(contacts)


def _store(contacts: Sequence[Contact]) -> None:
    """Write changed contacts in one statement, many times faster than one CASE per row."""
    now = timezone.now()
    for contact in contacts:
        contact.updated_at = now
    if contacts:
        Contact.objects.bulk_create(contacts, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN)


def _missing_tags(old: Sequence[tuple[Contact, Values]]) -> list[tuple[int, str]]:
    """Tags that rows add to contacts that exist, as (contact id, name)."""
    wanted = [(contact.pk, name) for contact, values in old for name in values.tags]
    if not wanted:
        return []
    links = Contact.tags.through._default_manager.filter(contact_id__in={pk for pk, _ in wanted})
    has = {(pk, name.lower()) for pk, name in links.values_list("contact_id", "tag__name")}
    return [(pk, name) for pk, name in wanted if (pk, name.lower()) not in has]


def _new_tags(created: Sequence[Contact], rows: Sequence[Values]) -> list[tuple[int, str]]:
    pairs = zip(created, rows, strict=True)
    return [(contact.pk, name) for contact, values in pairs for name in values.tags]


def _tag(team: Team, links: Sequence[tuple[int, str]]) -> None:
    tags = tags_named(team=team, names=[name for _, name in links])
    attach(pairs=[(contact, tags[name.lower()].pk) for contact, name in links])


def _announce(
    batch: Batch,
    created: Sequence[Contact],
    founded: Sequence[Company],
    changed: Sequence[int],
    before: Mapping[int, Mapping[str, Any]],
) -> int:
    team = batch.team
    if not batch.announce:
        hooks.announce_quiet(model=Company, ids=[row.pk for row in founded], team=team)
        hooks.announce_quiet(model=Contact, ids=[row.pk for row in created], team=team)
        return 0
    enrolled = hooks.announce_created(model=Company, ids=[row.pk for row in founded], team=team)
    enrolled += hooks.announce_created(model=Contact, ids=[row.pk for row in created], team=team)
    hooks.announce_updated(model=Contact, ids=changed, team=team, fields=_ANNOUNCED, before=before)
    return enrolled
