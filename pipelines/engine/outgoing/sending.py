"""Deliveries of outgoing webhooks: leased, posted outside of transactions, settled while the lease is still ours.

At least once, each try with the same `webhook-id`. No address holds up others: each has few posts under way at a time,
and only one after it failed.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from random import SystemRandom
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from crm.channels.answers import HttpAnswer
from crm.channels.http import HttpFailure, request
from crm.channels.limits import configured
from crm.faults import point, register
from crm.models import Member, Notification
from crm.models.member import Role
from crm.outside import is_closed
from crm.sealing import SealBroken, unseal
from crm.signatures import sign
from pipelines.engine.clock import engine_now, real_now
from pipelines.engine.outgoing.hearing import forget_hearers
from pipelines.engine.unheard import commit_unheard
from pipelines.models import Webhook, WebhookDelivery

log = logging.getLogger(__name__)

# Seconds before each further try, by Standard Webhooks: ten tries in about three days.
RETRIES: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER: Final = 0.1
GIVES_UP: Final = timedelta(days=3)
THREADS: Final = 16
AT_ONCE, AFTER_FAILURE = 4, 1
ADDRESSES: Final = 32
SHOWN: Final = 300
LEADERS: Final = (Role.OWNER, Role.ADMIN, Role.MANAGER)
_random = SystemRandom()
register("before_post", "deliveries of webhooks are leased, none was posted")
register("after_post", "receivers of webhooks have answered, nothing of it is written")
register("in_posted", "what became of deliveries of webhooks is written, nothing is committed", in_transaction=True)


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back from one post."""

    accepted: bool
    status: int | None
    sentence: str
    retry_after: float | None = None
    gone: bool = False


def due_webhooks(now: datetime) -> Any:
    """Deliveries that may leave, as a query."""
    return WebhookDelivery.objects.filter(state=WebhookDelivery.State.WAITING, due_at__lte=now, webhook__enabled=True)


def send_due(*, now: datetime, until: float) -> int:
    """Post what is due until `until` on the monotonic clock, and wait for what is under way; how many were accepted."""
    if is_closed():
        return 0
    accepted, failed, under_way = 0, set[int](), dict[Future[Answered], WebhookDelivery]()
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        while True:
            if len(under_way) < THREADS and time.monotonic() < until:
                leased = _lease(now, list(under_way.values()), failed, THREADS - len(under_way))
                if leased:
                    point("before_post")
                for delivery in leased:
                    under_way[pool.submit(post, delivery)] = delivery
            if not under_way:
                return accepted
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            results = [(under_way.pop(each), each.result()) for each in done]
            point("after_post")
            failed |= {delivery.webhook_id for delivery, answered in results if not answered.accepted}
            accepted += settle(results, now=now)


def _lease(now: datetime, busy: Sequence[WebhookDelivery], failed: set[int], room: int) -> list[WebhookDelivery]:
    """Take some of every address that has something due and is not busy; at most three statements.

    Whoever failed in this pass has its next turn in the next one.
    """
    taken = real_now()
    counts: dict[int, int] = {}
    for each in busy:
        counts[each.webhook_id] = counts.get(each.webhook_id, 0) + 1
    free = Q(lease_until=None) | Q(lease_until__lt=taken)
    waiting = WebhookDelivery.objects.filter(free, state=WebhookDelivery.State.WAITING, due_at__lte=now)
    full = failed | {pk for pk, count in counts.items() if count >= AT_ONCE}
    addresses = Webhook.objects.filter(Exists(waiting.filter(webhook=OuterRef("pk"))), enabled=True).exclude(
        pk__in=full
    )
    # Whoever had to wait longest comes first, and whoever fails last.
    rows = list(
        addresses.order_by("failing_since", "last_success_at", "pk").values_list("pk", "failing_since")[:ADDRESSES]
    )
    wanted = [(pk, (AFTER_FAILURE if failing else AT_ONCE) - counts.get(pk, 0)) for pk, failing in rows]
    slices = [
        Q(pk__in=waiting.filter(webhook=pk).order_by("due_at", "pk").values("pk")[:count])
        for pk, count in wanted
        if count > 0
    ]
    if not slices:
        return []
    lease_until = taken + timedelta(seconds=settings.PIPELINES_LEASE_SECONDS)
    with transaction.atomic():
        found = waiting.filter(reduce(or_, slices)).order_by("due_at", "pk").select_related("webhook")
        if connection.vendor == "postgresql":
            found = found.select_for_update(skip_locked=True, of=("self",))
        mine = list(found[:room])
        for each in mine:
            each.lease, each.lease_until = each.lease + 1, lease_until
        WebhookDelivery.objects.bulk_update(mine, ["lease", "lease_until"])
    return mine


def post(delivery: WebhookDelivery, *, seconds: float | None = None) -> Answered:
    """One signed post; never raises, and touches no database."""
    webhook, stamp = delivery.webhook, engine_stamp()
    body = delivery.body.encode()
    try:
        signatures = [
            sign(secret=secret, message_id=delivery.message_id, timestamp=stamp, body=body)
            for secret in secrets_of(webhook, stamp)
        ]
        answer = request(
            method="POST",
            url=webhook.url,
            headers={
                "content-type": "application/json",
                "webhook-id": delivery.message_id,
                "webhook-timestamp": str(stamp),
                "webhook-signature": " ".join(signatures),
            },
            body=body,
            policy=configured(seconds=seconds),
        )
    except HttpFailure as failure:
        return Answered(False, None, str(failure)[:SHOWN])
    except SealBroken as error:
        return Answered(False, None, str(error)[:SHOWN])
    except Exception as error:  # a mistake of our own must not stop the other addresses
        log.exception("a webhook could not be posted: delivery %s", delivery.pk)
        return Answered(False, None, type(error).__name__)
    return _read(answer)


def engine_stamp() -> int:
    """Receivers compare the time of a post with their own clocks, so it is the time of the machine."""
    return int(time.time())


def secrets_of(webhook: Webhook, stamp: int) -> list[str]:
    """The secret, and for a day after a change the one before it."""
    found = [unseal(webhook.secret)]
    if webhook.old_secret and webhook.old_until is not None and webhook.old_until.timestamp() > stamp:
        found.append(unseal(webhook.old_secret))
    return found


def _read(answer: HttpAnswer) -> Answered:
    if answer.accepted:
        shown = answer.shown()
        text = shown if isinstance(shown, str) else str(shown)
        return Answered(True, answer.status, text[:SHOWN])
    if 300 <= answer.status < 400:
        return Answered(False, answer.status, f"The receiver answered {answer.status}: redirects are not followed.")
    sentence = f"The receiver answered {answer.status}."
    return Answered(False, answer.status, sentence, answer.retry_after, answer.status == 410)


def settle(results: Sequence[tuple[WebhookDelivery, Answered]], *, now: datetime) -> int:
    """Write what came back, for deliveries whose lease is still ours; how many were accepted."""
    told: list[tuple[Webhook, str]] = []
    with transaction.atomic():
        webhooks = Webhook.objects.select_for_update().in_bulk({delivery.webhook_id for delivery, _ in results})
        rows = WebhookDelivery.objects.select_for_update().in_bulk([delivery.pk for delivery, _ in results])
        mine = [
            (rows[delivery.pk], answered)
            for delivery, answered in results
            if delivery.pk in rows and rows[delivery.pk].lease == delivery.lease and delivery.webhook_id in webhooks
        ]
        for row, answered in mine:
            _note(row, answered, now)
            because = _judge(webhooks[row.webhook_id], answered, now)
            if because:
                told.append((webhooks[row.webhook_id], because))
        fields = ["state", "attempts", "due_at", "lease_until", "status", "answer", "tried_at"]
        WebhookDelivery.objects.bulk_update([row for row, _ in mine], fields)
        fields = ["enabled", "disabled_because", "failing_since", "last_success_at"]
        Webhook.objects.bulk_update(webhooks.values(), fields)
        _tell_leaders(told, now)
        point("in_posted", then=commit_unheard)
    if told:
        forget_hearers()
    return sum(answered.accepted for _, answered in mine)


def _note(row: WebhookDelivery, answered: Answered, now: datetime) -> None:
    row.attempts += 1
    row.status, row.answer, row.tried_at, row.lease_until = answered.status, answered.sentence, now, None
    if answered.accepted:
        row.state = WebhookDelivery.State.DELIVERED
    elif row.attempts > len(RETRIES):
        row.state = WebhookDelivery.State.FAILED
    else:
        seconds = RETRIES[row.attempts - 1] * (1 + _random.random() * JITTER)
        row.due_at = now + timedelta(seconds=max(seconds, answered.retry_after or 0.0))


def _judge(webhook: Webhook, answered: Answered, now: datetime) -> str:
    """Note how the address does; the reason if it is disabled by this."""
    if answered.accepted:
        webhook.failing_since, webhook.last_success_at = None, now
        return ""
    webhook.failing_since = webhook.failing_since or now
    if not webhook.enabled:
        return ""
    if answered.gone:
        because = "The receiver answered 410: it wants no more posts."
    elif webhook.failing_since <= now - GIVES_UP:
        because = f"Nothing was accepted for three days. Last: {answered.sentence}"
    else:
        return ""
    webhook.enabled, webhook.disabled_because = False, because[:200]
    return because


def _tell_leaders(told: Sequence[tuple[Webhook, str]], now: datetime) -> None:
    if not told:
        return
    people = Member.objects.filter(team_id__in={webhook.team_id for webhook, _ in told}, role__in=LEADERS)
    leads: dict[int, list[int]] = {}
    for team_id, user_id in people.values_list("team_id", "user_id"):
        leads.setdefault(team_id, []).append(user_id)
    Notification.objects.bulk_create(
        Notification(
            team_id=webhook.team_id, user_id=user_id, title=f"The webhook {webhook.name} is off"[:200], created_at=now,
            body=f"{because} What was not delivered waits until somebody switches it on again.", about=webhook,
        )
        for webhook, because in told
        for user_id in leads.get(webhook.team_id, ())
    )  # fmt: skip


def send_test(webhook: Webhook) -> Answered:
    """Post an example at once, outside of every transaction; nothing of it is stored."""
    now = engine_now()
    body = (
        f'{{"type": "webhook.test", "timestamp": "{now.isoformat()}", "data": {{"subject": null, "hello": "world"}}}}'
    )
    row = WebhookDelivery(webhook=webhook, message_id=f"msg_test_{time.time_ns()}", type="webhook.test", body=body)
    return post(row, seconds=10.0)
