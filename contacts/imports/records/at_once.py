"""A file of records that is short enough to be read, tried and taken while somebody waits for a page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from typing import Final

from contacts.imports.mapping import ColumnMap
from contacts.imports.records.columns import key_named, map_columns
from contacts.imports.records.reading import Options, Result, import_records
from contacts.imports.records.shape import Shape
from contacts.imports.refused import Refused, RefusedFile
from crm.csv_files import MemoryBytes, Table, UnreadableFile, inspect

# What a request does in some seconds, whatever pipelines begin; the command takes any number.
MOST_ROWS: Final = 5_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a short file, or would: its numbers, its columns, and every row that is not taken."""

    table: Table
    columns: ColumnMap
    result: Result
    refused: list[Refused] = field(default_factory=list)

    def report(self) -> str:
        """The rows that are not taken as CSV, with line and reason; empty when there are none."""
        sink = StringIO(newline="")
        RefusedFile(open_sink=lambda: sink, header=self.table.header).write(self.refused)
        return sink.getvalue()


def read_short(*, content: bytes, shape: Shape) -> Table:
    """A file as a table; raises UnreadableFile, also when it has too many rows."""
    table = inspect(source=MemoryBytes(content))
    if table.row_count > MOST_ROWS:
        raise UnreadableFile(
            f"The file has {table.row_count:,} rows; this page takes {MOST_ROWS:,}. {larger_files(shape)}"
        )
    if not table.row_count:
        raise UnreadableFile("The file has no rows below its first line, which names the columns.")
    return table


def larger_files(shape: Shape) -> str:
    """The command that takes what is too much for a page."""
    command = f"manage.py import_records FILE --team {shape.team.slug} --model {shape.plural}"
    return f"The command takes any number: {command}"


def import_short(
    *, shape: Shape, table: Table, options: Options, progress: Callable[[Result], object] = lambda result: None
) -> Outcome:
    """Try the rows, or take them; `progress` is as that of `import_records`. Raises MappingProblem."""
    key = key_named(shape, options.key)
    columns = map_columns(shape=shape, header=table.header, given={}, key=key)
    refused: list[Refused] = []
    result = import_records(
        shape=shape, table=table, columns=columns, options=options, refuse=refused.extend, progress=progress
    )
    return Outcome(table=table, columns=columns, result=result, refused=refused)
