"""How a file will be read, before anything is written: columns, first rows and their problems."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from contacts.imports.mapping import EMAIL, ColumnMap
from contacts.imports.validate import Problem, Values, known, read_row
from crm.csv_files import Row, Table
from crm.models import Team

ROWS: Final = 5
DELIMITER_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, kw_only=True)
class PreviewRow:
    """One row as it will be read: text per used column, or what is wrong with it."""

    line: int
    cells: tuple[str, ...]
    problems: tuple[str, ...]


def preview(*, team: Team, table: Table, columns: ColumnMap, count: int = ROWS, key: str = EMAIL) -> list[PreviewRow]:
    """The first rows as an import would read them."""
    members = known(team=team)
    return [
        _preview_row(row, read_row(row=row, columns=columns, known=members, key=key), columns)
        for row in islice(table.rows(), count)
    ]


def _preview_row(row: Row, read: Values | list[Problem], columns: ColumnMap) -> PreviewRow:
    cells = tuple(row.cells[column.index].strip() if column.index < len(row.cells) else "" for column in columns.used)
    problems = tuple(str(problem) for problem in read) if isinstance(read, list) else ()
    return PreviewRow(line=row.line, cells=cells, problems=problems)


def preview_lines(*, team: Team, table: Table, columns: ColumnMap, key: str = EMAIL) -> Iterator[str]:
    """The preview as text for a terminal."""
    yield from column_lines(table=table, columns=columns)
    for row in preview(team=team, table=table, columns=columns, key=key):
        named = zip(columns.used, row.cells, strict=True)
        shown = ", ".join(f"{column.target}={cell[:40]}" for column, cell in named if cell)
        yield f"  line {row.line}: {printable(shown)}"
        for problem in row.problems:
            yield f"    ! {printable(problem)}"


def column_lines(*, table: Table, columns: ColumnMap) -> Iterator[str]:
    """What the file is, and where each column goes."""
    split = DELIMITER_NAMES[table.delimiter]
    yield f"{table.row_count} rows, {table.encoding}, split by {split}."
    for column in columns.columns:
        target = column.target or f"not read ({column.note})"
        yield f"  {printable(column.title) or '(no title)'} → {target}"
    yield "First rows as they will be read:"


def printable(text: str) -> str:
    """Text without control characters, which could rewrite the terminal."""
    return "".join(character if character.isprintable() else "·" for character in text)
