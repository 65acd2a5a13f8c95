"""Where a person is: one map of the rows that hold something of somebody, read by erasing and by handing out alike."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.functions import Cast, Lower

from crm.models import (
    AuditEntry,
    ConsentEntry,
    Device,
    Message,
    MessageEvent,
    Notification,
    OptIn,
    Subscription,
    Suppression,
    Task,
)
from crm.suppression import forms_of

# Shorter words stand in too many texts by chance.
SHORTEST: Final = 6
CHUNK: Final = 500
# Rows of one kind each, by the name under which they are handed out.
Holdings = Mapping[str, QuerySet[Any]]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody: the record by its type and id, and every spelling of the addresses it had."""

    team_id: int
    type_id: int
    pk: int
    words: frozenset[str]

    def about(self, name: str) -> Q:
        """Rows that point to the record by a generic relation of this name."""
        return Q(**{f"{name}_type_id": self.type_id, f"{name}_id": self.pk})

    @property
    def searched(self) -> list[str]:
        return sorted({word for word in self.words if len(word) >= SHORTEST}, key=len, reverse=True)

    @property
    def written(self) -> set[str]:
        """Every spelling under which rows may be filed."""
        return {*self.words, *(word.lower() for word in self.words)}


def ground_holdings(person: Person) -> Holdings:
    """What the ground floor holds; no query is made before rows are read."""
    team, written = Q(team_id=person.team_id), person.written
    messages = Message.objects.filter(team, person.about("about") | Q(recipient__in=written))
    # Refusals from before an erasure are hashes.
    hashes = {form for word in written for form in forms_of(word)}
    return {
        "messages": messages,
        "message_events": MessageEvent.objects.filter(message__in=messages.values("pk")),
        "devices": Device.objects.filter(team, person.about("about")),
        "opt_ins": OptIn.objects.filter(team, address__in=written),
        "subscriptions": Subscription.objects.filter(team, address__in=written),
        "consents": ConsentEntry.objects.filter(team, address__in=written),
        "suppressions": Suppression.objects.filter(team, address__in=written | hashes),
        "notifications": Notification.objects.filter(team, person.about("about")),
        "tasks": Task.objects.filter(team, person.about("subject")),
        "audit_entries": AuditEntry.objects.filter(team, target=f"contacts.contact:{person.pk}"),
    }


def named_in(rows: QuerySet[Any], words: list[str]) -> list[int]:
    """Ids of the rows that name one of these addresses, whole, in a text or in JSON; reads the whole table."""
    if not words:
        return []
    pattern = whole_words(words)
    fields = [field.name for field in text_fields(rows.model)]
    candidates = naming(rows, words).values_list("pk", *fields)
    return [
        pk
        for pk, *texts in candidates.iterator(chunk_size=CHUNK)
        if any(pattern.search(_readable(text)) for text in texts)
    ]


def naming(rows: QuerySet[Any], words: list[str]) -> QuerySet[Any]:
    """Rows in whose texts one of these words stands, be it as a part of a longer one."""
    lowered = {
        f"text_of_{field.name}": Lower(Cast(field.name, models.TextField())) for field in text_fields(rows.model)
    }
    found = Q()
    for name in lowered:
        for word in words:
            found |= Q(**{f"{name}__contains": json.dumps(word.lower())[1:-1]})
            found |= Q(**{f"{name}__contains": word.lower()})
    some: QuerySet[Any] = rows.alias(**lowered).filter(found)
    return some


def text_fields(model: Any) -> list[Any]:
    return [field for field in model._meta.concrete_fields if holds_text(field)]


def holds_text(field: Any) -> bool:
    text = isinstance(field, models.CharField | models.TextField | models.JSONField)
    return text and not field.primary_key and not field.choices


def whole_words(words: list[str]) -> re.Pattern[str]:
    """Finds these addresses whole: not the end of a longer one, nor the beginning."""
    if not words:
        return re.compile(r"(?!)")
    return re.compile(rf"(?<![\w.+-])(?:{'|'.join(map(re.escape, words))})(?![\w-]|\.\w)", re.IGNORECASE)


def _readable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
