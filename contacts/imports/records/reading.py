"""Working off a file of companies, deals or own records: batches of a thousand, each one transaction."""

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Final

from django.db import reset_queries, transaction

from contacts import hooks
from contacts.imports.mapping import ColumnMap
from contacts.imports.records.batch import Batch, Written, write_batch
from contacts.imports.records.drafting import Told
from contacts.imports.records.keys import comparable
from contacts.imports.records.shape import ID, Shape
from contacts.imports.refused import Refused
from contacts.imports.seen import KeptInFile, Place, Seen
from crm.csv_files import Row, Table
from crm.tables import restored

BATCH: Final = 1000
# No database takes these, not even to look for them.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to import; `clear` lets an empty cell take a value away, a dry run undoes each batch."""

    key: str = ID
    enroll: bool = True
    clear: bool = False
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of the rows: created + updated + unchanged + skipped + failed = rows.

    Rows that repeat the key of an earlier one are skipped; these and failed ones are told with a reason. `pipelines`,
    of a dry run alone, are runs by key with the name.
    """

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    enrolled: int = 0
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def import_records(
    *,
    shape: Shape,
    table: Table,
    columns: ColumnMap,
    options: Options,
    refuse: Callable[[Sequence[Refused]], object],
    progress: Callable[[Result], object] = lambda result: None,
) -> Result:
    """Import every row; after each batch `refuse` gets its rows that are not taken, and `progress` the numbers so far.

    Importing a file a second time changes nothing more, so whoever was stopped begins anew.
    """
    result = Result()
    with ExitStack() as stack:
        seen = Seen(stack.enter_context(KeptInFile()))
        reading = stack.enter_context(table.reading())
        while rows := list(islice(reading, BATCH)):
            result, refused = _take(shape, rows, columns, options, seen, result)
            seen.keep()
            refuse(refused)
            # With DEBUG on, Django would keep the text of every statement.
            reset_queries()
            progress(result)
    return result


def told_of(*, row: Row, columns: ColumnMap, key: str, clear: bool = False) -> Told | str:
    """What a row says, or why nothing can be made of it."""
    if any(cell.strip() for cell in row.cells[len(columns.columns) :]):
        return "The row has more cells than the first line. Is a quotation mark missing?"
    if any(_UNSTORABLE.search(cell) for cell in row.cells):
        return "The row contains a character that cannot be stored."
    cells = {column.target: _text(row, column.index) for column in columns.used}
    value = cells.pop(key) if key == ID else cells[key]
    if not value:
        cure = ": rows without one are created by another key" if key == ID else ""
        return f"The row has no {key}, by which records are recognized{cure}."
    return Told(row, value, {target: text for target, text in cells.items() if text or clear})


def _text(row: Row, index: int) -> str:
    return restored(row.cells[index].strip()).strip() if index < len(row.cells) else ""


def _take(
    shape: Shape, rows: Sequence[Row], columns: ColumnMap, options: Options, seen: Seen, before: Result
) -> tuple[Result, list[Refused]]:
    """Write a batch in one transaction, which a dry run undoes."""
    read = [(row, told_of(row=row, columns=columns, key=options.key, clear=options.clear)) for row in rows]
    wrong = [Refused(row, told) for row, told in read if isinstance(told, str)]
    fine = [told for _, told in read if isinstance(told, Told)]
    again = seen.repeated([[_place(shape, options.key, told)] for told in fine])
    titles = {column.target: column.title for column in columns.used}
    with transaction.atomic():
        written = write_batch(
            Batch(
                shape=shape,
                rows=[told for told in fine if told.row.line not in again],
                key=options.key,
                titles=titles,
                announce=options.enroll,
            )
        )
        pipelines = _begun(shape, written, before) if options.dry_run else {}
        if options.dry_run:
            transaction.set_rollback(True)
    wrong += [Refused(told.row, written.refused[told.row.line]) for told in fine if told.row.line in written.refused]
    repeated = [
        Refused(told.row, f"Skipped: the same {titles[options.key]} as line {again[told.row.line].line}.")
        for told in fine
        if told.row.line in again
    ]
    result = _sum(before, written, pipelines, rows=len(rows), failed=len(wrong), skipped=len(repeated))
    return result, sorted([*wrong, *repeated], key=lambda each: each.row.line)


def _place(shape: Shape, key: str, told: Told) -> Place:
    return Place(key, comparable(shape, key, told.key), told.row.line)


def _sum(
    before: Result, written: Written, pipelines: dict[str, dict[str, Any]], *, rows: int, failed: int, skipped: int
) -> Result:
    return replace(
        before,
        rows=before.rows + rows,
        created=before.created + len(written.created),
        updated=before.updated + written.updated,
        unchanged=before.unchanged + written.unchanged,
        skipped=before.skipped + skipped,
        failed=before.failed + failed,
        enrolled=before.enrolled + written.enrolled,
        pipelines=pipelines,
    )


def _begun(shape: Shape, written: Written, before: Result) -> dict[str, dict[str, Any]]:
    """Runs that began with the records of a batch, by the key of their pipeline, added to those of earlier batches."""
    total = dict(before.pipelines)
    ids = [row.pk for row in written.created]
    for name, key, runs in hooks.manual_pipelines.entered(team=shape.team, model=shape.model, ids=ids):
        total[key] = {"name": name, "runs": runs + total.get(key, {}).get("runs", 0)}
    return total
