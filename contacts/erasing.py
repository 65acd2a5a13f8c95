"""Erasing a contact: the record goes, what was sent and decided keeps its numbers, and no address stays anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import QuerySet

from contacts.devices import FIELD
from contacts.hooks import Registry
from contacts.imports.forgetting import forget_refused_rows, pass_over
from contacts.models import Activity, Contact, ContactImport, Deal, ImportMapping, ImportProblem, Record
from contacts.own_fields import definitions
from contacts.queries import with_email
from crm.channels.letters import e164, phone_number
from crm.erasing import erase_ground, ground_rows, scrub
from crm.holdings import Person, ground_holdings
from crm.integrations import enabled_by_channel
from crm.models import AuditEntry, Device
from crm.opt_in import country_of


class Eraser(Protocol):
    """Empties what a higher app holds of a person, in the transaction; the contact is gone already."""

    def __call__(self, person: Person, /) -> dict[str, int]: ...


class Tables(Protocol):
    """Tables of a higher app whose texts may name somebody of a team."""

    def __call__(self, team_id: int, /) -> Iterator[QuerySet[Any]]: ...


erasers: Registry[Eraser] = Registry()
tables: Registry[Tables] = Registry()


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows of each kind were emptied or deleted, and other contacts with the same address."""

    counts: dict[str, int]
    namesakes: list[int]


def erase_contact(*, contact: Contact, by: User | None = None, how: str = "") -> Erased:
    """Erase somebody for good; call it with no transaction open, for texts are searched after the commit."""
    person = person_of(contact)
    namesakes = with_email(team=contact.team, emails=[contact.email]) if contact.email else Contact.objects.none()
    others = list(namesakes.exclude(pk=contact.pk).values_list("pk", flat=True))
    team = contact.team
    with transaction.atomic():
        _release_tasks(person)
        contact.delete()
        counts = erase_ground(person) | {"refused rows": forget_refused_rows(person)}
        pass_over(person)
        for eraser in erasers:
            counts |= eraser(person)
        target = f"{Contact._meta.label_lower}:{person.pk}"
        AuditEntry.record(
            team=team, action="contacts.erased", target=target, actor=by, actor_label=how, details=dict(counts)
        )
    counts["texts"] = scrub(person, searched_tables(team.pk))
    return Erased(counts, others)


def person_of(contact: Contact) -> Person:
    """The contact with every spelling of its address and number, and the tokens of its devices."""
    kind = ContentType.objects.get_for_model(Contact).pk
    tokens = Device.objects.filter(team=contact.team_id, about_type=kind, about_id=contact.pk)
    words = {contact.email, contact.email.strip().lower(), contact.phone, phone_number(contact.phone)}
    words |= {*tokens.values_list("token", flat=True), str((contact.custom or {}).get(FIELD) or "")}
    words |= _personal_addresses(contact)
    countries = {country_of(rows) for rows in enabled_by_channel(contact.team_id).values()}
    numbers = {e164(contact.phone, country=country) for country in {"", *countries}} - {""}
    # Some providers write numbers without their plus, and people with two zeros.
    words |= numbers | {number[1:] for number in numbers} | {f"00{number[1:]}" for number in numbers}
    return Person(contact.team_id, kind, contact.pk, frozenset(words - {""}))


def _personal_addresses(contact: Contact) -> set[str]:
    """What names somebody in fields that the team marked as personal: other values are words that anybody may use."""
    fields = definitions(team=contact.team_id, model=Contact)
    keys = [field["key"] for field in fields if field["personal"] and field["type"] in ("email", "url")]
    found = [str((contact.custom or {}).get(key) or "") for key in keys]
    return {*found, *(value.lower() for value in found)}


def _release_tasks(person: Person) -> None:
    """Forms that people were asked belong to runs, whose record stays: empty them instead of deleting them."""
    ground_holdings(person)["tasks"].filter(run_id__isnull=False).update(
        title="Erased", description="", subject_type=None, subject_id=None
    )


def searched_tables(team_id: int) -> Iterator[QuerySet[Any]]:
    yield from ground_rows(team_id)
    for model in (Activity, ContactImport, Deal, ImportMapping, Record):
        yield model._default_manager.filter(team_id=team_id)
    yield ImportProblem.objects.filter(upload__team_id=team_id)
    for more in tables:
        yield from more(team_id)
