"""What left the house is an event about the record it was sent to: `email_sent`, `sms_sent` and the like."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction

from crm.models import Message
from pipelines.engine.cursor import Cursor
from pipelines.engine.kick import kick
from pipelines.engine.store import store
from pipelines.models import Event


class Sent(NamedTuple):
    """A message that left, by the names of its columns."""

    id: int
    team_id: int
    channel: str
    about_type_id: int | None
    about_id: int | None
    recipient: str
    subject: str
    run_id: int | None
    step_id: int | None


def tell_of_sent(messages: Sequence[Sent], cursors: Mapping[int, Cursor], *, now: datetime) -> None:
    """Publish what these messages are, in the transaction that notes them: one statement for any number.

    It counts as caused by the run that sent it, so that pipelines which write to each other come to an end.
    """
    told = [sent for sent in messages if sent.about_id is not None and sent.run_id in cursors]
    if not told:
        return
    told.sort()
    store().create_rows(Event, [_event(sent, cursors[sent.run_id or 0], now) for sent in told])
    transaction.on_commit(kick)


def _event(sent: Sent, cursor: Cursor, now: datetime) -> dict[str, Any]:
    payload = {
        "to": sent.recipient, "message": sent.id, "subject": sent.subject, "run": sent.run_id, "step": sent.step_id
    }  # fmt: skip
    if sent.channel == Message.Channel.EMAIL:
        payload["email"] = sent.recipient
    return {
        "team_id": sent.team_id,
        "type": f"{sent.channel}_sent",
        "subject_type_id": sent.about_type_id,
        "subject_id": sent.about_id,
        "payload": payload,
        "occurred_at": now,
        "depth": cursor.depth + 1,
        "origin_id": cursor.pipeline_id,
    }
