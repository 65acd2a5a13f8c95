"""Which addresses a file has held so far, kept on disk so that memory stays flat."""

import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class SeenEmails:
    """Remembers on which line each address came first, in a temporary file that closing removes."""

    def __init__(self) -> None:
        # The empty name is a private database that SQLite spills to a temporary file.
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("CREATE TABLE seen (email TEXT PRIMARY KEY, line INT) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def first_lines(self, places: Sequence[tuple[str, int]]) -> dict[int, int]:
        """Add (email, line) pairs; answers, for each repeated one, its line and the first line."""
        repeated: dict[int, int] = {}
        self._connection.execute("BEGIN")
        for email, line in places:
            key = (email.lower(), line)
            added = self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", key)
            if not added.rowcount:
                query = "SELECT line FROM seen WHERE email = ?"
                repeated[line] = self._connection.execute(query, key[:1]).fetchone()[0]
        self._connection.execute("COMMIT")
        return repeated
