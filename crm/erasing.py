"""Erasing a person: what the ground floor holds of them, and their addresses wherever they stand in texts."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from crm.holdings import CHUNK, Person, ground_holdings, naming, text_fields, whole_words
from crm.models import IdempotentRequest, Message, MessageEvent, Notification, Suppression, Task
from crm.suppression import hashed

ERASED: Final = "erased"
# Rows of a team whose texts may name somebody.
Rows = Callable[[int], QuerySet[Any]]


def erase_ground(person: Person) -> dict[str, int]:
    """Empty messages and forget devices and choices, in the caller's transaction; how many rows of each.

    Messages stay, without their content, for what they count; a suppression stays as a hash, so that it holds.
    """
    held = ground_holdings(person)
    ids = list(held["messages"].values_list("pk", flat=True))
    messages = Message.objects.filter(pk__in=ids)
    MessageEvent.objects.filter(message_id__in=ids).update(text="", url="")
    messages.filter(state=Message.State.QUEUED).update(state=Message.State.CANCELLED, reason=ERASED)
    messages.update(
        recipient=ERASED, sender="", reply_to="", subject="", text="", html="", attachments=[], headers={},
        message_id="", error="", about_type=None, about_id=None,
    )  # fmt: skip
    choices = ("devices", "opt_ins", "subscriptions", "consents")
    forgotten = sum(held[name].delete()[0] for name in choices)
    held["notifications"].delete()
    return {"messages": len(ids), "choices": forgotten, "suppressions": _hash_suppressions(person)}


def _hash_suppressions(person: Person) -> int:
    rows = list(Suppression.objects.filter(team_id=person.team_id, address__in=person.written))
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
    fields = text_fields(rows.model)
    ids = list(naming(rows, words).values_list("pk", flat=True))
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


def _without(value: Any, pattern: re.Pattern[str]) -> Any:
    match value:
        case str():
            return pattern.sub(ERASED, value)
        case dict():
            return {_without(key, pattern): _without(item, pattern) for key, item in value.items()}
        case list():
            return [_without(item, pattern) for item in value]
    return value
