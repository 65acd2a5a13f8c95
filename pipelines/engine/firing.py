"""Firings take their records in: a part in one transaction, so that a worker which dies loses and doubles nothing."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, Q

from crm.faults import point, register
from pipelines.definition.durations import parse_duration
from pipelines.engine.enroll import enroll_candidates
from pipelines.engine.entry import Candidate, Occasion
from pipelines.engine.existing import existing_of, is_of_existing, kind_of
from pipelines.engine.fitting import Wanted, fitting, meets
from pipelines.engine.keys import ONCE, RELEASED_ON_LEAVING
from pipelines.engine.schedules import count_fired
from pipelines.engine.unheard import commit_unheard
from pipelines.engine.ways import Way, condition_of, ways_of
from pipelines.models import Firing, PipelineRun, Trigger
from pipelines.subjects import subject_type, subject_types

log = logging.getLogger(__name__)

SIZE: Final = 2_000

register("in_firing", "a part of a schedule's records is in, nothing is committed", in_transaction=True)


@dataclass(frozen=True, slots=True)
class Fired:
    """What one part did; `worked` is False when there was nothing to do."""

    worked: bool = False
    entered: int = 0


def work_firing(*, now: datetime) -> Fired:
    """Take in the next part of the oldest open firing, in one transaction."""
    with transaction.atomic():
        rows = Firing.objects.filter(state=Firing.State.OPEN).order_by("pk")
        if connection.vendor == "postgresql":
            rows = rows.select_for_update(skip_locked=True, of=("self",))
        firing = rows.select_related("trigger__pipeline").first()
        if firing is None:
            return Fired()
        way = ways_of([firing.trigger_id]).get(firing.trigger_id)
        entered = 0
        if way is None:
            _close(firing, Firing.State.SKIPPED, now, "The trigger or its pipeline was switched off.")
        else:
            try:
                with transaction.atomic():
                    entered = _take_in(firing, way, now)
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:  # one schedule that breaks something must not keep the others waiting
                log.exception("firing %s could not take its records in", firing.pk)
                _close(firing, Firing.State.FAILED, now, f"{type(error).__name__}: the records could not be taken in.")
        firing.save(update_fields=["state", "after_id", "entered", "looked_at", "note", "finished_at"])
        point("in_firing", then=commit_unheard)
    return Fired(True, entered)


def _take_in(firing: Firing, way: Way, now: datetime) -> int:
    wanted = wanted_by(firing.trigger, way, now, existing=is_of_existing(firing))
    payload = {"slot": firing.slot, "scheduled_at": firing.at.isoformat()}
    if wanted is None:
        candidates = [_candidate(firing, way, None, {}, payload, now)]
        looked_at, after = 0, None
    else:
        _free_keys(firing, way, wanted)
        part = fitting(wanted, after=firing.after_id, size=SIZE)
        looked_at, after = part.looked_at, part.after
        candidates = [_candidate(firing, way, pk, record, payload, now) for pk, record in part.records.items()]
    entered = len(enroll_candidates(candidates, now=now).enrolled) if candidates else 0
    count_fired(firing, looked_at=looked_at, entered=entered)
    if after is None:
        _close(firing, Firing.State.DONE, now)
    else:
        firing.after_id = after
    return entered


def _close(firing: Firing, state: int, now: datetime, note: str = "") -> None:
    firing.state, firing.finished_at, firing.note = state, now, note


def _candidate(
    firing: Firing, way: Way, pk: int | None, record: Mapping[str, Any], payload: Mapping[str, Any], now: datetime
) -> Candidate:
    """A record at the door, or the record that the one found leads to is the pipeline's own business."""
    is_subject = way.subject_type_id is not None
    carried = dict(payload) if is_subject or pk is None else {**payload, "record": dict(record)}
    occasion = Occasion(now, payload=carried, key=f"firing:{firing.pk}:{pk}", trusted=True, depth=0)
    entry = way.entry
    if record and not firing.trigger.for_each:
        # The condition has been looked at; a segment takes each record once unless it says otherwise.
        again = entry.reentry or (ONCE if way.kind == Trigger.Kind.SEGMENT else None)
        entry = replace(entry, where=None, reentry=again)
    if is_of_existing(firing):
        # Somebody has seen how many there are and wanted them in.
        entry = replace(entry, max_per_hour=None)
    if not is_subject:
        return Candidate(entry, None, None, None, occasion)
    return Candidate(entry, way.subject_type_id, pk, record or None, occasion)


def wanted_by(trigger: Trigger, way: Way, now: datetime, *, existing: bool = False) -> Wanted | None:
    """The records that a trigger looks for by the clock, or that are there already; None for one run about nobody."""
    alias = way.entry.program.alias or ""
    facts = way.entry.facts
    each: Mapping[str, Any] | None = trigger.for_each
    if trigger.kind == Trigger.Kind.CRON and each:
        kind = subject_types()[each["model"]]
        return Wanted(facts.team.id, kind, each.get("where"), now, alias=alias, bare=True)
    if way.subject_type_id is None:
        return None
    if existing:
        return existing_of(trigger, now=now)
    also = _not_inside(trigger, way, now) if trigger.kind != Trigger.Kind.CRON else None
    return Wanted(
        facts.team.id,
        kind_of(trigger.pipeline) or subject_type(way.subject_type_id),
        trigger.where,
        now,
        alias=alias,
        also=also,
    )


def _not_inside(trigger: Trigger, way: Way, now: datetime) -> Q | None:
    """Leave out those whom re-entry would refuse anyway, so that looking every hour writes nothing about them."""
    policy = trigger.reentry or (ONCE if trigger.kind == Trigger.Kind.SEGMENT else None)
    runs = PipelineRun.objects.filter(
        pipeline=trigger.pipeline_id, subject_type=way.subject_type_id, subject_id=OuterRef("pk"), parent=None
    )
    if isinstance(policy, Mapping) and "after" in policy:
        since = now - timedelta(seconds=parse_duration(policy["after"]))
        return ~Q(Exists(runs.filter(Q(finished_at=None) | Q(finished_at__gte=since), dedup__isnull=False)))
    if isinstance(policy, Mapping) and "key" in policy:
        return None
    return ~Q(Exists(runs.filter(dedup__isnull=False)))


def _free_keys(firing: Firing, way: Way, wanted: Wanted) -> None:
    """With `release: on_leave`, who has finished and does not fit any more may enter again."""
    if way.entry.reentry != RELEASED_ON_LEAVING or firing.after_id:
        return
    held = PipelineRun.objects.filter(
        pipeline=way.entry.facts.id, trigger=firing.trigger_id, finished_at__isnull=False, dedup__isnull=False
    )
    condition = condition_of(wanted.where)
    last = 0
    while True:
        pairs = list(held.filter(pk__gt=last).order_by("pk").values_list("pk", "subject_id")[:SIZE])
        if not pairs:
            return
        last = pairs[-1][0]
        records = wanted.kind.load({pk for _, pk in pairs if pk is not None})
        _free([run for run, pk in pairs if pk not in records or not meets(wanted, condition, records[pk])])


def _free(run_ids: Collection[int]) -> None:
    if run_ids:
        PipelineRun.objects.filter(pk__in=run_ids).update(dedup=None)
