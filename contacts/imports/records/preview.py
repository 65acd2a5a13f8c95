"""How a file of records will be read, before anything is written: its columns and first rows."""

from collections.abc import Iterator
from itertools import islice

from contacts.imports.mapping import ColumnMap
from contacts.imports.preview import ROWS, column_lines, printable
from contacts.imports.records.drafting import Told
from contacts.imports.records.reading import told_of
from crm.csv_files import Table


def preview_lines(*, table: Table, columns: ColumnMap, key: str) -> Iterator[str]:
    """The preview as text for a terminal; nothing is looked up for it."""
    yield from column_lines(table=table, columns=columns)
    with table.reading() as rows:
        for row in islice(rows, ROWS):
            told = told_of(row=row, columns=columns, key=key)
            if isinstance(told, Told):
                said = {key: told.key, **told.cells}.items()
                shown = ", ".join(f"{target}={text[:40]}" for target, text in said)
                yield printable(f"  line {row.line}: {shown}")
            else:
                yield printable(f"  line {row.line}: ! {told}")
