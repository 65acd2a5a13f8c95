"""One batch of an import, inside the caller's transaction: look up, create, change, announce."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from contacts import hooks
from contacts.imports.validate import Values
from contacts.models import Company, Contact
from contacts.queries import with_email
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
    """Rows that were found good, and what to do with them."""

    team: Team
    values: Sequence[Values]
    update: bool
    announce: bool
    dry_run: bool


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of the rows of one batch."""

    created: int = 0
    updated: int = 0
    skipped: int = 0
    enrolled: int = 0
    companies: int = 0


def write_batch(batch: Batch) -> Written:
    """Create or change the contacts of a batch; a dry run only counts."""
    # Two imports into one team take turns, so that neither creates what the other just did.
    Team.objects.select_for_update(no_key=True).get(pk=batch.team.pk)
    existing = _existing(batch)
    fresh = [values for values in batch.values if values.email.lower() not in existing]
    old = _pairs(batch, existing) if batch.update else []
    companies, founded = _companies(batch, [*fresh, *(values for _, values in old)])
    before = {contact.pk: _values_of(contact) for contact, _ in old}
    changed = [contact for contact, values in old if _apply(contact, values, companies)]
    links = _missing_tags(old)
    touched = {contact.pk for contact in changed} | {contact for contact, _ in links}
    enrolled = 0
    if not batch.dry_run:
        created = _create(batch.team, fresh, companies)
        _store(changed)
        _tag(batch.team, [*links, *_new_tags(created, fresh)])
        enrolled = _announce(batch, created, founded, sorted(touched), before)
    return Written(
        created=len(fresh),
        updated=len(touched),
        skipped=len(batch.values) - len(fresh) - len(touched),
        enrolled=enrolled,
        companies=len(founded),
    )


def _values_of(contact: Contact) -> dict[str, Any]:
    """The columns that an import may write, relations by their ids."""
    fields = [field for field in Contact._meta.concrete_fields if field.name in _WRITTEN[:-1]]
    values = {field.name: getattr(contact, field.attname) for field in fields}
    return {**values, "custom": dict(contact.custom)}


def _existing(batch: Batch) -> dict[str, Contact]:
    """Contacts of the team by lower-case address; of several with one address, the oldest."""
    emails = [values.email for values in batch.values if values.email]
    if not emails:
        return {}
    rows = with_email(team=batch.team, emails=emails).order_by("pk").select_for_update()
    found: dict[str, Contact] = {}
    for contact in rows:
        found.setdefault(contact.email.lower(), contact)
    return found


def _pairs(batch: Batch, existing: Mapping[str, Contact]) -> list[tuple[Contact, Values]]:
    return [(existing[values.email.lower()], values) for values in batch.values if values.email.lower() in existing]


def _companies(batch: Batch, rows: Sequence[Values]) -> tuple[dict[str, Company], Sequence[Company]]:
    """Companies by lower-case name, and which of them are new (not stored in a dry run)."""
    names = {values.company.lower(): values.company for values in rows if values.company}
    if not names:
        return {}, []
    named = Company.objects.for_team(batch.team).alias(lowered=Lower("name"))
    same = named.filter(Q(lowered__in=list(names)) | Q(name__in=list(names.values())))
    found: dict[str, Company] = {}
    for company in same.order_by("pk"):
        found.setdefault(company.name.lower(), company)
    new = [Company(team=batch.team, name=name) for key, name in names.items() if key not in found]
    if new and not batch.dry_run:
        Company.objects.bulk_create(new)
    return found | {company.name.lower(): company for company in new}, new


def _apply(contact: Contact, values: Values, companies: Mapping[str, Company]) -> bool:
    """Put what the row says into the contact; true when that changes anything."""
    changed = False
    for name, value in values.fields.items():
        if getattr(contact, name) != value and name != "email":
            setattr(contact, name, value)
            changed = True
    custom = {**contact.custom, **values.custom}
    if custom != contact.custom:
        contact.custom, changed = custom, True
    company = companies.get(values.company.lower())
    if company is not None and (company.pk is None or contact.company_id != company.pk):
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
