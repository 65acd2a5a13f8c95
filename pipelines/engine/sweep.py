"""Finds new records that slipped past the observer (bulk writes, failed enrollments) and enrolls them."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from pipelines.engine.automatic import entries_for
from pipelines.engine.clock import real_now
from pipelines.engine.enroll import enroll_batch
from pipelines.engine.entry import Occasion
from pipelines.models import EngineState, EnrollmentDecision, Pipeline, PipelineRun, Trigger
from pipelines.subjects import SubjectType, subject_types

log = logging.getLogger(__name__)

# Ids commit out of order: records younger than this are looked at again.
LOOK_BACK = timedelta(minutes=10)
LIMIT = 5_000
RETRY_LIMIT = 1_000


def sweep(*, now: datetime) -> int:
    """Enroll what the observer did not see; the number of runs that came of it."""
    found = retry_failed(now=now)
    for kind in subject_types().values():
        found += _sweep_model(kind, now)
    if found:
        log.info("found by sweep: %s", found)
    return found


def retry_failed(*, now: datetime) -> int:
    """Try enrollments again that an error stopped; each is settled by what happens now."""
    open_rows = list(EnrollmentDecision.objects.filter(settled=False).order_by("pk")[:RETRY_LIMIT])
    enrolled = 0
    groups: dict[tuple[int, int], list[EnrollmentDecision]] = {}
    for row in open_rows:
        if row.subject_type_id is not None and row.subject_id is not None:
            groups.setdefault((row.subject_type_id, row.pipeline_id), []).append(row)
    for (type_id, pipeline_id), rows in groups.items():
        enrolled += _retry_group(type_id, pipeline_id, rows, now)
    return enrolled


def _retry_group(type_id: int, pipeline_id: int, rows: Sequence[EnrollmentDecision], now: datetime) -> int:
    team_ids = list(Pipeline.objects.filter(pk=pipeline_id).values_list("team_id", flat=True))
    try:
        with transaction.atomic():
            entries = entries_for(subject_type_id=type_id, team_ids=team_ids, pipeline_ids=[pipeline_id])
            EnrollmentDecision.objects.filter(pk__in=[row.pk for row in rows]).update(settled=True)
            ids = [row.subject_id for row in rows]
            waiting = _without_runs(pipeline_id, type_id, ids)
            result = [
                enroll_batch(entries=found, subject_type_id=type_id, subject_ids=waiting, occasion=Occasion(now))
                for found in entries.values()
            ]
        return sum(len(each.enrolled) for each in result)
    except Exception:
        log.exception("enrollment failed again for pipeline %s", pipeline_id)
        return 0


def _without_runs(pipeline_id: int, type_id: int, ids: Sequence[int | None]) -> list[int]:
    have = set(
        PipelineRun.objects.filter(
            subject_type_id=type_id, subject_id__in=[pk for pk in ids if pk is not None], pipeline_id=pipeline_id
        ).values_list("subject_id", flat=True)
    )
    return [pk for pk in dict.fromkeys(ids) if pk is not None and pk not in have]


def _sweep_model(kind: SubjectType, now: datetime) -> int:
    if not hasattr(kind.model, "created_at"):
        return 0
    mark, _ = EngineState.objects.get_or_create(name=f"sweep:{kind.label}", defaults={"data": {"after": 0}})
    after = int(mark.data.get("after", 0))
    enrolled = 0
    armed = Trigger.objects.filter(
        model_id=kind.content_type_id,
        kind=Trigger.Kind.CREATED,
        automatic=True,
        enabled=True,
        armed_at__isnull=False,
        pipeline__status=Pipeline.Status.ACTIVE,
    )
    for trigger_id, pipeline_id, team_id, armed_at in armed.values_list(
        "pk", "pipeline_id", "pipeline__team_id", "armed_at"
    ):
        missed = list(_missed(kind, trigger_id, pipeline_id, team_id, armed_at, after))
        if missed:
            enrolled += _enroll(kind, pipeline_id, team_id, missed, now)
    settled = kind.model._default_manager.filter(pk__gt=after, created_at__lt=real_now() - LOOK_BACK)
    newest = settled.order_by("-pk").values_list("pk", flat=True).first()
    if newest is not None:
        EngineState.objects.filter(name=mark.name).update(data={"after": newest})
    return enrolled


def _missed(
    kind: SubjectType, trigger_id: int, pipeline_id: int, team_id: int, armed_at: datetime | None, after: int
) -> Any:
    """Records newer than the mark that have neither a run nor a decision for this trigger."""
    runs = PipelineRun.objects.filter(
        subject_type_id=kind.content_type_id, subject_id=OuterRef("pk"), pipeline_id=pipeline_id
    )
    decisions = EnrollmentDecision.objects.filter(
        subject_type_id=kind.content_type_id, subject_id=OuterRef("pk"), trigger_id=trigger_id
    )
    rows = kind.model._default_manager.filter(
        Q(pk__gt=after), Q(created_at__gte=armed_at), ~Exists(runs), ~Exists(decisions), team_id=team_id
    )
    return rows.order_by("pk").values_list("pk", flat=True)[:LIMIT]


def _enroll(kind: SubjectType, pipeline_id: int, team_id: int, ids: Sequence[int], now: datetime) -> int:
    try:
        with transaction.atomic():
            entries = entries_for(
                subject_type_id=kind.content_type_id, team_ids=[team_id], pipeline_ids=[pipeline_id]
            ).get(team_id, [])
            if not entries:
                return 0
            result = enroll_batch(
                entries=entries, subject_type_id=kind.content_type_id, subject_ids=ids, occasion=Occasion(now)
            )
        return len(result.enrolled)
    except Exception:
        log.exception("the sweep could not enroll into pipeline %s", pipeline_id)
        return 0
