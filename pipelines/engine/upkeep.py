"""Once a day: months ahead for the partitioned logs, and what is old forgotten: suspicions, posts, files of imports."""

import logging
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction

from contacts.imports.lifecycle import forget_old
from pipelines.engine.circuits import forget_failures
from pipelines.engine.forgetting import forget_deliveries
from pipelines.models import EngineState, LaneStrike
from pipelines.partitions import ensure_partitions

log = logging.getLogger(__name__)

NAME = "upkeep"
EVERY = timedelta(days=1)


def keep_up(*, now: datetime, last: datetime | None) -> bool:
    """Do what is to be done once a day, when it was last done then; True when it was done now."""
    if last is not None and now < last + EVERY:
        return False
    if last is None:
        EngineState.objects.bulk_create([EngineState(name=NAME)], ignore_conflicts=True)
    if not EngineState.objects.filter(name=NAME, at=last).update(at=now):
        return False
    forget_failures(now=now)
    forgotten = forget_deliveries(now=now)
    if forgotten:
        log.info("posts to webhooks forgotten: %s", forgotten)
    files = forget_old(now=now)
    if files:
        log.info("files of imports deleted: %s", files)
    try:
        with transaction.atomic():
            made = ensure_partitions(now)
    except DatabaseError:
        # Rows of a month without a partition go to the default one, so nothing is lost until tomorrow.
        log.exception("the partitions of the months ahead could not be made")
        return True
    LaneStrike.objects.filter(updated_at__lt=now - EVERY).delete()
    if made:
        log.info("partitions made: %s", ", ".join(made))
    return True
