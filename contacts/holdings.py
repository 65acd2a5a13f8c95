"""The whole map of where a contact is: the ground floor's part, ours, and those of higher apps."""

from collections.abc import Iterator
from typing import Protocol

from django.db.models import Q

from contacts.hooks import Registry
from contacts.imports.forgetting import refused_rows
from contacts.models import Activity, Contact, Deal, ImportProblem, Record, SegmentMembership
from crm.holdings import Holdings, Person, ground_holdings, named_in


class MoreHoldings(Protocol):
    """The part of a higher app."""

    def __call__(self, person: Person, /) -> Holdings: ...


more_holdings: Registry[MoreHoldings] = Registry()


def contact_holdings(person: Person) -> Holdings:
    """Rows of this app; those that only name the person are searched for at once."""
    team = Q(team_id=person.team_id)
    refused = [pk for some in refused_rows(person) for pk in some]
    records = Record.objects.filter(team)
    return {
        "contact": Contact.objects.filter(team, pk=person.pk),
        "activities": Activity.objects.filter(team, person.about("subject")),
        "segments": SegmentMembership.objects.filter(person.about("subject")),
        "deals": Deal.objects.filter(team, contact_id=person.pk),
        "records": records.filter(pk__in=named_in(records, person.searched)),
        "import_rows": ImportProblem.objects.filter(pk__in=refused),
    }


def all_holdings(person: Person) -> Holdings:
    """Every kind of row that holds something of the person, by its name."""
    return {name: rows for part in _parts(person) for name, rows in part.items()}


def _parts(person: Person) -> Iterator[Holdings]:
    yield contact_holdings(person)
    yield ground_holdings(person)
    for more in more_holdings:
        yield more(person)
