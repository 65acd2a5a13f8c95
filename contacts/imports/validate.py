"""From the cells of a row to the values of a contact, or to the reasons why not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Model

from contacts.custom import MAX_BYTES
from contacts.imports.mapping import EMAIL, Column, ColumnMap, spoken
from contacts.models import Company, Contact
from contacts.own_fields import Field, definitions, held_text
from contacts.record_fields import InvalidValues
from contacts.tagging import MAX_NAME, clean_names
from crm.channels.letters import number_problem
from crm.csv_files import Row
from crm.models import Member, Team
from crm.tables import restored
from crm.timezones import known_timezones

MAX_TAGS: Final = 50
# One of these a new contact must have.
NAMING: Final = frozenset({"first_name", "last_name", "email", "phone"})
NAMELESS: Final = "The row has no email, name or phone number."
_STAGES: Final = {spelling.lower(): value for value, label in Contact.Stage.choices for spelling in (value, str(label))}


def _length(model: type[Model], name: str) -> int:
    field: Any = model._meta.get_field(name)
    return int(field.max_length)


_LENGTHS: Final = {
    "company": _length(Company, "name"),
    **{
        name: _length(Contact, name)
        for name in (
            "first_name",
            "last_name",
            "email",
            "phone",
            "job_title",
            "lead_source",
            "language",
        )
    },
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with one cell (or, with no column, with the row)."""

    column: str
    message: str

    def __str__(self) -> str:
        return f"{self.column}: {self.message}" if self.column else self.message


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a row says about a contact; a blank cell says nothing."""

    fields: Mapping[str, Any]
    company: str = ""
    tags: tuple[str, ...] = ()
    custom: Mapping[str, Any] = field(default_factory=dict)
    # Labels of required fields that the row does not fill; only a new contact needs them.
    lacks: tuple[str, ...] = ()

    @property
    def email(self) -> str:
        return str(self.fields.get("email", ""))

    @property
    def is_named(self) -> bool:
        return bool(NAMING & set(self.fields))


@dataclass(frozen=True, kw_only=True)
class Known:
    """What rows are checked against, read once per import: members by email and username, and own fields by key."""

    owners: Mapping[str, int]
    fields: Mapping[str, Field] = field(default_factory=dict)


def known(*, team: Team) -> Known:
    """Members and fields of the team, each in one statement."""
    members = Member.objects.for_team(team).values_list("user_id", "user__username", "user__email")
    owners = {name.lower(): user for user, username, email in members for name in (username, email) if name}
    return Known(owners=owners, fields={field["key"]: field for field in definitions(team=team, model=Contact)})


def read_row(*, row: Row, columns: ColumnMap, known: Known, key: str = EMAIL) -> Values | list[Problem]:
    """The values of a row, or everything that is wrong with it."""
    reading = _Reading(known=known, key=key)
    for column in columns.used:
        cell = row.cells[column.index] if column.index < len(row.cells) else ""
        reading.take(column, restored(cell.strip()).strip())
    extra = [cell for cell in row.cells[len(columns.columns) :] if cell.strip()]
    if extra:
        reading.refuse("", "The row has more cells than the first line. Is a quotation mark missing?")
    return reading.result()


class _Reading:
    """One row while it is being read."""

    def __init__(self, *, known: Known, key: str) -> None:
        self._known = known
        self._key = key
        self._fields: dict[str, Any] = {}
        self._custom: dict[str, Any] = {}
        self._tags: list[str] = []
        self._problems: list[Problem] = []

    def refuse(self, column: str, message: str) -> None:
        self._problems.append(Problem(column=column, message=message))

    def take(self, column: Column, text: str) -> None:
        if not text:
            return None
        target = column.target
        if any(character < " " and character not in "\t\r\n" for character in text):
            return self.refuse(column.title, "Control characters are not allowed.")
        if target.startswith("custom."):
            return self._take_custom(column, target.removeprefix("custom."), text)
        limit = _LENGTHS.get(target)
        if limit is not None and len(text) > limit:
            return self.refuse(column.title, f"{len(text)} characters; {limit} fit.")
        reader = _READERS.get(target)
        try:
            if reader is not None:
                reader(self, text)
            else:
                self._fields[target] = text
        except ValueError as error:
            self.refuse(column.title, str(error))
        return None

    def _take_custom(self, column: Column, key: str, text: str) -> None:
        """A cell of a defined field as a value of its type; any other stays text. No reason repeats the cell."""
        given = self._known.fields.get(key)
        try:
            self._custom[key] = text if given is None else held_text(field=given, text=text)
        except InvalidValues as error:
            self.refuse(column.title, error.problems[0][1])

    def result(self) -> Values | list[Problem]:
        if not self._problems:
            self._ask_who_it_is()
        if sum(len(str(value).encode()) for value in self._custom.values()) > MAX_BYTES // 2:
            self.refuse("", f"Custom fields of one record may hold {MAX_BYTES // 2048} KB.")
        if self._problems:
            return self._problems
        company = self._fields.pop("company", "")
        needed = (given for key, given in self._known.fields.items() if given["required"] and key not in self._custom)
        lacks = tuple(str(given["label"]) for given in needed)
        return Values(fields=self._fields, company=company, tags=tuple(self._tags), custom=self._custom, lacks=lacks)

    def _ask_who_it_is(self) -> None:
        held = {*self._fields, *(f"custom.{name}" for name in self._custom)}
        if self._key not in (EMAIL, *held):
            self.refuse("", f"The row has no {spoken(self._key)}, by which contacts are recognized.")
        elif not (NAMING | ({self._key} - {EMAIL})) & held:
            self.refuse("", NAMELESS)

    def email(self, text: str) -> None:
        try:
            validate_email(text)
        except ValidationError:
            raise ValueError(f"“{text[:80]}” is not an email address.") from None
        self._fields["email"] = text

    def phone(self, text: str) -> None:
        problem = number_problem(text)
        if problem:
            raise ValueError(problem)
        self._fields["phone"] = text

    def full_name(self, text: str) -> None:
        first, _, last = text.partition(" ")
        if "," in text:
            last, _, first = text.partition(",")
        for name, part in (("first_name", first.strip()), ("last_name", last.strip())):
            if len(part) > _LENGTHS[name]:
                raise ValueError(f"A name of {len(part)} characters; {_LENGTHS[name]} fit.")
            if part:
                self._fields.setdefault(name, part)

    def stage(self, text: str) -> None:
        stage = _STAGES.get(text.lower())
        if stage is None:
            raise ValueError(f"“{text[:40]}” is no stage: use {', '.join(Contact.Stage.values)}.")
        self._fields["lifecycle_stage"] = stage

    def timezone(self, text: str) -> None:
        if text not in known_timezones():
            raise ValueError(f"“{text[:40]}” is no time zone: use a name such as Europe/Berlin.")
        self._fields["timezone"] = text

    def owner(self, text: str) -> None:
        user = self._known.owners.get(text.lower())
        if user is None:
            raise ValueError(f"“{text[:80]}” is no member of the team: use an email or user name.")
        self._fields["owner_id"] = user

    def tags(self, text: str) -> None:
        names = clean_names(text.replace(";", ",").replace("|", ",").split(","))
        if len(names) > MAX_TAGS:
            raise ValueError(f"{len(names)} tags; {MAX_TAGS} fit.")
        for name in names:
            if len(name) > MAX_NAME:
                raise ValueError(f"The tag “{name[:20]}…” is longer than {MAX_NAME} characters.")
        self._tags = names


_READERS: Final[Mapping[str, Callable[[_Reading, str], None]]] = {
    "email": _Reading.email,
    "phone": _Reading.phone,
    "full_name": _Reading.full_name,
    "lifecycle_stage": _Reading.stage,
    "timezone": _Reading.timezone,
    "owner": _Reading.owner,
    "tags": _Reading.tags,
}
