"""What people do with outgoing webhooks: make, change the secret, switch on, replay."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction

from crm.models import Team
from crm.sealing import seal
from crm.signatures import new_secret
from pipelines.engine.kick import kick
from pipelines.engine.outgoing.hearing import DIRECT, forget_hearers, news_of, tell
from pipelines.models import Event, Webhook, WebhookDelivery

BOTH_VALID: Final = timedelta(hours=24)
MOST: Final = 10_000
OFF: Final = "Switched off by a person."


def make_webhook(
    *, team: Team, name: str, url: str, types: Sequence[str] = (), enabled: bool = True, by: Any = None
) -> tuple[Webhook, str]:
    """A new webhook and its secret, which can never be shown again."""
    secret = new_secret()
    webhook = Webhook(
        team=team, name=name, url=url, types=sorted(set(types)), secret=seal(secret), enabled=enabled,
        disabled_because="" if enabled else OFF, created_by=by,
    )  # fmt: skip
    webhook.full_clean(exclude=["created_by", "team"])
    webhook.save()
    transaction.on_commit(forget_hearers)
    forget_hearers()
    return webhook, secret


def rotate_secret(*, webhook: Webhook, now: datetime) -> str:
    """A new secret; for a day posts are signed with the old one too."""
    secret = new_secret()
    webhook.old_secret, webhook.old_until, webhook.secret = webhook.secret, now + BOTH_VALID, seal(secret)
    webhook.save(update_fields=["secret", "old_secret", "old_until"])
    return secret


def save_edited(webhook: Webhook) -> None:
    """Store what people edit and nothing else: a pass may be noting an answer, and somebody changing the secret.

    One that is switched on or has a new address begins anew: what waits leaves at once. A new name changes nothing.
    """
    webhook.types = sorted(set(webhook.types or ()))
    fields = ["name", "url", "types", "enabled", "disabled_because"]
    before = Webhook.objects.filter(pk=webhook.pk).values_list("enabled", "url").first()
    if webhook.enabled and before != (True, webhook.url):
        webhook.failing_since = None
        fields.append("failing_since")
    webhook.disabled_because = "" if webhook.enabled else webhook.disabled_because or OFF
    webhook.save(update_fields=fields)
    transaction.on_commit(kick)
    transaction.on_commit(forget_hearers)
    forget_hearers()


def replay(*, delivery: WebhookDelivery, now: datetime) -> bool:
    """Post a delivery again, with its old id and all tries anew; False while it still waits for its turn."""
    rows = WebhookDelivery.objects.filter(pk=delivery.pk).exclude(state=WebhookDelivery.State.WAITING)
    done = rows.update(state=WebhookDelivery.State.WAITING, attempts=0, due_at=now, lease_until=None)
    transaction.on_commit(kick)
    return bool(done)


def replay_since(*, webhook: Webhook, since: datetime, now: datetime) -> int:
    """Post again what failed since then, and what it never got, such as while it was off; how many deliveries.

    Events are looked up in the inbox; at most 10,000 of them at once. Ids stay, so a receiver can pass over repeats.
    """
    with transaction.atomic():
        failed = webhook.deliveries.filter(at__gte=since, state=WebhookDelivery.State.FAILED)
        count = failed.update(state=WebhookDelivery.State.WAITING, attempts=0, due_at=now, lease_until=None)
        events = Event.objects.filter(team_id=webhook.team_id, occurred_at__gte=since, dispatched=True)
        events = events.exclude(type__in=DIRECT).order_by("occurred_at", "pk")
        if webhook.types:
            events = events.filter(type__in=webhook.types)
        before = webhook.deliveries.count()
        tell(news_of(events[:MOST]), [webhook])
        missed = webhook.deliveries.count() - before
        transaction.on_commit(kick)
    return count + missed
