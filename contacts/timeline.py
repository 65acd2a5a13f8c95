"""One line of a record's history, and the registry of apps that add lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from django.db.models import Model

from contacts.hooks import Registry


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Who did what and when; `url` leads to the record behind it, `icon` is a Material symbol."""

    at: datetime
    kind: str
    title: str
    text: str = ""
    who: str = ""
    url: str = ""
    icon: str = "circle"


class Provider(Protocol):
    """Answers at most `limit` entries older than `before`, newest first, in few statements."""

    def __call__(self, *, subject: Model, before: datetime | None, limit: int) -> Sequence[Entry]: ...


providers: Registry[Provider] = Registry()
register = providers.register
