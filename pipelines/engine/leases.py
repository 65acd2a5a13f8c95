"""Leases of effects: begun work is marked, work never begun is given back."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F

from crm.models import Message
from pipelines.models import Effect


def start_sending(effects: Sequence[Effect]) -> list[Effect]:
    """Mark effects as being handed over, in a transaction of their own."""
    with transaction.atomic():
        return mark_sending(effects)


def mark_sending(effects: Sequence[Effect]) -> list[Effect]:
    """The effects of ours that are still leased to us, now marked as being handed over."""
    mine = _held(effects, Effect.Status.LEASED)
    Effect.objects.filter(pk__in=[effect.pk for effect in mine]).update(status=Effect.Status.SENDING)
    for effect in mine:
        effect.status = Effect.Status.SENDING
    return mine


def give_back(effects: Sequence[Effect], *, until: datetime) -> None:
    """Undo leases of work that was never begun: no attempt is burnt by somebody else's outage."""
    with transaction.atomic():
        _requeue(_held(effects, Effect.Status.LEASED), until)


def give_back_unsent(effects: Sequence[Effect], *, until: datetime) -> None:
    """Undo the marks of messages that were about to be handed over and then were not."""
    with transaction.atomic():
        mine = _held(effects, Effect.Status.SENDING)
        _requeue(mine, until)
        messages = [effect.payload["message"] for effect in mine]
        Message.objects.filter(pk__in=messages, state=Message.State.SENDING).update(state=Message.State.QUEUED)


def _held(effects: Sequence[Effect], status: int) -> list[Effect]:
    """Those whose lease is still the one we took, told by its number; locked until the transaction ends."""
    ids = {effect.pk: effect for effect in effects}
    rows = Effect.objects.filter(pk__in=ids, status=status).order_by("pk").select_for_update()
    return [ids[pk] for pk, attempt in rows.values_list("pk", "attempt") if ids[pk].attempt == attempt]


def _requeue(effects: Sequence[Effect], until: datetime) -> None:
    Effect.objects.filter(pk__in=[effect.pk for effect in effects]).update(
        status=Effect.Status.QUEUED, available_at=until, lease_until=None, worker=None, attempt=F("attempt") - 1
    )
