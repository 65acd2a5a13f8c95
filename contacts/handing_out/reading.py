"""Everything held of one person, read by the map that erasing goes by, one kind of row after the other."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import QuerySet
from django.utils import timezone

from contacts.erasing import person_of, searched_tables
from contacts.holdings import all_holdings
from contacts.models import Contact
from contacts.queries import with_email
from crm.holdings import Holdings, Person, named_in
from crm.models import AuditEntry

FORMAT: Final = "crm.person/1"
CHUNK: Final = 500
# Keys of the team or of the machine that protect something, and numbers that only the engine understands.
LEFT_OUT: Final = {
    "crm.device": {"subscription"},
    "crm.auditentry": {"address"},
    "pipelines.pipelinerun": {"dedup"},
    "pipelines.stepexecution": {"batch"},
    "pipelines.eventwait": {"match_key"},
}
# Headers of calls carry the team's credentials.
HIDDEN_KEYS: Final = {"pipelines.effect": {"headers"}}


@dataclass(slots=True)
class HandedOut:
    """What is held of a contact: by kind of row, and which rows about others name the person.

    `counts` is filled while the rows are read.
    """

    contact: Contact
    at: datetime
    holdings: Holdings
    tags: list[str]
    namesakes: list[int]
    mentions: dict[str, list[int]]
    counts: Counter[str] = field(default_factory=Counter)
    # Told after each kind of row: how many kinds are done, of how many.
    progress: Callable[[int, int], None] = lambda done, total: None

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Rows of one kind as plain values, streamed."""
        found = self.holdings[name]
        for row in _values(found):
            self.counts[name] += 1
            yield {**row, "tags": self.tags} if found.model is Contact else row


def hand_out(*, contact: Contact, by: User | None = None, how: str = "") -> HandedOut:
    """Look everything up and write down that it was asked for; rows are read when they are written out."""
    person = person_of(contact)
    namesakes = with_email(team=contact.team, emails=[contact.email]) if contact.email else Contact.objects.none()
    holdings = all_holdings(person)
    AuditEntry.record(team=contact.team, action="contacts.handed_out", target=contact, actor=by, actor_label=how)
    return HandedOut(
        contact=contact,
        at=timezone.now(),
        holdings=holdings,
        tags=sorted(contact.tags.values_list("name", flat=True)),
        namesakes=list(namesakes.exclude(pk=contact.pk).order_by("pk").values_list("pk", flat=True)),
        mentions=_mentions(person, holdings),
    )


def json_pieces(found: HandedOut) -> Iterator[str]:
    """The whole as one JSON object, piece by piece."""
    head = {
        "format": FORMAT,
        "made_at": found.at,
        "team": found.contact.team.slug,
        "contact": found.contact.pk,
        "namesakes": found.namesakes,
        "mentions": found.mentions,
    }
    yield _json(head)[:-1] + ', "holds": {'
    for place, name in enumerate(found.holdings):
        yield f"{', ' if place else ''}\n{json.dumps(name)}: ["
        for number, row in enumerate(found.rows(name)):
            yield f"{',' if number else ''}\n  {_json(row)}"
        yield "]"
        found.progress(place + 1, len(found.holdings))
    yield "\n}}\n"


def _json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)


def _values(rows: QuerySet[Any]) -> Iterator[dict[str, Any]]:
    """Every column that the model has now or gets later, but for what is left out by name."""
    label = rows.model._meta.label_lower
    columns = [each for each in rows.model._meta.concrete_fields if each.name not in LEFT_OUT.get(label, set())]
    hidden = HIDDEN_KEYS.get(label, set())
    names = [each.attname for each in columns if each.name != "team"]
    readers = {each.attname: _reader(each) for each in columns}
    for row in rows.order_by("pk").values(*names).iterator(chunk_size=CHUNK):
        yield {name: _without(readers[name](value), hidden) for name, value in row.items()}


def _reader(column: Any) -> Any:
    """How a value is shown: kinds of records by their labels, numbers that stand for words by the words."""
    if column.is_relation and column.related_model is ContentType:
        return _label_of
    if column.choices and isinstance(column, models.IntegerField):
        words = {value: str(word) for value, word in column.flatchoices}
        return lambda value: words.get(value, value)
    return lambda value: value


def _label_of(pk: int | None) -> str | None:
    # Django keeps all types in memory after the first look.
    kind = None if pk is None else ContentType.objects.get_for_id(pk)
    return None if kind is None else f"{kind.app_label}.{kind.model}"


def _without(value: Any, hidden: set[str]) -> Any:
    return (
        {key: item for key, item in value.items() if key not in hidden} if hidden and isinstance(value, dict) else value
    )


def _mentions(person: Person, holdings: Holdings) -> dict[str, list[int]]:
    """Rows about others that name the person by an address: a human judges whether they may be given."""
    own: dict[Any, list[QuerySet[Any]]] = {}
    for rows in holdings.values():
        own.setdefault(rows.model, []).append(rows)
    found = {}
    for table in searched_tables(person.team_id):
        others = table
        for rows in own.get(table.model, ()):
            others = others.exclude(pk__in=rows.order_by().values("pk"))
        if ids := named_in(others, person.searched):
            found[table.model._meta.label_lower] = sorted(ids)
    return found
