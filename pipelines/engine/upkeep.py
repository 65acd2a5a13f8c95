"""Once a day: months ahead for the partitioned logs."""

import logging
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction

from pipelines.models import EngineState
from pipelines.partitions import ensure_partitions

log = logging.getLogger(__name__)

NAME = "upkeep"
EVERY = timedelta(days=1)


def keep_up(*, now: datetime) -> bool:
    """Do what is to be done once a day; one statement when it has been done. True when it was done now."""
    last = EngineState.objects.filter(name=NAME).values_list("at", flat=True).first()
    if last is not None and now < last + EVERY:
        return False
    if last is None:
        EngineState.objects.bulk_create([EngineState(name=NAME)], ignore_conflicts=True)
    if not EngineState.objects.filter(name=NAME, at=last).update(at=now):
        return False
    try:
        with transaction.atomic():
            made = ensure_partitions(now)
    except DatabaseError:
        # Rows of a month without a partition go to the default one, so nothing is lost until tomorrow.
        log.exception("the partitions of the months ahead could not be made")
        return True
    if made:
        log.info("partitions made: %s", ", ".join(made))
    return True
