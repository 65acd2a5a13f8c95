"""Reading a CSV file: encoding, delimiter, header and rows. No database, no Django.

The file is read twice: once from end to end to find out whether it can be read at all and how
many rows it has, then again row by row, in as many goes as one likes: each begins at the bookmark
of the one before. Memory stays flat however long it is.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

DELIMITERS: Final = (",", ";", "\t", "|")
MAX_COLUMNS: Final = 500
_CHUNK: Final = 1 << 16
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class UnreadableFile(Exception):
    """The file cannot be read as a table; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record: the line it begins on (as an editor counts) and its cells."""

    line: int
    cells: tuple[str, ...]


class FileBytes:
    """Bytes of a file on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise UnreadableFile(f"{self._path}: {error.strerror or error}.") from error


class MemoryBytes:
    """Bytes that are already here, such as those of an upload."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def open(self) -> BinaryIO:
        return io.BytesIO(self._content)


class Source(Protocol):
    """Bytes that can be read from the beginning as often as one likes."""

    def open(self) -> BinaryIO: ...


@dataclass(frozen=True, kw_only=True)
class Bookmark:
    """Between two records: the line on which the next one begins, and where the text stands there, as Python says.

    That is a position in bytes together with the state of the decoder, so it fits every encoding.
    """

    line: int
    at: int


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file that is known to be readable."""

    source: Source
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    row_count: int

    def rows(self) -> Iterator[Row]:
        """Every record below the header; empty lines are left out."""
        with self.reading() as reading:
            yield from reading

    def reading(self, after: Bookmark | None = None) -> "Reading":
        """The records below the header, or those behind a bookmark of an earlier reading, which is to be closed."""
        reading = Reading(self.source, self.encoding, self.delimiter, after)
        if after is None:
            next(reading, None)
        return reading


def inspect(*, source: Source, encoding: str | None = None) -> Table:
    """Read the file once and say how to read it; raises UnreadableFile."""
    found = encoding or _detect_encoding(source)
    delimiter = _detect_delimiter(source, found)
    with Reading(source, found, delimiter) as records:
        first = next(records, None)
        if first is None:
            raise UnreadableFile("The file is empty: the first line must name the columns.")
        header = tuple(" ".join(cell.split()) for cell in first.cells)
        if len(header) > MAX_COLUMNS:
            raise UnreadableFile(f"The first line has {len(header)} columns; {MAX_COLUMNS} are allowed.")
        count = sum(1 for _ in records)
    return Table(source=source, encoding=found, delimiter=delimiter, header=header, row_count=count)


def _detect_encoding(source: Source) -> str:
    """What the byte order mark says; else UTF-8 if every byte agrees; else Windows-1252."""
    with source.open() as file:
        head = file.read(4)
        for bom, name in _BOMS:
            if head.startswith(bom):
                return name
        if b"\x00" in head:
            raise UnreadableFile("This is not a text file. Save the table as CSV (UTF-8).")
        if head.startswith(b"PK\x03\x04"):
            raise UnreadableFile("This is a spreadsheet or archive. Save the table as CSV (UTF-8).")
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(head)
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def _detect_delimiter(source: Source, encoding: str) -> str:
    """The character that splits the first lines most evenly into most columns."""
    sample = _sample(source, encoding)
    return max(DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))


def _sample(source: Source, encoding: str) -> str:
    with source.open() as file:
        try:
            text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
            return text.read(_CHUNK)
        except LookupError as error:
            raise UnreadableFile(f"Unknown encoding {encoding}: try utf-8 or cp1252.") from error


def _evenness(sample: str, delimiter: str) -> tuple[int, int]:
    """How many of the first 20 records have as many columns as the first, and how many columns."""
    widths: list[int] = []
    try:
        for cells in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if cells:
                widths.append(len(cells))
            if len(widths) == 20:
                break
    except csv.Error:
        return (0, 0)
    if not widths or widths[0] < 2:
        return (0, 0)
    return (sum(width == widths[0] for width in widths), widths[0])


class Reading(Iterator[Row]):
    """Records one after another, from the beginning or behind a bookmark; empty lines are left out."""

    def __init__(self, source: Source, encoding: str, delimiter: str, after: Bookmark | None = None) -> None:
        self._file, self._encoding = source.open(), encoding
        self._text = io.TextIOWrapper(self._file, encoding=encoding, newline="")
        if after is not None:
            self._text.seek(after.at)
        self._line = after.line if after else 1
        self._rows = self._records(delimiter)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __next__(self) -> Row:
        return next(self._rows)

    def bookmark(self) -> Bookmark | None:
        """Where the next record begins; None when the file can only be read from its beginning."""
        with suppress(io.UnsupportedOperation):
            return Bookmark(line=self._line, at=self._text.tell())
        return None

    def _records(self, delimiter: str) -> Iterator[Row]:
        began = self._line
        # Iterating over the text itself would be as good, if it then still told where it stands.
        reader = csv.reader(iter(self._text.readline, ""), delimiter=delimiter)
        try:
            for cells in reader:
                line, self._line = self._line, began + reader.line_num
                if any(cell.strip() for cell in cells):
                    yield Row(line=line, cells=tuple(cells))
        except csv.Error as error:
            raise UnreadableFile(
                f"Line {self._line} cannot be read ({error}). Is a quotation mark missing there?"
            ) from error
        except UnicodeError as error:
            raise UnreadableFile(
                f"Line {self._line} or a later one is not valid {self._encoding}."
                " Save the file as UTF-8, or name its encoding."
            ) from error
