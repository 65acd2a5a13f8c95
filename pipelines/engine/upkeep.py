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
    mark, new = EngineState.objects.get_or_create(name=NAME, defaults={"at": now})
    if not new and mark.at is not None and now < mark.at + EVERY:
        return False
    mine = EngineState.objects.filter(name=NAME, at=mark.at).update(at=now)
    if not mine:
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
