"""Decisions of people about messages whose fate is unknown."""

from datetime import datetime
from typing import Any, Literal

from django.db import transaction

from crm.models import Message
from crm.signals import message_decided

Decision = Literal["accept", "resend"]


@transaction.atomic
def decide_message(*, message: Message, decision: Decision, user: Any, now: datetime) -> bool:
    """Settle an uncertain message once; False when somebody else has done so, or it is not uncertain.

    What follows, such as the run moving on or a second message, is the business of listeners.
    """
    mine = Message.objects.filter(pk=message.pk, state=Message.State.UNCERTAIN, decided_at__isnull=True)
    if mine.update(decided_at=now) == 0:
        return False
    message.refresh_from_db()
    message_decided.send(sender=Message, message=message, decision=decision, user=user, now=now)
    return True
