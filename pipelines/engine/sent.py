"""What left the house is an event about the record it was sent to: `email_sent`, `sms_sent` and the like."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from crm.models import Message
from pipelines.engine.cursor import Cursor
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.kinds import MESSAGES
from pipelines.models import Effect


def tell_of_sent(effects: Sequence[Effect], cursors: Mapping[int, Cursor], *, now: datetime) -> None:
    """Publish what these effects sent, in the transaction that notes it; two statements for any number.

    It counts as caused by the run that sent it, so that pipelines which write to each other come to an end.
    """
    depths = {
        int(effect.payload["message"]): (cursors[effect.run_id].depth + 1, cursors[effect.run_id].pipeline_id)
        for effect in effects
        if effect.kind in MESSAGES and effect.run_id in cursors
    }
    if not depths:
        return
    rows = Message.objects.filter(pk__in=depths, about_id__isnull=False).order_by("pk")
    columns = ("pk", "team_id", "channel", "about_type_id", "about_id", "recipient", "subject", "run_id", "step_id")
    facts = []
    for pk, team_id, channel, kind, about, recipient, subject, run_id, step_id in rows.values_list(*columns):
        depth, origin = depths[pk]
        payload = {"to": recipient, "message": pk, "subject": subject, "run": run_id, "step": step_id}
        if channel == Message.Channel.EMAIL:
            payload["email"] = recipient
        facts.append(Fact(team_id, f"{channel}_sent", kind, about, payload, depth=depth, origin_id=origin))
    publish_all(facts, now=now)
