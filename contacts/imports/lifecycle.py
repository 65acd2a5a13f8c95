"""What people do with an import: bring a file, choose, check, start, cancel, and let it be forgotten."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from contacts import hooks
from contacts.imports.files import drop
from contacts.imports.mapping import EMAIL, ColumnMap, check_columns, columns_of
from contacts.imports.remembered import remember
from contacts.imports.seen import forget_keys
from contacts.models import ContactImport, ImportKey, ImportProblem
from crm.csv_files import Source, Table
from crm.models import Team

log = logging.getLogger(__name__)

State = ContactImport.State
Existing = ContactImport.Existing
OPEN: Final = (State.DRAFT, State.CHECKED)
WORKING: Final = (State.CHECKING, State.RUNNING)
FORGOTTEN_AT_ONCE: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a file is to be read and taken."""

    targets: Sequence[str]
    key: str = EMAIL
    existing: str = Existing.UPDATE
    enroll: bool = True


class ImportRefused(Exception):
    """An import is not where this can be done; says why."""


def table_of(row: ContactImport, source: Source) -> Table:
    """The file of an import as it was found to be readable."""
    return Table(
        source=source,
        encoding=row.encoding,
        delimiter=row.delimiter,
        header=tuple(row.header),
        row_count=row.row_count,
    )


def columns_of_import(row: ContactImport) -> ColumnMap:
    return columns_of(header=row.header, targets=row.targets)


def draft(*, team: Team, table: Table, name: str, choices: Choices, **more: Any) -> ContactImport:
    """A row for a file that is readable; nothing is read from it yet."""
    return ContactImport.objects.create(
        team=team,
        name=name[:200] or "file.csv",
        encoding=table.encoding,
        delimiter=table.delimiter,
        header=list(table.header),
        row_count=table.row_count,
        targets=list(choices.targets),
        key=choices.key,
        existing=choices.existing,
        enroll=choices.enroll,
        **more,
    )


def begin_check(*, row: ContactImport, choices: Choices) -> None:
    """Let a worker do everything and undo it; raises ImportRefused, and MappingProblem for columns that do not fit."""
    columns = columns_of(header=row.header, targets=choices.targets)
    check_columns(columns, key=choices.key)
    with transaction.atomic():
        locked = _in_state(row, OPEN, "It is being imported already.")
        locked.targets = [column.target for column in columns.columns]
        locked.key, locked.existing, locked.enroll = choices.key, choices.existing, choices.enroll
        locked.trial = {}
        _set_out(locked, State.CHECKING)


def choices_of(row: ContactImport) -> Choices:
    return Choices(targets=row.targets, key=row.key, existing=row.existing, enroll=row.enroll)


def start(*, row: ContactImport, now: datetime, unchecked: bool = False) -> None:
    """Let a worker import what was checked, and remember where the columns went; raises ImportRefused."""
    states = OPEN if unchecked else (State.CHECKED,)
    with transaction.atomic():
        locked = _in_state(row, states, "Only a file that was just checked can be started, and only once.")
        begin_running(row=locked, now=now)


def begin_running(*, row: ContactImport, now: datetime) -> None:
    """Inside a transaction: from here on rows are written."""
    row.started_at = now
    remember(team=row.team, header=row.header, targets=row.targets, key=row.key, now=now)
    _set_out(row, State.RUNNING)


def cancel(*, row: ContactImport, now: datetime) -> None:
    """What was written stays; nothing more is. Raises ImportRefused when it has ended already."""
    with transaction.atomic():
        locked = _in_state(row, (*OPEN, *WORKING), "It has ended already.")
        locked.state, locked.finished_at, locked.claim, locked.leased_until = State.CANCELLED, now, "", None
        locked.save(update_fields=["state", "finished_at", "claim", "leased_until"])
    forget_keys(locked)


def forget_old(*, now: datetime) -> int:
    """Delete files and refused rows of imports that ended, or were left lying, some days ago; how many imports."""
    before = now - timedelta(days=settings.IMPORT_KEEP_DAYS)
    kept = ContactImport.objects.filter(forgotten_at=None)
    old = kept.filter(finished_at__lt=before) | kept.filter(state__in=OPEN, created_at__lt=before)
    return sum(_forgotten(row, now) for row in old.order_by("pk")[:FORGOTTEN_AT_ONCE])


def _forgotten(row: ContactImport, now: datetime) -> bool:
    """One that somebody begins just now, or a storage that does not answer, keeps the others from nothing."""
    try:
        forget_file(row=row, now=now)
    except ImportRefused:
        return False
    except Exception:  # storages raise what they like
        log.exception("the file of an import could not be deleted: import %s", row.pk)
        return False
    return True


def forget_file(*, row: ContactImport, now: datetime) -> None:
    """Delete the file, what it held and the refused rows; the numbers stay. Not for one that is being worked on."""
    with transaction.atomic():
        locked = _in_state(row, set(State) - {*WORKING}, "It is being worked on: cancel it first.")
        if locked.state in OPEN:
            locked.state, locked.finished_at = State.CANCELLED, now
        ImportProblem.objects.filter(upload=locked).delete()
        name, locked.file, locked.forgotten_at, locked.erased = locked.file, "", now, []
        locked.save(update_fields=["state", "finished_at", "file", "forgotten_at", "erased"])
    forget_keys(locked)
    drop(name)


def _in_state(row: ContactImport, states: Any, why_not: str) -> ContactImport:
    locked: ContactImport = ContactImport.objects.select_for_update(of=("self",)).select_related("team").get(pk=row.pk)
    if locked.state not in states:
        raise ImportRefused(why_not)
    return locked


def _set_out(row: ContactImport, state: str) -> None:
    """Begin at the first row."""
    row.state, row.position, row.place, row.counts, row.problem, row.attempts = state, 0, {}, {}, "", 0
    row.claim, row.leased_until = "", None
    row.save()
    ImportProblem.objects.filter(upload=row).delete()
    ImportKey.objects.filter(upload=row).delete()
    transaction.on_commit(hooks.wake)
