"""Rows as CSV, streamed, with no cell that a spreadsheet would run as a formula.

A cell is dangerous when its first visible character starts a formula, however many spaces,
control characters or apostrophes come before. Such a cell gets one apostrophe in front, and an
import takes exactly one away, so any number of round trips changes nothing.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

# The byte order mark is what tells spreadsheets that a file is UTF-8.
BOM: Final = "\ufeff"
_FORMULA: Final = "=+\\-@|\uff1d\uff0b\uff0d\uff20\uff5c"
_UNSEEN: Final = "'\\s\x00-\x1f\x7f-\x9f\u00a0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
_DANGEROUS: Final = re.compile(f"(?:[{_UNSEEN}]*[{_FORMULA}])|(?:'*[\t\r\n])")


def neutralized(cell: str) -> str:
    """The cell as a spreadsheet may open it."""
    return f"'{cell}" if _DANGEROUS.match(cell) else cell


def restored(cell: str) -> str:
    """The cell as it was before `neutralized`; the exact opposite for every text."""
    return cell[1:] if cell.startswith("'") and _DANGEROUS.match(cell[1:]) else cell


class TextSink(Protocol):
    """Anything that text can be written to."""

    def write(self, text: str, /) -> object: ...


class SafeWriter:
    """A CSV writer whose cells are quoted and neutralized."""

    def __init__(self, sink: TextSink) -> None:
        self._writer = csv.writer(sink, quoting=csv.QUOTE_ALL)

    def writerow(self, cells: Iterable[object]) -> Any:
        return self._writer.writerow([neutralized(as_text(cell)) for cell in cells])


def as_text(cell: object) -> str:
    """A value as a cell shows it."""
    if cell is None:
        return ""
    return cell.isoformat() if isinstance(cell, datetime) else str(cell)


class Echo:
    """A sink that hands back what is written, so that rows can be streamed one by one."""

    def write(self, text: str, /) -> str:
        return text


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The header and one line per row."""
    writer = SafeWriter(Echo())
    yield str(writer.writerow(columns))
    for row in rows:
        yield str(writer.writerow(row))


def csv_rows(name: str, columns: Sequence[str], rows: QuerySet[Any, Any]) -> StreamingHttpResponse:
    """A download, read in chunks so that memory stays flat."""
    return download(name, csv_lines(columns, rows.iterator(chunk_size=2000)))


def download(name: str, lines: Iterable[str]) -> StreamingHttpResponse:
    """Lines of CSV as a file that is written while it is read."""
    answer = StreamingHttpResponse((BOM if index == 0 else "") + line for index, line in enumerate(lines))
    answer["Content-Type"] = "text/csv; charset=utf-8"
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer
