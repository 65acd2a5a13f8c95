"""What a snapshot caught in the hands of workers: those workers finished it elsewhere, and nothing here knows how."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from contacts.models import ContactImport
from crm.models import Message
from pipelines.engine.rescue import CLAIM_LIMIT
from pipelines.engine.settle import Crashed, settle
from pipelines.models import Effect, EngineWorker, WebhookDelivery

OPEN: Final = (Effect.Status.LEASED, Effect.Status.SENDING)


@dataclass(frozen=True, slots=True)
class Stranded:
    """How many messages are uncertain now, and how many effects are done again under their old key."""

    uncertain: int
    again: int


def settle_stranded(*, now: datetime) -> Stranded:
    """Give up the leases of a restored snapshot. What must not happen twice becomes uncertain, also where it was only
    leased: in the original the handing over was the next thing that happened."""
    EngineWorker.objects.all().delete()
    WebhookDelivery.objects.exclude(lease_until=None).update(lease_until=None)
    ContactImport.objects.exclude(leased_until=None).update(leased_until=None)
    uncertain = again = after = 0
    open_effects = Effect.objects.filter(status__in=OPEN).order_by("pk")
    while effects := list(open_effects.filter(pk__gt=after)[:CLAIM_LIMIT]):
        after = effects[-1].pk
        once = [effect for effect in effects if effect.at_most_once]
        _hand_over(once)
        settle([(effect, Crashed()) for effect in effects], now=now)
        uncertain, again = uncertain + len(once), again + len(effects) - len(once)
    Message.objects.filter(state=Message.State.SENDING).update(state=Message.State.UNCERTAIN)
    return Stranded(uncertain, again)


def _hand_over(effects: list[Effect]) -> None:
    for effect in effects:
        effect.status = Effect.Status.SENDING
    Effect.objects.filter(pk__in=[effect.pk for effect in effects]).update(status=Effect.Status.SENDING)
    messages = [effect.payload["message"] for effect in effects if "message" in effect.payload]
    waiting = Message.objects.filter(pk__in=messages, state=Message.State.QUEUED)
    waiting.update(state=Message.State.SENDING)
