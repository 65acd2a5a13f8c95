"""Working on imports: whoever claims one goes on where it stands, and what it notes is part of each batch."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Final

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Q, QuerySet

from contacts.imports.apply import Journal, Options, Result, Stopped, import_table
from contacts.imports.files import StoredBytes
from contacts.imports.forgetting import Gone
from contacts.imports.lifecycle import WORKING, columns_of_import, table_of
from contacts.imports.refused import Refused
from contacts.imports.seen import Keeper, KeptAtImport, forget_keys
from contacts.models import ContactImport, ImportProblem
from crm.csv_files import Bookmark, Source, UnreadableFile
from crm.models import AuditEntry
from crm.tables import Echo, SafeWriter

log = logging.getLogger(__name__)

State = ContactImport.State
LEASE: Final = timedelta(seconds=30)
# An import that stops so often without getting further has rows that nobody foresaw.
ATTEMPTS: Final = 5
Clock = Callable[[], datetime]


def imports_due(now: datetime) -> QuerySet[ContactImport]:
    """Imports for workers that nobody works on; those of the command wait for it, for it alone has the file."""
    free = Q(leased_until=None) | Q(leased_until__lt=now)
    return ContactImport.objects.filter(free, state__in=WORKING).exclude(source=ContactImport.Source.COMMAND)


def work_imports(*, clock: Clock, seconds: float) -> bool:
    """Go on with the oldest import that nobody works on; False when there was none.

    Many workers may call this at once: each claims another one. Trouble is noted at the import and never raised,
    but for that of the database itself.
    """
    row = _claim_due(clock())
    if row is None:
        return False
    try:
        run(row=row, clock=clock, source=StoredBytes(row.file), may_go_on=_for(seconds))
        _release(row)
    except Stopped:
        pass
    except UnreadableFile as error:
        _fail(row, str(error), clock())
    except (DatabaseError, InterfaceError):
        raise
    except Exception as error:  # one import that cannot go on must stop neither the others nor the engine
        # The text of an error may hold what stands in the file.
        log.error("import %s was interrupted by %s", row.pk, type(error).__name__)
    return True


def run(
    *,
    row: ContactImport,
    clock: Clock,
    source: Source,
    progress: Callable[[int, int], None] | None = None,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Result:
    """Work on a claimed import from where it stands; raises Stopped when it is cancelled or taken over."""
    return import_table(
        team=row.team,
        table=table_of(row, source),
        columns=columns_of_import(row),
        options=Options(existing=row.existing, enroll=row.enroll, key=row.key, dry_run=row.state == State.CHECKING),
        journal=ImportJournal(row, clock),
        progress=progress,
        start=result_of(row),
        after=Bookmark(**row.place) if row.place else None,
        may_go_on=may_go_on,
    )


def claim(*, row: ContactImport, now: datetime) -> ContactImport:
    """Take an import over from whoever works on it: with the next batch they find out and stop."""
    with transaction.atomic():
        rows = ContactImport.objects.select_for_update(of=("self",)).select_related("team", "by")
        return _claimed(rows.get(pk=row.pk), now)


def result_of(row: ContactImport) -> Result:
    """Where an import stands."""
    names = {each.name for each in fields(Result)}
    return Result(**{name: value for name, value in row.counts.items() if name in names})


class ImportJournal(Journal):
    """Notes of an import at its row, which only whoever has claimed it may write."""

    def __init__(self, row: ContactImport, clock: Clock) -> None:
        self._row, self._clock = row, clock

    def passed(self) -> None:
        """Whoever only reads again what was taken, which may take longer than a lease, is at work too."""
        now, until = self._clock(), self._row.leased_until
        if until is None or until - now > LEASE * 2 / 3:
            return
        self._row.leased_until = now + LEASE
        if not self._mine().update(leased_until=self._row.leased_until):
            raise Stopped

    def begin(self) -> Gone:
        """Hold the row, so that cancelling, taking over and erasing wait for the end of the batch."""
        mine = self._mine().select_for_update().values_list("salt", "erased").first()
        if mine is None:
            raise Stopped
        return Gone(*mine)

    def note(self, result: Result, refused: Sequence[Refused], after: Bookmark | None) -> None:
        noted = self._mine().update(
            position=result.rows,
            place=asdict(after) if after else {},
            counts=result.as_dict(),
            leased_until=self._clock() + LEASE,
            attempts=0,
        )
        if not noted:
            raise Stopped
        ImportProblem.objects.bulk_create(
            ImportProblem(upload=self._row, line=row.line, reason=reason, cells=list(row.cells))
            for row, reason in refused
        )

    def keeper(self) -> AbstractContextManager[Keeper]:
        return nullcontext(KeptAtImport(self._row))

    def finish(self, result: Result) -> None:
        forget_keys(self._row, self._hold)
        with transaction.atomic():
            self.begin()
            if self._row.state == State.CHECKING:
                self._end(State.CHECKED, trial=result.as_dict(), counts={})
                return
            self._end(State.DONE, finished_at=self._clock())
            AuditEntry.record(
                team=self._row.team,
                action="contacts.import",
                target=self._row,
                actor=self._row.by,
                actor_label="" if self._row.by else f"import {self._row.source}",
                details=_audited(result),
            )

    def _hold(self) -> None:
        self.passed()
        self.begin()

    def _end(self, state: str, **more: object) -> None:
        self._mine().update(state=state, claim="", leased_until=None, **more)

    def _mine(self) -> QuerySet[ContactImport]:
        return ContactImport.objects.filter(pk=self._row.pk, claim=self._row.claim, state=self._row.state)


def report_lines(row: ContactImport) -> Iterator[str]:
    """Refused rows as CSV, neutralized for spreadsheets: line, reason and the cells as they were."""
    writer = SafeWriter(Echo())
    # The byte order mark is what tells spreadsheets that the file is UTF-8.
    yield "\ufeff" + str(writer.writerow(["line", "reason", *row.header]))
    problems = ImportProblem.objects.filter(upload=row).order_by("line").values_list("line", "reason", "cells")
    for line, reason, cells in problems.iterator(chunk_size=2000):
        yield str(writer.writerow([line, reason, *cells]))


def _audited(result: Result) -> dict[str, object]:
    numbers = result.as_dict()
    return {name: value for name, value in numbers.items() if name != "pipelines"}


def _for(seconds: float) -> Callable[[], bool]:
    """Yes for so long, and for a third of it after the first batch however long it took to come that far."""
    until, first = time.monotonic() + seconds, True

    def may_go_on() -> bool:
        nonlocal until, first
        now = time.monotonic()
        if first:
            until, first = max(until, now + seconds / 3), False
        return now < until

    return may_go_on


def _claim_due(now: datetime) -> ContactImport | None:
    with transaction.atomic():
        skip = connection.features.has_select_for_update_skip_locked
        due = imports_due(now).select_for_update(skip_locked=skip, of=("self",)).select_related("team", "by")
        row = due.order_by("pk").first()
        if row is None:
            return None
        if row.attempts < ATTEMPTS:
            return _claimed(row, now)
    _fail(row, f"It stopped {ATTEMPTS} times behind row {row.position:,} without getting further.", now)
    return None


def _claimed(row: ContactImport, now: datetime) -> ContactImport:
    row.claim, row.leased_until, row.attempts = secrets.token_hex(16), now + LEASE, row.attempts + 1
    row.save(update_fields=["claim", "leased_until", "attempts"])
    return row


def _release(row: ContactImport) -> None:
    """Time is up: whoever comes next goes on at once."""
    ContactImport.objects.filter(pk=row.pk, claim=row.claim).update(claim="", leased_until=None)


def _fail(row: ContactImport, problem: str, now: datetime) -> None:
    mine = ContactImport.objects.filter(pk=row.pk, claim=row.claim)
    if mine.update(state=State.FAILED, problem=problem[:300], finished_at=now, claim="", leased_until=None):
        forget_keys(row)
