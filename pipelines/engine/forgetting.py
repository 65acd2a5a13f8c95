"""What others posted, and what was told to them, is forgotten after a while with the addresses that stood in it."""

from datetime import datetime, timedelta

from django.conf import settings

from crm.models import Team
from pipelines.models import HookDelivery, WebhookDelivery


def forget_deliveries(*, now: datetime, team: Team | None = None, older_than: timedelta | None = None) -> int:
    """Remove posts to and of webhooks that were worked off and are that old, of one team or of all; how many went.

    Without an age `PIPELINES_HOOK_DAYS` says it. A post that still waits for its turn is never removed.
    """
    age = timedelta(days=settings.PIPELINES_HOOK_DAYS) if older_than is None else older_than
    old = HookDelivery.objects.filter(at__lt=now - age).exclude(state=HookDelivery.State.RECEIVED)
    told = WebhookDelivery.objects.filter(at__lt=now - age).exclude(state=WebhookDelivery.State.WAITING)
    if team is not None:
        old, told = old.filter(hook__team=team), told.filter(webhook__team=team)
    return old.delete()[0] + told.delete()[0]
