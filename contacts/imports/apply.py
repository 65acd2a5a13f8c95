"""Writing the rows of a file: batches of a thousand, each one transaction and few statements."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Final

from django.db import reset_queries, transaction

from contacts import hooks
from contacts.imports.batch import Batch, Written, write_batch
from contacts.imports.forgetting import NOBODY, Gone
from contacts.imports.keys import value_of_row
from contacts.imports.mapping import EMAIL, ColumnMap, spoken
from contacts.imports.refused import Refused, RefusedFile
from contacts.imports.seen import Keeper, KeptInFile, Place, Seen
from contacts.imports.validate import Known, Values, known, read_row
from contacts.models import Company, Contact, ContactImport
from crm.csv_files import Bookmark, Reading, Row, Table
from crm.models import Team
from crm.tables import TextSink

BATCH: Final = 1000
Existing = ContactImport.Existing


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to import; a dry run does everything and undoes each batch."""

    existing: str = Existing.UPDATE
    enroll: bool = True
    dry_run: bool = False
    key: str = EMAIL


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of the rows: created + updated + skipped + failed = rows.

    `reported` rows are told with a reason; `pipelines`, of a dry run alone, are runs by key with the name.
    """

    rows: int = 0
    created: int = 0
    updated: int = 0
    skipped: int = 0
    failed: int = 0
    enrolled: int = 0
    companies: int = 0
    reported: int = 0
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Journal:
    """Where an import notes how far it is; this one notes nothing.

    `begin` and `note` are called inside the transaction of each batch, so that what is noted and what is written
    stand or fall together. Either may raise `Stopped`.
    """

    def begin(self) -> Gone:
        """Before anything is written; answers who was erased since the file was brought."""
        return NOBODY

    def passed(self) -> None:
        """After each batch that was taken already and is only read again, in no transaction; may raise `Stopped`."""

    def note(self, result: Result, refused: Sequence[Refused], after: Bookmark | None) -> None:
        """After a batch: the result so far, the refused rows of the batch, and where in the file it ended."""

    def finish(self, result: Result) -> None:
        """After the last batch."""

    def keeper(self) -> AbstractContextManager[Keeper]:
        """Where what the file has held is kept."""
        return KeptInFile()


class Stopped(Exception):
    """Somebody cancelled the import, or another process has taken it over."""


class ErrorsFile(Journal):
    """Notes refused rows in a file."""

    def __init__(self, *, open_sink: Callable[[], TextSink], header: Sequence[str]) -> None:
        self._file = RefusedFile(open_sink=open_sink, header=header)

    def note(self, result: Result, refused: Sequence[Refused], after: Bookmark | None) -> None:
        self._file.write(refused)


Progress = Callable[[int, int], None]


def import_table(
    *,
    team: Team,
    table: Table,
    columns: ColumnMap,
    options: Options,
    journal: Journal | None = None,
    progress: Progress | None = None,
    start: Result | None = None,
    after: Bookmark | None = None,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Result:
    """Import every row, or those that `start` does not count, until `may_go_on` says no between two batches.

    `after` is where those begin; without it the file is read again from its beginning. Raises Stopped.
    """
    journal = journal or Journal()
    result = start or Result()
    with ExitStack() as stack:
        seen = Seen(stack.enter_context(journal.keeper()))
        reader = _Reader(team, columns, options.key, seen, stack.enter_context(table.reading(after)))
        for _ in reader.batches_before(0 if after else result.rows):
            journal.passed()
        for read in reader.batches():
            result = _take(team, reader, read, options, result, journal)
            # With DEBUG on, Django would keep the text of every statement.
            reset_queries()
            if progress is not None:
                progress(result.rows, table.row_count)
            if not may_go_on():
                break
        else:
            journal.finish(result)
    return result


@dataclass(frozen=True, slots=True)
class _Read:
    """A batch as it was read: good rows, and those that are refused or only repeat another."""

    count: int
    good: Sequence[tuple[Row, Values]]
    wrong: Sequence[Refused]
    repeated: Sequence[Refused]
    # Rows of people who were erased meanwhile.
    gone: int = 0

    def without(self, gone: Gone) -> "_Read":
        """The batch without rows that name somebody who is gone, as if they were not in the file."""
        if not gone.marks:
            return self
        good = [each for each in self.good if not gone.named(each[0].cells)]
        wrong, repeated = (_without(rows, gone) for rows in (self.wrong, self.repeated))
        left = len(good) + len(wrong) + len(repeated)
        return _Read(self.count, good, wrong, repeated, len(self.good) + len(self.wrong) + len(self.repeated) - left)


class _Reader:
    """Turns rows into values, in the order of the file."""

    def __init__(self, team: Team, columns: ColumnMap, key: str, seen: Seen, reading: Reading) -> None:
        self._columns, self._key, self._seen, self._reading = columns, key, seen, reading
        self._known: Known = known(team=team)

    def batches(self) -> Iterator[_Read]:
        while rows := list(islice(self._reading, BATCH)):
            yield self._read(rows)

    def batches_before(self, position: int) -> Iterator[_Read]:
        """Those that were taken already: what they held must be known to tell repetitions."""
        passed = 0
        while passed < position and (rows := list(islice(self._reading, min(BATCH, position - passed)))):
            passed += len(rows)
            yield self._read(rows)
            with transaction.atomic():
                self._seen.keep()

    def keep(self) -> Bookmark | None:
        """Keep what was met since the last time; answers where the next row begins."""
        self._seen.keep()
        return self._reading.bookmark()

    def _read(self, rows: Sequence[Row]) -> _Read:
        read = [(row, read_row(row=row, columns=self._columns, known=self._known, key=self._key)) for row in rows]
        fine = [(row, values) for row, values in read if isinstance(values, Values)]
        again = self._seen.repeated([places for row, values in fine if (places := self._places(row, values))])
        wrong = [Refused(row, " ".join(map(str, told))) for row, told in read if isinstance(told, list)]
        repeated = [Refused(row, _repetition(again[row.line])) for row, _ in fine if row.line in again]
        return _Read(len(rows), [each for each in fine if each[0].line not in again], wrong, repeated)

    def new_companies(self, founded: Sequence[Company]) -> list[Company]:
        """Those that no batch before this one had: what a dry run founds is gone with its batch."""
        known = self._seen.repeated([[Place("company", row.name.lower(), index)] for index, row in enumerate(founded)])
        return [row for index, row in enumerate(founded) if index not in known]

    def _places(self, row: Row, values: Values) -> list[Place]:
        """What no two rows of a file may have in common: the key, and the address."""
        held = {key: value_of_row(values, key) for key in (self._key, EMAIL)}
        return [Place(key, value, row.line) for key, value in held.items() if value]


def _repetition(first: Place) -> str:
    return f"Skipped: the same {spoken(first.field)} as line {first.line}."


def _without(rows: Sequence[Refused], gone: Gone) -> list[Refused]:
    return [each for each in rows if not gone.named(each.row.cells)]


def _take(team: Team, reader: _Reader, read: _Read, options: Options, before: Result, journal: Journal) -> Result:
    """Write a batch and note it in one transaction; a dry run undoes what was written, not what was noted."""
    with transaction.atomic():
        if not options.dry_run:
            read = read.without(journal.begin())
        rows = {row.line: row for row, _ in read.good}
        written = write_batch(
            Batch(
                team=team,
                rows=[(row.line, values) for row, values in read.good],
                key=options.key,
                update=options.existing == Existing.UPDATE,
                announce=options.enroll,
            )
        )
        if options.dry_run:
            written = replace(written, founded=reader.new_companies(written.founded))
        doubtful = [Refused(rows[line], reason) for line, reason in written.refused.items()]
        refused = sorted([*read.wrong, *read.repeated, *doubtful], key=lambda each: each.row.line)
        result = _sum(before, read, written, doubtful, len(refused))
        if options.dry_run:
            pipelines = _begun(team, written, result.pipelines)
            result = replace(result, pipelines=pipelines, enrolled=sum(each["runs"] for each in pipelines.values()))
            transaction.set_rollback(True)
        else:
            journal.note(result, refused, reader.keep())
    if options.dry_run:
        with transaction.atomic():
            journal.note(result, _without(refused, journal.begin()), reader.keep())
    return result


def _sum(before: Result, read: _Read, written: Written, doubtful: Sequence[Refused], refused: int) -> Result:
    return replace(
        before,
        rows=before.rows + read.count,
        created=before.created + len(written.created),
        updated=before.updated + written.updated,
        skipped=before.skipped + written.skipped + len(read.repeated) + read.gone,
        failed=before.failed + len(read.wrong) + len(doubtful),
        enrolled=before.enrolled + written.enrolled,
        companies=before.companies + len(written.founded),
        reported=before.reported + refused,
    )


def _begun(team: Team, written: Written, before: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Runs that began with these records, by the key of their pipeline, added to those of earlier batches."""
    total = dict(before)
    for model, rows in ((Company, written.founded), (Contact, written.created)):
        for name, key, runs in hooks.manual_pipelines.entered(team=team, model=model, ids=[row.pk for row in rows]):
            total[key] = {"name": name, "runs": runs + total.get(key, {}).get("runs", 0)}
    return total
