"""What others posted is kept for a while and then forgotten, with the addresses and whatever else stood in it."""

from datetime import datetime, timedelta

from django.conf import settings

from crm.models import Team
from pipelines.models import HookDelivery


def forget_deliveries(*, now: datetime, team: Team | None = None, older_than: timedelta | None = None) -> int:
    """Remove posts to webhooks that were worked off and came that long ago, of one team or of all; how many went.

    Without an age `PIPELINES_HOOK_DAYS` says it. A post that still waits for its turn is never removed.
    """
    age = timedelta(days=settings.PIPELINES_HOOK_DAYS) if older_than is None else older_than
    old = HookDelivery.objects.filter(at__lt=now - age).exclude(state=HookDelivery.State.RECEIVED)
    if team is not None:
        old = old.filter(hook__team=team)
    count, _ = old.delete()
    return count
