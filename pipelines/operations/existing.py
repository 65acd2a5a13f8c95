"""Taking in the records that fit a pipeline already: previewed, never unless somebody says so."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from pipelines.engine.clock import engine_now
from pipelines.engine.existing import Existing, by_itself, look_at_existing, takes_existing
from pipelines.engine.kick import kick
from pipelines.engine.schedules import note_existing
from pipelines.models import Firing, Pipeline, Trigger
from pipelines.operations.records import audit
from pipelines.operations.refusals import Refused


def preview_existing(*, pipeline: Pipeline, now: datetime | None = None) -> list[Existing]:
    """Who would enter by each trigger that can take in existing records; nothing is written."""
    moment = now or engine_now()
    return [look_at_existing(trigger, now=moment) for trigger in _triggers(pipeline) if takes_existing(trigger)]


def enroll_existing(*, pipeline: Pipeline, by: object = None, now: datetime | None = None) -> Sequence[Firing]:
    """Let the engine take in who fits now and never had a run here, 2,000 records looked at in a transaction.

    Raises Refused when the pipeline is not active, or no trigger could take anybody in.
    """
    if pipeline.status != Pipeline.Status.ACTIVE:
        raise Refused("Only an active pipeline takes records in: activate it first.")
    wanted = [trigger for trigger in _triggers(pipeline) if takes_existing(trigger) and not by_itself(trigger)]
    if not wanted:
        raise Refused("No trigger of this pipeline can take in existing records: it has none on new ones or a segment.")
    moment = now or engine_now()
    with transaction.atomic():
        firings = [note_existing(trigger=trigger, now=moment) for trigger in wanted]
        audit(pipeline, "enroll_existing", by, triggers=[trigger.key or str(trigger) for trigger in wanted])
        transaction.on_commit(kick)
    return firings


def _triggers(pipeline: Pipeline) -> list[Trigger]:
    return list(pipeline.triggers.select_related("pipeline__team").order_by("position", "id"))
