"""Removing old versions: only those that no run has ever to read again, and never the newest."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline, PipelineRun, PipelineVersion
from pipelines.operations.records import audit, lock
from pipelines.operations.refusals import Refused

KEPT = 10
OLDER_THAN = timedelta(days=90)


def prunable(
    *, pipeline: Pipeline, keep: int = KEPT, older_than: timedelta = OLDER_THAN, now: datetime | None = None
) -> QuerySet[PipelineVersion]:
    """Versions that may go: not current, not among the newest `keep`, old enough, and without any run.

    A run that has ended still names its version in its story, so it holds it until the run itself is removed.
    """
    newest = pipeline.versions.order_by("-number").values_list("pk", flat=True)[: max(keep, 1)]
    kept = [*newest, pipeline.current_version_id or 0]
    runs = PipelineRun.objects.filter(version=OuterRef("pk"), pipeline=pipeline)
    return (
        pipeline.versions.exclude(pk__in=kept)
        .filter(published_at__lt=(now or engine_now()) - older_than)
        .exclude(Exists(runs))
    )


def prune(
    *,
    pipeline: Pipeline,
    keep: int = KEPT,
    older_than: timedelta = OLDER_THAN,
    by: object = None,
    now: datetime | None = None,
) -> list[int]:
    """Remove what may go; the numbers of the versions that went."""
    with transaction.atomic():
        lock(pipeline)
        rows = prunable(pipeline=pipeline, keep=keep, older_than=older_than, now=now)
        found = dict(rows.values_list("pk", "number"))
        pipeline.versions.filter(pk__in=found).delete()
        if found:
            audit(pipeline, "prune", by, versions=sorted(found.values()))
    return sorted(found.values())


def remove_version(*, pipeline: Pipeline, version: PipelineVersion, by: object = None) -> None:
    """Remove one version by hand; refuses while a run holds it."""
    with transaction.atomic():
        lock(pipeline)
        if version.pk == pipeline.current_version_id:
            raise Refused("The current version cannot be removed.")
        held = PipelineRun.objects.filter(pipeline=pipeline, version=version).count()
        if held:
            raise Refused(f"Version {version.number} cannot be removed: {held:,} runs are on it or ended on it.")
        version.delete()
        audit(pipeline, "prune", by, versions=[version.number])
