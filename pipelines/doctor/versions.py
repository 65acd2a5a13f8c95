"""Versions that hold runs back, and runs whose version cannot be read."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from django.db.models import Exists, F, OuterRef

from pipelines.definition.program import FORMAT
from pipelines.doctor.findings import Clocks, Finding, some
from pipelines.models import PipelineRun, PipelineVersion
from pipelines.models.run import FINISHED

LONG_AGO: Final = timedelta(days=180)


def unreadable_versions(clocks: Clocks) -> Sequence[Finding]:
    """Versions with runs on their way whose program has a format that this code does not read."""
    live = PipelineRun.objects.filter(version=OuterRef("pk"), pipeline=OuterRef("pipeline")).exclude(
        status__in=FINISHED
    )
    return some(
        PipelineVersion.objects.exclude(program__format=FORMAT).filter(Exists(live)),
        code="versions.unreadable",
        problem="{count} version{s} with runs on their way cannot be read by this release.",
        advice="Publish these pipelines again: runs between steps follow, the others finish with the old release.",
    )


def held_versions(clocks: Clocks) -> Sequence[Finding]:
    """Runs that have stayed on an old version for half a year, where nobody may have meant that."""
    return some(
        PipelineRun.objects.exclude(status__in=FINISHED)
        .filter(
            parent=None,
            version__published_at__lt=clocks.now - LONG_AGO,
            pipeline__current_version__published_at__lt=clocks.now - LONG_AGO,
        )
        .exclude(version=F("pipeline__current_version")),
        code="versions.held",
        problem="{count} run{s} {are} on versions that were replaced more than half a year ago.",
        advice="See the history of their pipelines: publish once with “They follow”, or cancel them.",
    )
