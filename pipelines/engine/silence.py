"""Contacts of whom nothing was heard for long enough: an event for each, once for each silence.

A silence begins with the last interaction, or with the contact itself. Each trigger says how long it must last; the
database finds those whose silence came of age since the last look, by an index and in batches.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import DateTimeField, Max, Min, Q, Value
from django.db.models.functions import Coalesce
from django.utils.dateparse import parse_datetime

from contacts.models import Contact
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.store import store
from pipelines.engine.ways import INACTIVE
from pipelines.models import EngineState, Event, Pipeline, Trigger
from pipelines.subjects import subject_types

NAME: Final = "silence"
EVERY: Final = timedelta(minutes=5)
BATCH: Final = 1_000
# What the house does to a contact, or finds out about it, is no sign of life.
NOT_BY_THE_CONTACT: Final = frozenset({
    "created", "updated", "deleted", "stage_changed", "task_completed", "segment_entered", "segment_left",
    "email_bounced", "email_opened", "user_inactive", INACTIVE,
}) | frozenset(
    f"{channel}_{what}"
    for channel in ("email", "sms", "push", "whatsapp", "chat")
    for what in ("sent", "delivered", "failed", "undelivered")
)  # fmt: skip


def watched() -> Any:
    """Open triggers that wait for a silence."""
    return Trigger.objects.filter(
        event=INACTIVE, silence__isnull=False, enabled=True, pipeline__status=Pipeline.Status.ACTIVE
    )


def tell_of_silence(*, now: datetime, last: datetime | None) -> int:
    """Publish who has fallen silent since the last look; the number of events."""
    if last is not None and last <= now < last + EVERY:
        return 0
    pairs = watched().order_by().values_list("pipeline__team_id", "silence").annotate(since=Min("armed_at"))
    told = sum(_tell(team_id, silence, since or now, now) for team_id, silence, since in list(pairs))
    EngineState.objects.update_or_create(name=NAME, defaults={"at": now})
    return told


def _tell(team_id: int, silence: int, since: datetime, now: datetime) -> int:
    told = 0
    while True:
        with transaction.atomic():
            found, more = _next(team_id, silence, since, now)
            told += found
        if not more:
            return told


def _next(team_id: int, silence: int, since: datetime, now: datetime) -> tuple[int, bool]:
    """The next thousand whose silence came of age; the mark moves in the same transaction."""
    span = timedelta(seconds=silence)
    # Who was silent for longer when the trigger began, or went on after a pause, is left alone.
    mark = _mark(f"{NAME}:{team_id}:{silence}", since - span)
    if mark is None:
        return 0, False
    at, after = max(parse_datetime(mark.data["at"]) or since, since - span), int(mark.data["after"])
    quiet = Coalesce("last_interaction", "created_at")
    rows = Contact.objects.filter(team_id=team_id).annotate(quiet=quiet)
    rows = rows.filter(quiet__gte=_moment(at), quiet__lte=_moment(now - span))
    rows = rows.filter(Q(quiet__gt=_moment(at)) | Q(pk__gt=after))
    found = list(rows.order_by("quiet", "pk").values_list("pk", "quiet")[:BATCH])
    if not found:
        return 0, False
    heard = _heard_of([pk for pk, _ in found], now - span)
    _note(heard)
    kind = subject_types()[Contact._meta.label_lower].content_type_id
    told = publish_all(
        [
            Fact(
                team_id, INACTIVE, kind, pk,
                {"since": moment.isoformat(), "days": round(silence / 86_400, 2), "silence": silence},
                key=f"{pk}:{silence}:{moment.isoformat()}",
            )
            for pk, moment in found
            if pk not in heard
        ],
        now=now,
    )  # fmt: skip
    mark.data = {"at": found[-1][1].isoformat(), "after": found[-1][0]}
    mark.save(update_fields=["data"])
    return told, len(found) == BATCH


def _mark(name: str, since: datetime) -> EngineState | None:
    """How far silences have been looked at, held by this transaction; None while somebody else looks."""
    data = {"at": since.isoformat(), "after": 0}
    EngineState.objects.bulk_create([EngineState(name=name, data=data)], ignore_conflicts=True)
    rows = EngineState.objects.filter(name=name)
    if connection.vendor == "postgresql":
        rows = rows.select_for_update(skip_locked=True)
    return rows.first()


def _moment(at: datetime) -> Value:
    return Value(at, output_field=DateTimeField())


def _heard_of(ids: Sequence[int], since: datetime) -> dict[int, datetime]:
    """When something was last heard of these contacts, of those of whom it was."""
    kind = subject_types()[Contact._meta.label_lower].content_type_id
    told = Event.objects.filter(subject_type=kind, subject_id__in=ids, occurred_at__gt=since)
    latest = told.exclude(type__in=NOT_BY_THE_CONTACT).order_by().values("subject_id").annotate(at=Max("occurred_at"))
    return {pk: at for pk, at in latest.values_list("subject_id", "at") if pk is not None}


def _note(heard: dict[int, datetime]) -> None:
    """A later sign of life begins a later silence."""
    known = dict(Contact.objects.filter(pk__in=heard).values_list("pk", "last_interaction")) if heard else {}
    rows = [(pk, (heard[pk],)) for pk, last in known.items() if last is None or last < heard[pk]]
    if rows:
        store().update_rows(Contact, ("last_interaction",), rows)


def note_interactions(events: Iterable[Event]) -> None:
    """Events about contacts are signs of life: two statements, for teams in which a trigger waits for silence."""
    kind = subject_types()[Contact._meta.label_lower].content_type_id
    heard: dict[int, dict[int, datetime]] = {}
    for event in events:
        pk = event.subject_id
        if event.subject_type_id == kind and pk is not None and event.type not in NOT_BY_THE_CONTACT:
            mine = heard.setdefault(event.team_id, {})
            mine[pk] = max(mine.get(pk, event.occurred_at), event.occurred_at)
    _note({pk: at for team, mine in heard.items() for pk, at in mine.items()})
