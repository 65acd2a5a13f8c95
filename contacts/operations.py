"""Everything that changes contacts: one call and one transaction per thing a person can ask for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, Q
from django.db.models.signals import post_save
from django.utils import timezone

from contacts import custom, hooks
from contacts.merging import merge_contacts
from contacts.models import Activity, Company, Contact, Tag
from contacts.tagging import attach, clean_names, tags_named
from crm.models import Member, Team

__all__ = [
    "add_note",
    "bulk_create_contacts",
    "bulk_tag",
    "bulk_update_contacts",
    "create_contact",
    "insert_contact",
    "merge_contacts",
    "update_contact",
]

BULK_FIELDS: Final = frozenset(
    {"lifecycle_stage", "owner", "company", "lead_source", "language", "timezone", "job_title"}
)


@transaction.atomic
def create_contact(
    *,
    team: Team,
    values: Mapping[str, Any],
    pipelines: Sequence[int] | None = None,
    by: User | None = None,
) -> Contact:
    """Create a contact; `values` are fields, `tags` (names) and `custom` (an object).

    It enters `pipelines` besides those that it enters by itself.
    """
    contact, names = _build(team=team, values=values)
    _check(contact, team=team)
    insert_contact(contact=contact, tags=list(tags_named(team=team, names=names).values()))
    if pipelines:
        entered = hooks.manual_pipelines.current(subject=contact)
        _assign(contact, list(dict.fromkeys([*entered, *pipelines])), by)
    return contact


@transaction.atomic
def insert_contact(*, contact: Contact, tags: Sequence[Tag]) -> None:
    """Insert a contact with its tags, then send `post_save`.

    The signal waits for the tags, because the conditions of automatic pipelines may ask for them.
    """
    Contact.objects.bulk_create([contact])
    attach(pairs=[(contact.pk, tag.pk) for tag in tags])
    post_save.send(
        sender=Contact,
        instance=contact,
        created=True,
        raw=False,
        using=contact._state.db,
        update_fields=None,
    )


@transaction.atomic
def update_contact(
    *,
    contact: Contact,
    values: Mapping[str, Any],
    pipelines: Sequence[int] | None = None,
    by: User | None = None,
) -> Contact:
    """Change a contact: `tags` replaces its tags, `custom` changes only the keys it names; others' changes stay."""
    changes = dict(values)
    if changes:
        # What it holds may have been written since the caller read it; a change of pipelines alone writes no contact.
        rows = Contact.objects.select_related("team", "company", "owner")
        contact.refresh_from_db(from_queryset=rows.select_for_update(of=("self",), no_key=True))
    names = changes.pop("tags", None)
    if "custom" in changes:
        changes["custom"] = custom.merged(current=contact.custom, changes=changes["custom"])
    changed = [name for name, value in changes.items() if getattr(contact, name) != value]
    for name in changed:
        setattr(contact, name, changes[name])
    _check(contact, team=contact.team)
    if names is not None:
        contact.tags.set(tags_named(team=contact.team, names=names).values())
    if changed or names is not None:
        contact.save(update_fields=[*changed, "updated_at"])
    if pipelines is not None:
        _assign(contact, pipelines, by)
    return contact


@transaction.atomic
def bulk_create_contacts(*, team: Team, items: Sequence[Mapping[str, Any]]) -> list[Contact]:
    """Create many contacts in a fixed number of statements and enroll them as one batch."""
    built = [_build(team=team, values=item) for item in items]
    tags = tags_named(team=team, names=[name for _, names in built for name in names])
    contacts = Contact.objects.bulk_create([contact for contact, _ in built], batch_size=1000)
    attach(
        pairs=[
            (contact.pk, tags[name.lower()].pk)
            for contact, (_, names) in zip(contacts, built, strict=True)
            for name in names
        ]
    )
    ids = [contact.pk for contact in contacts]
    hooks.announce_created(model=Contact, ids=ids, team=team)
    return contacts


@transaction.atomic
def bulk_update_contacts(*, team: Team, ids: Sequence[int], values: Mapping[str, Any]) -> int:
    """Set the same values on many contacts of the team; answers how many were changed."""
    refused = sorted(set(values) - BULK_FIELDS)
    if refused:
        raise ValidationError(dict.fromkeys(refused, "This field cannot be changed in bulk."))
    _check_relations(values.get("company"), values.get("owner"), team=team)
    for name, value in values.items():
        if name not in {"company", "owner"}:
            field: Any = Contact._meta.get_field(name)
            field.clean(value, None)
    before = {row["pk"]: row for row in Contact.objects.for_team(team).filter(pk__in=ids).values("pk", *values)}
    found = list(before)
    Contact.objects.filter(pk__in=found).update(**values, updated_at=timezone.now())
    hooks.announce_updated(model=Contact, ids=found, team=team, fields=sorted(values), before=before)
    return len(found)


@transaction.atomic
def bulk_tag(*, team: Team, ids: Sequence[int], names: Sequence[str]) -> int:
    """Add tags (created when missing) to contacts of the team; answers how many contacts."""
    tags = tags_named(team=team, names=names)
    found = list(Contact.objects.for_team(team).filter(pk__in=ids).values_list("pk", flat=True))
    attach(pairs=[(contact, tag.pk) for contact in found for tag in tags.values()])
    if tags:
        hooks.announce_updated(model=Contact, ids=found, team=team, fields=["tags"])
    return len(found)


@transaction.atomic
def add_note(
    *,
    subject: Model,
    team: Team,
    text: str,
    by: User | None = None,
    kind: str = Activity.Kind.NOTE,
    at: datetime | None = None,
) -> Activity:
    """Write a line into the timeline of a record."""
    if not text.strip():
        raise ValidationError({"text": "Write something first."})
    at = at or timezone.now()
    activity = Activity.objects.create(
        team=team,
        kind=kind,
        text=text.strip(),
        subject_type=ContentType.objects.get_for_model(subject),
        subject_id=subject.pk,
        author=by,
        at=at,
    )
    if isinstance(subject, Contact) and kind in {Activity.Kind.CALL, Activity.Kind.MEETING}:
        # Not save(): a conversation is not an edit of the contact.
        earlier = Q(last_interaction__isnull=True) | Q(last_interaction__lt=at)
        Contact.objects.filter(earlier, pk=subject.pk).update(last_interaction=at)
    return activity


def _build(*, team: Team, values: Mapping[str, Any]) -> tuple[Contact, list[str]]:
    """A contact that is not stored yet, and the names of its tags."""
    fields = dict(values)
    names = clean_names(fields.pop("tags", None) or [])
    fields["custom"] = custom.merged(current={}, changes=fields.get("custom") or {})
    return Contact(team=team, **fields), names


def _check(contact: Contact, *, team: Team) -> None:
    contact.email = contact.email.strip()
    found = custom.problems(contact.custom)
    if found:
        raise ValidationError({"custom": [f"{path}: {message}" for path, message in found]})
    contact.clean_fields(exclude={"team", "company", "owner", "custom"})
    _check_relations(contact.company, contact.owner, team=team)


def _check_relations(company: Company | None, owner: User | None, *, team: Team) -> None:
    if company is not None and company.team_id != team.pk:
        raise ValidationError({"company": "There is no such company."})
    if owner is not None and not Member.objects.filter(team=team, user=owner).exists():
        raise ValidationError({"owner": "The owner must be a member of the team."})


def _assign(contact: Contact, pipelines: Sequence[int], by: User | None) -> None:
    refused = hooks.manual_pipelines.sync(subject=contact, pipelines=pipelines, by=by)
    if refused:
        raise ValidationError({"pipelines": list(refused.values())})
