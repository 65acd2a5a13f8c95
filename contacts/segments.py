"""Who is in which segment: everybody enters once, and whoever listens is told of it in the same transaction."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from contacts import hooks
from contacts.hooks import Place
from contacts.models import Segment, SegmentMembership

SIZE: Final = 1_000
_TABLE: Final = "contacts_segmentmembership"
_COLUMNS: Final = "segment_id, subject_type_id, subject_id"


class KeptByRule(Exception):
    """Nobody is put into, or taken out of, a segment whose rule says who is in it."""


def add_members(
    *,
    segment: Segment,
    model: type[Model],
    ids: Collection[int],
    now: datetime | None = None,
    run_id: int | None = None,
) -> int:
    """Put these records of the team into a list; how many were not in it before."""
    _refuse_ruled(segment)
    kind = ContentType.objects.get_for_model(model)
    at = now or timezone.now()
    rows = [
        SegmentMembership(segment=segment, subject_type=kind, subject_id=pk, added_at=at, run_id=run_id)
        for pk in dict.fromkeys(ids)
    ]
    return len(change_members(added=rows)[0])


def remove_members(*, segment: Segment, model: type[Model], ids: Collection[int]) -> int:
    """Take records out of a list; how many were in it."""
    _refuse_ruled(segment)
    kind = ContentType.objects.get_for_model(model)
    return len(change_members(removed=[(segment.pk, kind.pk, pk) for pk in dict.fromkeys(ids)])[1])


def keep_rule(segment: Segment, *, now: datetime | None = None) -> Segment:
    """A segment whose rule is new: all contacts are looked at by the next pass of the engine."""
    if segment.where is not None:
        segment.kind, segment.look_at, segment.looked_to = Segment.Kind.DYNAMIC, now or timezone.now(), 0
        segment.save(update_fields=["kind", "look_at", "looked_to"])
    return segment


def members(*, segment: Segment, model: type[Model]) -> QuerySet[SegmentMembership]:
    """The memberships of records of one kind."""
    return SegmentMembership.objects.filter(segment=segment, subject_type=ContentType.objects.get_for_model(model))


def change_members(
    *, added: Sequence[SegmentMembership] = (), removed: Collection[Place] = ()
) -> tuple[list[Place], list[Place]]:
    """Who really entered and who really left, told to the hooks in this transaction; a statement per 1,000."""
    with transaction.atomic():
        entered = [place for part in _parts(added) for place in _insert(part)]
        left = _delete(removed)
        if entered or left:
            for hook in hooks.after_membership:
                hook(entered, left)
    return entered, left


def _refuse_ruled(segment: Segment) -> None:
    if segment.is_dynamic:
        raise KeptByRule(f"“{segment.name}” is kept by its rule: change the rule, or the records.")


def _parts(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + SIZE] for start in range(0, len(rows), SIZE))


def _insert(rows: Sequence[SegmentMembership]) -> list[Place]:
    """Of several who put the same record in, one is told that it entered."""
    values = ", ".join(["(%s, %s, %s, %s, %s)"] * len(rows))
    given: list[Any] = []
    for row in rows:
        at = connection.ops.adapt_datetimefield_value(row.added_at)
        given += [row.segment_id, row.subject_type_id, row.subject_id, at, row.run_id]
    return _asked(
        f"INSERT INTO {_TABLE} ({_COLUMNS}, added_at, run_id) VALUES {values} "  # noqa: S608 - fixed names alone
        f"ON CONFLICT (segment_id, subject_type_id, subject_id) DO NOTHING RETURNING {_COLUMNS}",
        given,
    )


def _delete(places: Collection[Place]) -> list[Place]:
    groups: dict[tuple[int, int], list[int]] = {}
    for segment, kind, pk in places:
        groups.setdefault((segment, kind), []).append(pk)
    left: list[Place] = []
    for (segment, kind), ids in groups.items():
        for part in _parts(ids):
            left += _asked(
                f"DELETE FROM {_TABLE} WHERE segment_id = %s AND subject_type_id = %s "  # noqa: S608 - see above
                f"AND subject_id IN ({', '.join(['%s'] * len(part))}) RETURNING {_COLUMNS}",
                [segment, kind, *part],
            )
    return left


def _asked(statement: str, given: Sequence[Any]) -> list[Place]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return [(row[0], row[1], row[2]) for row in cursor.fetchall()]
