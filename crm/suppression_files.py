"""Lists of addresses that get no mail, from other systems: read, looked at, taken in batches; what is known stays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.db import transaction

from crm.channels.email import valid_address
from crm.csv_files import Row, Table, UnreadableFile
from crm.models import ConsentEntry, Suppression, Team
from crm.tables import restored

COLUMNS: Final = ("address", "topic", "reason", "source", "created_at")
BATCH: Final = 2_000
SHOWN: Final = 8
SHOWN_PROBLEMS: Final = 200
Reason = Suppression.Reason
_TITLES: Final[Mapping[str, str]] = {
    "address": "address", "email": "address", "e-mail": "address", "email address": "address", "recipient": "address",
    "topic": "topic", "list": "topic", "reason": "reason", "type": "reason", "status": "reason", "source": "source",
}  # fmt: skip
# What other systems call it.
_REASONS: Final[Mapping[str, str]] = {
    "": Reason.MANUAL, "manual": Reason.MANUAL, "added by hand": Reason.MANUAL, "blocked": Reason.MANUAL,
    "unsubscribed": Reason.UNSUBSCRIBED, "unsubscribe": Reason.UNSUBSCRIBED, "opt-out": Reason.UNSUBSCRIBED,
    "opted out": Reason.UNSUBSCRIBED, "bounced": Reason.BOUNCED, "bounce": Reason.BOUNCED,
    "hard bounce": Reason.BOUNCED, "hardbounce": Reason.BOUNCED, "invalid": Reason.BOUNCED,
    "complained": Reason.COMPLAINED, "complaint": Reason.COMPLAINED, "spam": Reason.COMPLAINED,
    "spamcomplaint": Reason.COMPLAINED, "spam complaint": Reason.COMPLAINED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that cannot be taken: its line in the file and why."""

    line: int
    why: str
    cells: tuple[str, ...]


@dataclass(slots=True)
class Taken:
    """What became of the rows; of the refused the first 200 are kept, and the first rows as they are read."""

    new: int = 0
    known: int = 0
    failed: int = 0
    refused: list[Refusal] = field(default_factory=list)
    first: list[Suppression] = field(default_factory=list)


def columns_of(table: Table) -> dict[str, int]:
    """Which column is which, by their titles; raises UnreadableFile when none holds addresses."""
    found: dict[str, int] = {}
    for index, title in enumerate(table.header):
        name = _TITLES.get(title.strip().lower())
        if name is not None:
            found.setdefault(name, index)
    if "address" not in found:
        raise UnreadableFile("No column is called address or email. The first line must name the columns.")
    return found


def take(
    *,
    team: Team,
    table: Table,
    source: str,
    now: datetime,
    dry_run: bool = False,
    told: Callable[[Refusal], object] | None = None,
) -> Taken:
    """Read the whole file in batches, each in one transaction; a dry run writes nothing.

    A list that moves here from elsewhere starts no pipelines: no events are told of it.
    """
    columns, done = columns_of(table), Taken()
    batch: dict[tuple[str, str], Suppression] = {}
    for row in table.rows():
        read = _read(row, columns, team, source)
        if isinstance(read, str):
            done.failed += 1
            refusal = Refusal(row.line, read, row.cells)
            if len(done.refused) < SHOWN_PROBLEMS:
                done.refused.append(refusal)
            if told is not None:
                told(refusal)
            continue
        if len(done.first) < SHOWN:
            done.first.append(read)
        if (read.address, read.topic) in batch:
            done.known += 1
        batch.setdefault((read.address, read.topic), read)
        if len(batch) == BATCH:
            _store(list(batch.values()), team, now, done, dry_run=dry_run)
            batch = {}
    _store(list(batch.values()), team, now, done, dry_run=dry_run)
    return done


def _read(row: Row, columns: Mapping[str, int], team: Team, source: str) -> Suppression | str:
    def cell(name: str) -> str:
        index = columns.get(name, len(row.cells))
        return restored(row.cells[index].strip()).strip() if index < len(row.cells) else ""

    address, topic, reason = cell("address").lower(), cell("topic"), cell("reason").lower().replace("_", " ")
    if not address:
        return "There is no address."
    if not valid_address(address):
        return "The address is not one email address."
    if reason not in _REASONS:
        return f"The reason “{reason[:40]}” is not known: use unsubscribed, bounced, complained or manual."
    if len(topic) > 60:
        return "The topic is longer than 60 characters."
    given = (cell("source") or source)[:200]
    return Suppression(team=team, address=address, topic=topic, reason=_REASONS[reason], source=given)


def _store(rows: Sequence[Suppression], team: Team, now: datetime, done: Taken, *, dry_run: bool) -> None:
    if not rows:
        return
    with transaction.atomic():
        there = set(_known(team, rows))
        fresh = [row for row in rows if (row.address, row.topic) not in there]
        done.known += len(rows) - len(fresh)
        done.new += len(fresh)
        if not dry_run:
            Suppression.objects.bulk_create(fresh, ignore_conflicts=True)
            ConsentEntry.objects.bulk_create(_history(fresh, now))


def _known(team: Team, rows: Sequence[Suppression]) -> Iterator[tuple[str, str]]:
    mine = Suppression.objects.filter(team=team, address__in={row.address for row in rows})
    yield from mine.values_list("address", "topic")


def _history(rows: Sequence[Suppression], now: datetime) -> Iterator[ConsentEntry]:
    for row in rows:
        if row.reason == Reason.UNSUBSCRIBED:
            yield ConsentEntry(
                team_id=row.team_id, address=row.address, topic=row.topic, kind=ConsentEntry.Kind.UNSUBSCRIBED,
                at=now, how="import", who=row.source[:150],
            )  # fmt: skip
