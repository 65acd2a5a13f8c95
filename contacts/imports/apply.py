"""Writing the rows of a file: batches of a thousand, each one transaction and few statements."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Final

from django.db import reset_queries, transaction

from contacts.imports.batch import Batch, write_batch
from contacts.imports.mapping import ColumnMap
from contacts.imports.seen import SeenEmails
from contacts.imports.validate import Known, Problem, Values, known, read_row
from crm.csv_files import Row, Table
from crm.models import Team
from crm.tables import SafeWriter, TextSink

BATCH: Final = 1000


class Existing(StrEnum):
    """What happens to a row whose address a contact of the team already has."""

    UPDATE = "update"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to import; a dry run reads everything and writes nothing."""

    existing: Existing = Existing.UPDATE
    enroll: bool = True
    dry_run: bool = False


@dataclass(kw_only=True)
class Result:
    """What became of the rows: created + updated + skipped + failed = rows."""

    rows: int = 0
    created: int = 0
    updated: int = 0
    skipped: int = 0
    failed: int = 0
    enrolled: int = 0
    companies: int = 0
    reported: int = field(default=0, metadata={"help": "Rows written to the errors file."})

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Report:
    """The errors file: line, reason and the row as it was, neutralized for spreadsheets.

    It is opened by the first row that needs it, so a clean import leaves no file behind.
    """

    def __init__(self, *, open_sink: Callable[[], TextSink] | None, header: Sequence[str]) -> None:
        self._open_sink = open_sink
        self._header = header
        self._writer: SafeWriter | None = None
        self.count = 0

    def add(self, row: Row, reason: str) -> None:
        self.count += 1
        if self._open_sink is None:
            return
        if self._writer is None:
            self._writer = SafeWriter(self._open_sink())
            self._writer.writerow(["line", "reason", *self._header])
        self._writer.writerow([row.line, reason, *row.cells])


Progress = Callable[[int, int], None]


def import_table(
    *,
    team: Team,
    table: Table,
    columns: ColumnMap,
    options: Options,
    open_errors: Callable[[], TextSink] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Import every row; `open_errors` opens the errors file when the first row needs it.

    Batches before an interruption stay written, and running the import again finds them by
    their addresses.
    """
    result = Result()
    report = Report(open_sink=open_errors, header=table.header)
    with ExitStack() as stack:
        seen = stack.enter_context(SeenEmails())
        members = known(team=team)
        for rows in _batches(table.rows()):
            good = _read(rows, columns, members, seen, report, result)
            _write(team, good, options, result)
            result.rows += len(rows)
            result.reported = report.count
            # With DEBUG on, Django would keep the text of every statement.
            reset_queries()
            if progress is not None:
                progress(result.rows, table.row_count)
    return result


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _read(
    rows: Sequence[Row],
    columns: ColumnMap,
    members: Known,
    seen: SeenEmails,
    report: Report,
    result: Result,
) -> list[Values]:
    """The values of the good rows; the others are counted and reported."""
    read = [(row, read_row(row=row, columns=columns, known=members)) for row in rows]
    places = [(v.email, row.line) for row, v in read if isinstance(v, Values) and v.email]
    repeated = seen.first_lines(places)
    good: list[Values] = []
    for row, values in read:
        if isinstance(values, list):
            result.failed += 1
            report.add(row, _sentence(values))
        elif row.line in repeated:
            result.skipped += 1
            report.add(row, f"Skipped: the same email as line {repeated[row.line]}.")
        else:
            good.append(values)
    return good


def _sentence(problems: Sequence[Problem]) -> str:
    return " ".join(str(problem) for problem in problems)


def _write(team: Team, values: Sequence[Values], options: Options, result: Result) -> None:
    with transaction.atomic():
        batch = Batch(
            team=team,
            values=values,
            update=options.existing is Existing.UPDATE,
            announce=options.enroll,
            dry_run=options.dry_run,
        )
        written = write_batch(batch)
    result.created += written.created
    result.updated += written.updated
    result.skipped += written.skipped
    result.enrolled += written.enrolled
    result.companies += written.companies
