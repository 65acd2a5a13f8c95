"""Schedules that come due: each slot becomes one firing, whoever looks and however often."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Coalesce, NullIf

from pipelines.definition.cron import CronError, Schedule, Slot
from pipelines.models import Firing, Pipeline, PipelineRun, Trigger

log = logging.getLogger(__name__)

LIMIT: Final = 200
MOST_MISSED: Final = 100
# A worker looks every minute; what is this late is not missed but slow.
GRACE: Final = timedelta(minutes=10)
EVERY: Final = 3_600
TIMED: Final = (Trigger.Kind.CRON.value, Trigger.Kind.SEGMENT.value)
STILL_BUSY: Final = "The firing before it was still under way."


def timed_triggers() -> QuerySet[Trigger]:
    """Open triggers that go by the clock."""
    return Trigger.objects.filter(
        Q(kind=Trigger.Kind.CRON) | Q(kind=Trigger.Kind.SEGMENT, segment=""),
        enabled=True,
        pipeline__status=Pipeline.Status.ACTIVE,
        pipeline__current_version__isnull=False,
    )


def due_triggers(now: datetime) -> QuerySet[Trigger]:
    """Those that have a slot by now, or do not know their next one yet."""
    return timed_triggers().filter(Q(next_fire_at=None) | Q(next_fire_at__lte=now), kind__in=TIMED)


def with_clock(triggers: QuerySet[Trigger]) -> QuerySet[Trigger]:
    """With the zone that each goes by: its own, else that of the version that runs, else of the team."""
    of_version = KeyTextTransform("timezone", KeyTransform("settings", "pipeline__current_version__program"))
    zone = Coalesce(NullIf("tz", Value("")), of_version, "pipeline__team__timezone", output_field=CharField())
    return triggers.annotate(clock=zone)


def fire_due(*, now: datetime, pipeline: Pipeline | None = None) -> int:
    """Note every slot that has come, of one pipeline or all, once for each trigger; the number of new firings."""
    with transaction.atomic():
        due = due_triggers(now) if pipeline is None else due_triggers(now).filter(pipeline=pipeline)
        rows = with_clock(due).order_by("pk")
        if connection.vendor == "postgresql":
            rows = rows.select_for_update(skip_locked=True, of=("self",), no_key=True)
        triggers = list(rows[:LIMIT])
        busy = _busy(triggers)
        firings: list[Firing] = []
        for trigger in triggers:
            try:
                firings += _fired(trigger, trigger.pk in busy, now)
            except (CronError, ValueError, LookupError):
                # Publishing refuses such a schedule; time zones may still go away with an update of the machine.
                log.warning("the schedule of trigger %s cannot be read", trigger.pk)
                trigger.next_fire_at = now + timedelta(days=1)
        before = Firing.objects.filter(trigger__in=[each.pk for each in triggers]).count() if firings else 0
        Firing.objects.bulk_create(firings, ignore_conflicts=True, batch_size=500)
        Trigger.objects.bulk_update(triggers, ["next_fire_at"], batch_size=LIMIT)
        after = Firing.objects.filter(trigger__in=[each.pk for each in triggers]).count() if firings else 0
    return after - before


def _busy(triggers: Sequence[Trigger]) -> set[int]:
    """Triggers that do not overlap and whose last firing is not over."""
    asked = [trigger.pk for trigger in triggers if trigger.overlap == Trigger.Overlap.SKIP]
    if not asked:
        return set()
    live = PipelineRun.objects.filter(pipeline=OuterRef("pipeline"), trigger_id=OuterRef("pk"), finished_at=None)
    under_way = Firing.objects.filter(trigger=OuterRef("pk"), state=Firing.State.OPEN)
    rows = Trigger.objects.filter(Exists(live) | Exists(under_way), pk__in=asked)
    return set(rows.values_list("pk", flat=True))


def _fired(trigger: Trigger, busy: bool, now: datetime) -> list[Firing]:
    """What a trigger owes up to now by its rule for missed slots, and when it is due next."""
    if trigger.next_fire_at is None:
        base = min(trigger.armed_at or now, now)
        first = _first(trigger, base)
        trigger.next_fire_at = first.at if first is not None else now + timedelta(days=1)
        if first is None or first.at > now:
            return []
    slots = _missed(trigger, trigger.next_fire_at, now)
    upcoming = _first(trigger, now)
    trigger.next_fire_at = upcoming.at if upcoming is not None else now + timedelta(days=1)
    owed = _owed(trigger, slots, now)
    skipped = [slot for slot in slots if slot not in owed]
    made = [_firing(trigger, slot, STILL_BUSY if busy else "") for slot in owed]
    if skipped:
        # One line for all that was missed: the log tells of it, nobody enters.
        made.append(_firing(trigger, skipped[-1], f"{len(skipped)} missed while nobody was at work."))
    return made


def plan_first(triggers: Sequence[Trigger], now: datetime) -> None:
    """When schedules that begin now are due for the first time, by the engine's clock; two statements at most."""
    for trigger in triggers:
        first = _first(trigger, now)
        trigger.next_fire_at = first.at if first is not None else now + timedelta(days=1)
    Trigger.objects.bulk_update(triggers, ["next_fire_at"], batch_size=LIMIT)


def _owed(trigger: Trigger, slots: list[Slot], now: datetime) -> list[Slot]:
    match trigger.misfire:
        case Trigger.Misfire.ALL:
            return slots
        case Trigger.Misfire.ONCE:
            return slots[-1:]
        case _:
            return [slot for slot in slots[-1:] if slot.at >= now - GRACE]


def _firing(trigger: Trigger, slot: Slot, skipped: str) -> Firing:
    state = Firing.State.SKIPPED if skipped else Firing.State.OPEN
    return Firing(trigger=trigger, slot=slot.name, at=slot.at, state=state, note=skipped)


def _first(trigger: Trigger, base: datetime) -> Slot | None:
    if trigger.kind == Trigger.Kind.CRON:
        return _schedule(trigger).next(base)
    every = trigger.every or EVERY
    # The first look at a segment is at once; later ones keep to whole spans, whoever is late.
    at = base if trigger.next_fire_at is None else _span_after(base, every)
    return _span(at)


def _missed(trigger: Trigger, first: datetime, now: datetime) -> list[Slot]:
    if trigger.kind == Trigger.Kind.CRON:
        return _schedule(trigger).missed(first, now, most=MOST_MISSED)
    # Whoever is in the segment now is in it: looking once is enough.
    return [_span(now if first <= now - timedelta(seconds=trigger.every or EVERY) else first)]


def _span_after(moment: datetime, every: int) -> datetime:
    return datetime.fromtimestamp((moment.timestamp() // every + 1) * every, UTC)


def _span(at: datetime) -> Slot:
    return Slot(at, at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z")


def _schedule(trigger: Trigger) -> Schedule:
    return Schedule(trigger.cron, trigger.clock or "UTC")  # type: ignore[attr-defined]


def note_existing(*, trigger: Trigger, now: datetime) -> Firing:
    """A firing that takes in the records which fit a trigger already."""
    return Firing.objects.create(trigger=trigger, slot=f"existing:{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}", at=now)


def count_fired(firing: Firing, *, looked_at: int, entered: int) -> None:
    """Add to what a firing did, and to what its trigger did."""
    firing.looked_at += looked_at
    firing.entered += entered
    if entered:
        Trigger.objects.filter(pk=firing.trigger_id).update(
            fired_total=F("fired_total") + entered, last_fired_at=firing.at
        )
