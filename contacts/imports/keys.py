"""By what rows are recognized: the address, the phone number, or a custom value such as an identity elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db.models import CharField, Func, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from contacts.imports.mapping import EMAIL, PHONE
from contacts.imports.validate import Values
from contacts.models import Contact
from contacts.queries import with_email
from crm.models import Team

# What people put between digits.
_BETWEEN: Final = " -./()\t\u00a0\u2011\u2013"
_DROPPED: Final = str.maketrans("", "", _BETWEEN)


class Digits(Func):
    """A phone number without what people put between its digits."""

    function = "TRANSLATE"
    template = f"%(function)s(%(expressions)s, '{_BETWEEN}', '')"
    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "%(expressions)s"
        for character in _BETWEEN:
            template = f"REPLACE({template}, '{character}', '')"
        return self.as_sql(compiler, connection, template=template, **context)


def value_of_row(values: Values, key: str) -> str:
    """What a row says about the key, in the form in which values are compared; empty when nothing."""
    return _comparable(values.fields.get(key, "") if key in (EMAIL, PHONE) else values.custom.get(_name(key), ""), key)


def found_by(*, team: Team, key: str, values: Sequence[str]) -> dict[str, list[Contact]]:
    """Contacts of the team by the value of their key, oldest first; one statement, the rows locked."""
    wanted = list(dict.fromkeys(value for value in values if value))
    if not wanted:
        return {}
    found: dict[str, list[Contact]] = {}
    for contact in _rows(team, key, wanted).order_by("pk").select_for_update(of=("self",)):
        found.setdefault(_comparable(_value_of_contact(contact, key), key), []).append(contact)
    return found


def holders_of(*, team: Team, emails: Mapping[str, str]) -> dict[str, list[int]]:
    """Ids of contacts by lower-case address; `emails` are the spellings by their lower-case form."""
    if not emails:
        return {}
    found: dict[str, list[int]] = {}
    rows = with_email(team=team, emails=list(emails.values())).order_by("pk").values_list("pk", "email")
    for pk, email in rows:
        found.setdefault(email.lower(), []).append(pk)
    return found


def _rows(team: Team, key: str, wanted: list[str]) -> QuerySet[Contact]:
    rows = Contact.objects.for_team(team)
    if key == EMAIL:
        return with_email(team=team, emails=wanted)
    if key == PHONE:
        # Somebody may have written 00 where others write +.
        spelled = [*wanted, *(f"00{value[1:]}" for value in wanted if value.startswith("+"))]
        return rows.exclude(phone="").alias(digits=Digits("phone")).filter(digits__in=spelled)
    return rows.alias(value=Cast(KeyTextTransform(_name(key), "custom"), TextField())).filter(value__in=wanted)


def _value_of_contact(contact: Contact, key: str) -> Any:
    return getattr(contact, key) if key in (EMAIL, PHONE) else contact.custom.get(_name(key), "")


def _comparable(value: Any, key: str) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value).strip()
    if key == EMAIL:
        return text.lower()
    if key == PHONE:
        digits = text.translate(_DROPPED)
        return f"+{digits[2:]}" if digits.startswith("00") else digits
    return text


def _name(key: str) -> str:
    return key.removeprefix("custom.")
