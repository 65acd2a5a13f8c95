"""Erasing a person: what the ground floor holds of them, and their addresses wherever they stand in texts."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Cast, Lower

from crm.models import (
    ConsentEntry,
    Device,
    IdempotentRequest,
    Message,
    MessageEvent,
    Notification,
    OptIn,
    Subscription,
    Suppression,
    Task,
)
from crm.suppression import hashed

ERASED: Final = "erased"
# Shorter words stand in too many texts by chance.
SHORTEST: Final = 6
CHUNK: Final = 500
# Rows of a team whose texts may name somebody.
Rows = Callable[[int], QuerySet[Any]]


@dataclass(frozen=True, slots=True)
class Person:
    """Who is erased: the record by its type and id, and every spelling of the addresses it had."""

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


def erase_ground(person: Person) -> dict[str, int]:
    """Empty messages and forget devices and choices, in the caller's transaction; how many rows of each.

    Messages stay, without their content, for what they count; a suppression stays as a hash, so that it holds.
    """
    written = {*person.words, *(word.lower() for word in person.words)}
    messages = Message.objects.filter(person.about("about") | Q(recipient__in=written), team_id=person.team_id)
    ids = list(messages.values_list("pk", flat=True))
    messages = Message.objects.filter(pk__in=ids)
    MessageEvent.objects.filter(message_id__in=ids).update(text="", url="")
    messages.filter(state=Message.State.QUEUED).update(state=Message.State.CANCELLED, reason=ERASED)
    messages.update(
        recipient=ERASED, sender="", reply_to="", subject="", text="", html="", attachments=[], headers={},
        message_id="", error="", about_type=None, about_id=None,
    )  # fmt: skip
    choices = [
        Device.objects.filter(person.about("about"), team_id=person.team_id),
        *(
            model._default_manager.filter(team_id=person.team_id, address__in=written)
            for model in (OptIn, Subscription, ConsentEntry)
        ),
    ]
    forgotten = sum(rows.delete()[0] for rows in choices)
    Notification.objects.filter(person.about("about"), team_id=person.team_id).delete()
    return {"messages": len(ids), "choices": forgotten, "suppressions": _hash_suppressions(person, written)}


def _hash_suppressions(person: Person, written: set[str]) -> int:
    rows = list(Suppression.objects.filter(team_id=person.team_id, address__in=written))
    kept = [
        Suppression(team_id=row.team_id, address=hashed(row.address), topic=row.topic, reason=row.reason, source=ERASED)
        for row in rows
    ]
    Suppression.objects.bulk_create(kept, ignore_conflicts=True)
    Suppression.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def ground_rows(team_id: int) -> Iterator[QuerySet[Any]]:
    """Tables of the ground floor whose texts may name somebody."""
    for model in (Message, MessageEvent, Task, Notification):
        yield model._default_manager.filter(team_id=team_id)
    yield IdempotentRequest.objects.filter(api_key__team_id=team_id)


def scrub(person: Person, tables: Iterator[QuerySet[Any]]) -> int:
    """Replace the person's addresses in every text and JSON of these tables; how many rows were changed.

    Reads whole tables of the team. Safe to repeat.
    """
    words = person.searched
    return sum(_scrub(rows, words) for rows in tables) if words else 0


def _scrub(rows: QuerySet[Any], words: list[str]) -> int:
    fields = [field for field in rows.model._meta.concrete_fields if holds_text(field)]
    lowered = {f"text_of_{field.name}": Lower(Cast(field.name, models.TextField())) for field in fields}
    found = Q()
    for name in lowered:
        for word in words:
            found |= Q(**{f"{name}__contains": _in_json(word.lower())})
            found |= Q(**{f"{name}__contains": word.lower()})
    ids = list(rows.annotate(**lowered).filter(found).values_list("pk", flat=True))
    pattern = whole_words(words)
    for start in range(0, len(ids), CHUNK):
        _rewrite(rows.model._default_manager.filter(pk__in=ids[start : start + CHUNK]), fields, pattern)
    return len(ids)


@transaction.atomic
def _rewrite(rows: QuerySet[Any], fields: list[Any], pattern: re.Pattern[str]) -> None:
    """Locked, so that what others write into these rows meanwhile is not lost."""
    some = list(rows.order_by("pk").select_for_update())
    for row in some:
        for field in fields:
            setattr(row, field.attname, _without(getattr(row, field.attname), pattern))
    rows.bulk_update(some, [field.name for field in fields], batch_size=CHUNK)


def holds_text(field: Any) -> bool:
    text = isinstance(field, models.CharField | models.TextField | models.JSONField)
    return text and not field.primary_key and not field.choices


def _in_json(word: str) -> str:
    return json.dumps(word)[1:-1]


def whole_words(words: list[str]) -> re.Pattern[str]:
    """Finds these addresses whole: not the end of a longer one, nor the beginning."""
    if not words:
        return re.compile(r"(?!)")
    return re.compile(rf"(?<![\w.+-])(?:{'|'.join(map(re.escape, words))})(?![\w-]|\.\w)", re.IGNORECASE)


def _without(value: Any, pattern: re.Pattern[str]) -> Any:
    match value:
        case str():
            return pattern.sub(ERASED, value)
        case dict():
            return {_without(key, pattern): _without(item, pattern) for key, item in value.items()}
        case list():
            return [_without(item, pattern) for item in value]
    return value
