"""Owners, contacts and companies that cells name, found within the team: one statement for each way of naming."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from django.db.models import Q
from django.db.models.functions import Lower, Trim

from contacts.models import Company, Contact
from contacts.queries import with_email
from crm.models import Member, Team


class Named(NamedTuple):
    """A record with the name or address by which cells may name it, too."""

    pk: int
    name: str


class Relations:
    """What the cells of a batch name."""

    def __init__(self, team: Team, wanted: Mapping[str, Collection[str]]) -> None:
        self._team = team
        self._found: dict[str, dict[str, list[Named]]] = {
            target: _FINDERS[target](team, list(texts)) for target, texts in wanted.items() if texts
        }

    def one(self, target: str, text: str) -> Named:
        """The record that a cell names; raises ValueError with a sentence for none and for several."""
        found = self._found[target].get(text.lower(), [])
        if len(found) == 1:
            return found[0]
        kind = target.removesuffix("_id")
        if not found:
            raise ValueError(_NOBODY[target].format(text[:80]))
        ids = ", ".join(str(each.pk) for each in found[:5])
        cure = f": say which by {kind}_id" if target in ("contact", "company") else ""
        raise ValueError(f"{len(found)} are called “{text[:80]}” ({ids}){cure}.")

    def pair(self, kind: str, named: str | None, number: str | None) -> int | None:
        """The contact or company that the cells of a row name, by name and by id; an empty text names none."""
        if number:
            found = self.one(f"{kind}_id", number)
            if named and named.lower() != found.name.strip().lower():
                raise ValueError(
                    f"The {kind} {number} of this team is not “{named[:80]}”: change both cells, or empty one of them."
                )
            return found.pk
        return self.one(kind, named).pk if named else None


def _members(team: Team, texts: list[str]) -> dict[str, list[Named]]:
    """Members by user name; else by email."""
    members = Member.objects.for_team(team).order_by("user_id")
    rows = list(members.values_list("user_id", "user__username", "user__email"))
    emails: dict[str, list[Named]] = {}
    for pk, username, email in rows:
        emails.setdefault(email.lower(), []).append(Named(pk, username))
    return {**emails, **{username.lower(): [Named(pk, username)] for pk, username, _ in rows}}


def _contacts(team: Team, texts: list[str]) -> dict[str, list[Named]]:
    return _grouped(with_email(team=team, emails=texts).order_by("pk").values_list("pk", "email"))


def _companies(team: Team, texts: list[str]) -> dict[str, list[Named]]:
    # SQLite folds the case of ASCII letters alone, so the exact spelling is asked for as well.
    rows = Company.objects.for_team(team).alias(lowered=Lower(Trim("name")))
    same = rows.filter(Q(lowered__in=[text.lower() for text in texts]) | Q(name__in=texts))
    return _grouped(same.order_by("pk").values_list("pk", "name"))


def _grouped(rows: Any) -> dict[str, list[Named]]:
    found: dict[str, list[Named]] = {}
    for pk, name in rows:
        found.setdefault(name.strip().lower(), []).append(Named(pk, name))
    return found


def numbers(texts: Collection[str]) -> list[int]:
    """Those texts that can be the id of a row."""
    return [int(text) for text in texts if text.isascii() and text.isdecimal() and len(text) <= 18]


def _contact_ids(team: Team, texts: list[str]) -> dict[str, list[Named]]:
    rows = Contact.objects.for_team(team).filter(pk__in=numbers(texts)).values_list("pk", "email")
    return _by_text(texts, dict(rows))


def _company_ids(team: Team, texts: list[str]) -> dict[str, list[Named]]:
    rows = Company.objects.for_team(team).filter(pk__in=numbers(texts)).values_list("pk", "name")
    return _by_text(texts, dict(rows))


def _by_text(texts: list[str], names: Mapping[int, str]) -> dict[str, list[Named]]:
    known = {text: number for text in texts for number in numbers([text]) if number in names}
    return {text: [Named(number, names[number])] for text, number in known.items()}


_FINDERS = {
    "owner": _members,
    "contact": _contacts,
    "contact_id": _contact_ids,
    "company": _companies,
    "company_id": _company_ids,
}
_NOBODY = {
    "owner": "“{}” is no member of the team: use an email or user name.",
    "contact": "No contact of the team has the address “{}”.",
    "contact_id": "There is no contact “{}” in this team.",
    "company": "There is no company “{}” in this team.",
    "company_id": "There is no company “{}” in this team.",
}
