"""What a file has held so far: on which line each key and address came first, kept where memory stays flat."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self
from uuid import UUID

from django.db import connection, transaction

from contacts.models import ContactImport, ImportKey
from contacts.models.importing import new_salt

# So many keys are deleted at once, more or less.
FORGOTTEN_AT_ONCE: Final = 20_000
# The keys of a batch in one statement, for a tenth of the time that as many objects take.
_KEEP: Final = {
    "postgresql": "INSERT INTO contacts_importkey (upload_id, mark, line) "
    "SELECT %s, key::uuid, value::integer FROM json_each_text(%s)",
    "sqlite": "INSERT INTO contacts_importkey (upload_id, mark, line) SELECT %s, key, value FROM json_each(%s)",
}


class Place(NamedTuple):
    """What tells a row from others: a field and its value, on a line."""

    field: str
    value: str
    line: int

    def mark(self, salt: str) -> UUID:
        """Field and value, long or short, in sixteen bytes."""
        return mark_of(f"{self.field}\0{self.value}", salt=salt)


def mark_of(text: str, *, salt: str) -> UUID:
    """A text in sixteen bytes, keyed: without the salt of the import nobody can try addresses against it."""
    return UUID(bytes=hashlib.blake2b(text.encode("utf-8", "replace"), key=salt.encode(), digest_size=16).digest())


class Keeper(Protocol):
    """Where lines are kept by the marks of what they hold, keyed with the salt."""

    salt: str

    def lines_of(self, marks: Collection[UUID], /) -> Mapping[UUID, int]: ...

    def keep(self, lines: Mapping[UUID, int], /) -> None: ...


class Seen:
    """Tells rows that repeat an earlier one; what is new is kept when the caller says so."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._new: dict[UUID, int] = {}

    def repeated(self, rows: Sequence[Sequence[Place]]) -> dict[int, Place]:
        """Note the places of rows; answers, by line, the first place that a row has in common with an earlier one.

        Of a row that is repeated nothing is noted: it will not be taken.
        """
        salt = self._keeper.salt
        marked = [[(place.mark(salt), place) for place in places] for places in rows]
        known = {**self._keeper.lines_of({mark for places in marked for mark, _ in places}), **self._new}
        found: dict[int, Place] = {}
        for places in marked:
            same = next((place._replace(line=known[mark]) for mark, place in places if mark in known), None)
            if same is not None:
                found[places[0][1].line] = same
                continue
            new = {mark: place.line for mark, place in places}
            known |= new
            self._new |= new
        return found

    def keep(self) -> None:
        """Keep what was noted; in the transaction of what was written, for an import that may go on later."""
        self._keeper.keep(self._new)
        self._new = {}


class KeptInFile:
    """In a temporary file that closing removes, for an import that is done in one go."""

    def __init__(self) -> None:
        self.salt = new_salt()
        # The empty name is a private database that SQLite spills to a temporary file.
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("CREATE TABLE seen (mark BLOB PRIMARY KEY, line INT) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def lines_of(self, marks: Collection[UUID], /) -> Mapping[UUID, int]:
        asked = "SELECT line FROM seen WHERE mark = ?"
        found = {mark: self._connection.execute(asked, (mark.bytes,)).fetchone() for mark in marks}
        return {mark: row[0] for mark, row in found.items() if row}

    def keep(self, lines: Mapping[UUID, int], /) -> None:
        self._connection.execute("BEGIN")
        rows = [(mark.bytes, line) for mark, line in lines.items()]
        self._connection.executemany("INSERT INTO seen VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")


class KeptAtImport:
    """In rows of the import, for whoever goes on with it; they are deleted when it has read its file."""

    def __init__(self, upload: ContactImport) -> None:
        self._upload = upload
        self.salt = upload.salt

    def lines_of(self, marks: Collection[UUID], /) -> Mapping[UUID, int]:
        return dict(ImportKey.objects.filter(upload=self._upload, mark__in=marks).values_list("mark", "line"))

    def keep(self, lines: Mapping[UUID, int], /) -> None:
        if not lines:
            return
        with connection.cursor() as cursor:
            told = json.dumps({mark.hex: line for mark, line in lines.items()})
            cursor.execute(_KEEP[connection.vendor], [self._upload.pk, told])


def forget_keys(upload: ContactImport, begin: Callable[[], None] = lambda: None) -> None:
    """Delete what the file of an import has held, in pieces with a transaction each, which `begin` begins."""
    pieces = 1 + 2 * upload.row_count // FORGOTTEN_AT_ONCE
    bounds = [UUID(int=(2**128 - 1) * number // pieces) for number in range(pieces + 1)]
    # Marks are spread evenly, so each piece of their range holds about as many.
    for low, high in pairwise(bounds):
        with transaction.atomic():
            begin()
            ImportKey.objects.filter(upload=upload, mark__range=(low, high)).delete()
