"""What a file has held so far, kept on disk so that memory stays flat."""

import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self


class Place(NamedTuple):
    """What tells a row from others: a field and its value, on a line."""

    field: str
    value: str
    line: int


class Seen:
    """Remembers on which line each value came first, in a temporary file that closing removes."""

    def __init__(self) -> None:
        # The empty name is a private database that SQLite spills to a temporary file.
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute(
            "CREATE TABLE seen (field TEXT, value TEXT, line INT, PRIMARY KEY (field, value)) WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def repeated(self, rows: Sequence[Sequence[Place]]) -> dict[int, Place]:
        """Add the places of rows; answers, by line, the first place that a row has in common with an earlier one.

        Of a row that is repeated nothing is kept: it will not be taken.
        """
        found: dict[int, Place] = {}
        self._connection.execute("BEGIN")
        for places in rows:
            same = next((first for place in places if (first := self._first(place))), None)
            if same is not None:
                found[places[0].line] = same
                continue
            self._connection.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", places)
        self._connection.execute("COMMIT")
        return found

    def _first(self, place: Place) -> Place | None:
        asked = "SELECT field, value, line FROM seen WHERE field = ? AND value = ?"
        row = self._connection.execute(asked, place[:2]).fetchone()
        return Place(*row) if row else None
