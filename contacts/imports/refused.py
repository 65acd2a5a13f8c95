"""Rows of a file that are not taken, and the file that tells of them."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from crm.csv_files import Row
from crm.tables import SafeWriter, TextSink

# What stands before the cells.
COLUMNS: Final = ("line", "reason")


class Refused(NamedTuple):
    """A row that is not taken."""

    row: Row
    reason: str


class RefusedFile:
    """Writes refused rows: line, reason and the row as it was, neutralized for spreadsheets.

    It is opened by the first row that needs it, so a clean import leaves no file behind.
    """

    def __init__(self, *, open_sink: Callable[[], TextSink], header: Sequence[str]) -> None:
        self._open_sink, self._header = open_sink, header
        self._writer: SafeWriter | None = None

    def write(self, refused: Sequence[Refused]) -> None:
        for row, reason in refused:
            if self._writer is None:
                self._writer = SafeWriter(self._open_sink())
                self._writer.writerow([*COLUMNS, *self._header])
            self._writer.writerow([row.line, reason, *row.cells])
