"""Membership follows the contacts: those that changed are looked at in batches, all of them when a rule changes.

One worker at a time decides about memberships, so that an older look never undoes a newer one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from contacts.hooks import Place
from contacts.models import Contact, Segment, SegmentChange, SegmentMembership
from contacts.segments import change_members
from crm.faults import point, register
from pipelines.definition.conditions import ConditionError
from pipelines.engine.cause import caused_by
from pipelines.engine.segments.rule import PAGE, Rule, contact_kind, load, rule_of
from pipelines.engine.unheard import commit_unheard
from pipelines.models import EngineState

CHANGES: Final = 1_000
BATCH: Final = 2_000
# What moves without any contact changing (days that pass, events, names of owners) is looked at this often.
EVERY: Final = timedelta(minutes=15)
LOCK: Final = "segments"

register("in_segments", "memberships are written, nothing is committed", in_transaction=True)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one part did; `worked` is False when there was nothing to do or somebody else is at it."""

    worked: bool = False
    entered: int = 0
    left: int = 0


def changes_waiting() -> QuerySet[SegmentChange]:
    """Contacts that changed since they were looked at."""
    return SegmentChange.objects.all()


def looks_due(now: datetime) -> QuerySet[Segment]:
    """Segments whose contacts must all be looked at."""
    return Segment.objects.filter(look_at__lte=now)


def refresh_changed(*, now: datetime) -> Refreshed:
    """Look at the next thousand changes, whatever the number of segments: a fixed number of statements."""
    with transaction.atomic(), _alone() as mine:
        if not mine:
            return Refreshed()
        changes = list(SegmentChange.objects.order_by("pk")[:CHANGES])
        if not changes:
            return Refreshed()
        done = _follow(changes, now)
        SegmentChange.objects.filter(pk__in=[change.pk for change in changes]).delete()
        point("in_segments", then=commit_unheard)
    return done


def refresh_whole(*, now: datetime) -> Refreshed:
    """Look at all contacts for the segment that has waited longest; up to 2,000 enter and 2,000 leave in one go."""
    with transaction.atomic(), _alone() as mine:
        segment = looks_due(now).order_by("look_at", "pk").first() if mine else None
        if segment is None:
            return Refreshed()
        rule = _rule(segment)
        contacts = rule.contacts(segment.team_id, now=now) if rule is not None else Contact.objects.none()
        if rule is None or contacts is not None:
            entered, left, after = _difference(segment, contacts if contacts is not None else Contact.objects.none())
        else:
            entered, left, after = _next_page(segment, rule, now)
        change_members(added=[_member(place, now) for place in entered], removed=left)
        _note(segment, rule, after, now)
        point("in_segments", then=commit_unheard)
    return Refreshed(True, len(entered), len(left))


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether this worker is the one that decides, for as long as its transaction is open."""
    if connection.vendor != "postgresql":
        yield True
        return
    rows = EngineState.objects.select_for_update(skip_locked=True).filter(name=LOCK)
    if rows.first() is None:
        EngineState.objects.bulk_create([EngineState(name=LOCK)], ignore_conflicts=True)
        yield rows.first() is not None
        return
    yield True


def _follow(changes: Sequence[SegmentChange], now: datetime) -> Refreshed:
    teams = {change.team_id for change in changes}
    segments = list(Segment.objects.filter(team_id__in=teams, kind=Segment.Kind.DYNAMIC))
    rules = {segment.pk: rule for segment in segments if (rule := _rule(segment)) is not None}
    ids = {change.contact_id for change in changes}
    records = load(ids, rules.values())
    kind = contact_kind().content_type_id
    inside = SegmentMembership.objects.filter(subject_type_id=kind, subject_id__in=ids, segment__in=segments)
    are = {(segment, kind, pk) for segment, pk in inside.values_list("segment_id", "subject_id")}
    by_team = {team: [segment for segment in segments if segment.team_id == team] for team in teams}
    be = {
        (segment.pk, kind, pk)
        for pk, record in records.items()
        for segment in by_team.get(record["team_id"], ())
        if segment.pk in rules and rules[segment.pk].meets(record, now=now)
    }
    return _write(sorted(be - are), sorted(are - be), _causes(changes), now)


def _write(
    entered: Sequence[Place], left: Sequence[Place], causes: Mapping[int, tuple[int, int]], now: datetime
) -> Refreshed:
    """What steps of pipelines caused is told as theirs, so that pipelines which start each other come to an end."""
    moves = [(causes.get(place[2], (-1, 0)), place, True) for place in entered]
    moves += [(causes.get(place[2], (-1, 0)), place, False) for place in left]
    for (depth, origin), group in groupby(sorted(moves), key=lambda move: move[0]):
        mine = list(group)
        with caused_by(depth, origin or None):
            change_members(
                added=[_member(place, now) for _, place, enters in mine if enters],
                removed=[place for _, place, enters in mine if not enters],
            )
    return Refreshed(True, len(entered), len(left))


def _causes(changes: Iterable[SegmentChange]) -> dict[int, tuple[int, int]]:
    """(depth, pipeline) of the changes that steps made, by contact; the deepest counts."""
    found: dict[int, tuple[int, int]] = {}
    for change in changes:
        if change.depth:
            cause = (change.depth - 1, change.origin_id or 0)
            found[change.contact_id] = max(found.get(change.contact_id, cause), cause)
    return found


def _difference(segment: Segment, contacts: QuerySet[Contact]) -> tuple[list[Place], list[Place], int | None]:
    """Who is missing and who is too much, two statements; None stands for a look that is over."""
    kind = contact_kind().content_type_id
    members = SegmentMembership.objects.filter(segment=segment, subject_type_id=kind)
    missing = contacts.filter(~Exists(members.filter(subject_id=OuterRef("pk")))).order_by("pk")
    gone = members.filter(~Exists(contacts.filter(pk=OuterRef("subject_id")))).order_by("pk")
    entered = [(segment.pk, kind, pk) for pk in missing.values_list("pk", flat=True)[:BATCH]]
    left = [(segment.pk, kind, pk) for pk in gone.values_list("subject_id", flat=True)[:BATCH]]
    more = len(entered) == BATCH or len(left) == BATCH
    return entered, left, 0 if more else None


def _next_page(segment: Segment, rule: Rule, now: datetime) -> tuple[list[Place], list[Place], int | None]:
    """The same for the next contacts by id, each evaluated; and where to go on."""
    kind = contact_kind().content_type_id
    rows = Contact.objects.filter(team_id=segment.team_id, pk__gt=segment.looked_to).order_by("pk")
    ids = list(rows.values_list("pk", flat=True)[:PAGE])
    last = ids[-1] if len(ids) == PAGE else None
    members = SegmentMembership.objects.filter(segment=segment, subject_type_id=kind, subject_id__gt=segment.looked_to)
    if last is not None:
        members = members.filter(subject_id__lte=last)
    are = set(members.values_list("subject_id", flat=True))
    be = {pk for pk, record in load(ids, [rule]).items() if rule.meets(record, now=now)}
    return (
        [(segment.pk, kind, pk) for pk in sorted(be - are)],
        [(segment.pk, kind, pk) for pk in sorted(are - be)],
        last,
    )


def _note(segment: Segment, rule: Rule | None, after: int | None, now: datetime) -> None:
    """Where the look stands; a rule that was changed meanwhile has its own look before it."""
    values: dict[str, Any] = {"looked_to": after or 0}
    if after is None:
        values |= {"look_at": now + EVERY if rule is not None and rule.moves_by_itself else None, "looked_at": now}
    Segment.objects.filter(pk=segment.pk, look_at=segment.look_at, where=segment.where).update(**values)


def _member(place: Place, now: datetime) -> SegmentMembership:
    segment, kind, pk = place
    return SegmentMembership(segment_id=segment, subject_type_id=kind, subject_id=pk, added_at=now)


def _rule(segment: Segment) -> Rule | None:
    """A rule that cannot be read any more lets nobody in."""
    try:
        return rule_of(segment.where)
    except (ConditionError, TypeError, ValueError):
        return None


def note_events(*, team_ids: Collection[int], subjects: Collection[tuple[int, int, str]]) -> None:
    """Contacts (team, id, type of event) about whom something happened are looked at where a rule reads such events."""
    read: dict[int, set[str]] = {}
    for segment in Segment.objects.filter(team_id__in=team_ids, kind=Segment.Kind.DYNAMIC).only("team_id", "where"):
        rule = _rule(segment)
        if rule is not None and rule.did:
            read.setdefault(segment.team_id, set()).update(rule.did)
    wanted = {(team, pk) for team, pk, type_ in subjects if type_ in read.get(team, ())}
    SegmentChange.objects.bulk_create(
        [SegmentChange(team_id=team, contact_id=pk) for team, pk in sorted(wanted)], batch_size=CHANGES
    )
