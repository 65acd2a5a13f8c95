"""Leases of effects: begun work is marked, work never begun is given back."""

import os
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F

from pipelines.models import Effect


def start_sending(effects: Sequence[Effect]) -> list[Effect]:
    """Mark effects as being handed over, in a transaction of their own."""
    with transaction.atomic():
        return mark_sending(effects)


def mark_sending(effects: Sequence[Effect]) -> list[Effect]:
    """The effects of ours that are still leased to us, now marked as being handed over."""
    ids = {effect.pk: effect for effect in effects}
    leased = Effect.objects.filter(pk__in=ids, status=Effect.Status.LEASED).select_for_update()
    mine = [ids[pk] for pk, attempt in leased.values_list("pk", "attempt") if ids[pk].attempt == attempt]
    Effect.objects.filter(pk__in=[effect.pk for effect in mine]).update(status=Effect.Status.SENDING)
    for effect in mine:
        effect.status = Effect.Status.SENDING
    return mine


def give_back(effects: Sequence[Effect], *, until: datetime) -> None:
    """Undo leases of work that was never begun: no attempt is burnt by somebody else's outage."""
    with transaction.atomic():
        mine = Effect.objects.filter(
            pk__in=[effect.pk for effect in effects], status=Effect.Status.LEASED, worker=os.getpid()
        )
        mine.update(
            status=Effect.Status.QUEUED, available_at=until, lease_until=None, worker=None, attempt=F("attempt") - 1
        )
