"""Runs that are older than their version allows are ended, and mail that nobody is sending any more is given up."""

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from crm.confirming import give_up_lost
from pipelines.engine.ending import LIVE, end_trees
from pipelines.models import EngineState, PipelineRun, PipelineVersion

NAME: Final = "expiry"
EVERY: Final = timedelta(minutes=5)
REASON: Final = "expired"
LIMIT = 1_000


def expire(*, now: datetime, last: datetime | None) -> int:
    """Every five minutes, end runs whose `expires_after` has passed; how many ended, their branches included."""
    if last is not None and now < last + EVERY:
        return 0
    EngineState.objects.update_or_create(name=NAME, defaults={"at": now})
    give_up_lost(now=now)
    limits = PipelineVersion.objects.filter(program__settings__has_key="expires_after")
    return sum(
        _expire(pipeline_id, version_id, now - timedelta(seconds=float(seconds)), now)
        for version_id, pipeline_id, seconds in limits.values_list(
            "pk", "pipeline_id", "program__settings__expires_after"
        )
    )


def _expire(pipeline_id: int, version_id: int, before: datetime, now: datetime) -> int:
    ended = 0
    while True:
        with transaction.atomic():
            old = PipelineRun.objects.filter(
                pipeline_id=pipeline_id,
                version_id=version_id,
                parent=None,
                status__in=LIVE,
                created_at__lte=before,
            )
            ids = list(old.order_by("pk").values_list("pk", flat=True)[:LIMIT])
            ended += len(end_trees(ids, now=now, reason=REASON)) if ids else 0
        if len(ids) < LIMIT:
            return ended
