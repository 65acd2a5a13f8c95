"""Assignment by hand: the pipelines chosen on a record's form, and runs that move with a merged record."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import Model

from crm.models import AuditEntry
from pipelines.engine.controls import LIVE, cancel_runs
from pipelines.engine.enroll import NotEnrollable, enroll
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
    return PipelineRun.objects.filter(
        subject_type=kind, subject_id=subject.pk, status__in=LIVE, parent__isnull=True
    ).order_by()


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
    runs = PipelineRun.objects.filter(subject_type=kind, subject_id__in=[other.pk for other in others])
    busy = set(live_pipelines(keep))
    doubled: list[int] = []
    for pk, pipeline_id in runs.filter(status__in=LIVE).order_by("pk").values_list("pk", "pipeline_id"):
        if pipeline_id in busy:
            doubled.append(pk)
        busy.add(pipeline_id)
    cancel_runs(run_ids=doubled, reason="merged")
    runs.update(subject_id=keep.pk)
    _rekey(keep, kind)


def _rekey(keep: Model, kind: ContentType) -> None:
    """The re-entry keys of the moved runs become those of the record that stays."""
    from pipelines.engine.cursor import KEPT_VERSION
    from pipelines.engine.keys import ONCE, WHILE_ACTIVE, dedup_key

    rows = PipelineRun.objects.filter(subject_type=kind, subject_id=keep.pk, dedup__isnull=False)
    for run in rows.order_by("status", "pk").only("pk", "dedup", "status"):
        policy = ONCE if run.dedup and run.dedup.version == KEPT_VERSION else WHILE_ACTIVE
        key = dedup_key(policy=policy, subject_type_id=kind.pk, subject_id=keep.pk)
        try:
            with transaction.atomic():
                PipelineRun.objects.filter(pk=run.pk).update(dedup=key)
        except IntegrityError:
            # Another run of this pipeline already holds the key; one holder is enough.
            PipelineRun.objects.filter(pk=run.pk).update(dedup=None)
