"""Assignment by hand: the pipelines chosen on a record's form, and runs that move with a merged record."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model

from crm.models import AuditEntry
from pipelines.engine.controls import cancel_runs
from pipelines.engine.ending import LIVE
from pipelines.engine.enroll import NotEnrollable, enroll
from pipelines.engine.keys import ONCE, WHILE_ACTIVE, dedup_key
from pipelines.models import Pipeline, PipelineRun


@dataclass(slots=True)
class SyncResult:
    """Pipeline ids that were added, kept and removed, and why others could not be added."""

    added: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)


def live_pipelines(subject: Model) -> list[int]:
    """Ids of the pipelines a record is in right now, however it came there."""
    return list(_live(subject).values_list("pipeline_id", flat=True).distinct())


def _live(subject: Model) -> Any:
    kind = ContentType.objects.get_for_model(type(subject))
    return PipelineRun.objects.entered().filter(subject_type=kind, subject_id=subject.pk, status__in=LIVE).order_by()


def sync_manual_runs(*, subject: Model, pipelines: Sequence[Pipeline], by: Any = None) -> SyncResult:
    """Make the live runs of a record those of exactly these pipelines: add, keep and remove."""
    result = SyncResult()
    with transaction.atomic():
        have = set(live_pipelines(subject))
        wanted = {pipeline.pk: pipeline for pipeline in pipelines}
        result.kept = sorted(have & wanted.keys())
        result.removed = sorted(have - wanted.keys())
        for pk in sorted(wanted.keys() - have):
            try:
                entered = enroll(pipeline=wanted[pk], subject_ids=[subject.pk], by=by)
            except NotEnrollable as error:
                result.refused[pk] = str(error)
                continue
            if entered.enrolled:
                result.added.append(pk)
            else:
                result.refused[pk] = entered.decisions[subject.pk][1]
        _remove(subject, result.removed, by)
    if result.added or result.removed:
        team: Any = getattr(subject, "team", None)
        details = {"added": result.added, "removed": result.removed}
        AuditEntry.record(team=team, action="pipelines.assigned", target=subject, actor=by, details=details)
    return result


def _remove(subject: Model, pipeline_ids: Sequence[int], by: Any) -> None:
    if pipeline_ids:
        ids = list(_live(subject).filter(pipeline_id__in=pipeline_ids).values_list("pk", flat=True))
        cancel_runs(run_ids=ids, by=by, reason="removed by hand")


def rehome_runs(*, keep: Model, others: Sequence[Model]) -> None:
    """Runs of merged records go on for the one that stays; a second live run of one pipeline is ended."""
    kind = ContentType.objects.get_for_model(type(keep))
    old = [other.pk for other in others]
    with transaction.atomic():
        runs = PipelineRun.objects.filter(subject_type=kind, subject_id__in=old)
        moved = list(runs.order_by("pk").values_list("pk", flat=True))
        busy = set(live_pipelines(keep))
        doubled: list[int] = []
        for pk, pipeline_id in runs.entered().filter(status__in=LIVE).order_by("pk").values_list("pk", "pipeline_id"):
            if pipeline_id in busy:
                doubled.append(pk)
            busy.add(pipeline_id)
        cancel_runs(run_ids=doubled, reason="merged")
        runs.update(subject_id=keep.pk)
        _rekey(kind=kind, keep_id=keep.pk, old_ids=old, moved=moved)


def _rekey(*, kind: ContentType, keep_id: int, old_ids: Sequence[int], moved: Sequence[int]) -> None:
    """Re-entry keys made from the old subjects become those of the one that stays; other keys are left alone."""
    runs = PipelineRun.objects.filter(pk__in=moved)
    freed = [_key(kind, pk, WHILE_ACTIVE) for pk in old_ids]
    # At most one live run of each pipeline is left, so these keys meet no other.
    runs.filter(dedup__in=freed).update(dedup=_key(kind, keep_id, WHILE_ACTIVE))
    kept = _key(kind, keep_id, ONCE)
    taken = set(PipelineRun.objects.filter(dedup=kept).values_list("pipeline_id", flat=True))
    heirs: list[int] = []
    old_kept = runs.filter(dedup__in=[_key(kind, pk, ONCE) for pk in old_ids])
    for pk, pipeline_id in old_kept.order_by("pk").values_list("pk", "pipeline_id"):
        if pipeline_id not in taken:
            heirs.append(pk)
            taken.add(pipeline_id)
    # One holder of a key is enough to keep its subject out.
    old_kept.exclude(pk__in=heirs).update(dedup=None)
    runs.filter(pk__in=heirs).update(dedup=kept)


def _key(kind: ContentType, subject_id: int, policy: str) -> uuid.UUID | None:
    return dedup_key(policy=policy, subject_type_id=kind.pk, subject_id=subject_id)
