"""What happens becomes deliveries of the webhooks that hear of it, in the transaction in which it happens."""

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef

from crm.outside import is_closed
from pipelines.engine.cause import is_test
from pipelines.engine.clock import engine_now
from pipelines.engine.kick import kick
from pipelines.engine.plain import plain
from pipelines.models import Event, PipelineRun, Webhook, WebhookDelivery
from pipelines.states import RunStatus
from pipelines.subjects import HIDDEN, SubjectType, among, subject_label

# Told at once, without an event of the inbox, for no pipeline listens to them there.
CREATED, UPDATED, DELETED = "created", "updated", "deleted"
DIRECT: Final = frozenset({CREATED, UPDATED, DELETED})
ENDINGS: Final = {
    RunStatus.COMPLETED.value: "run_completed",
    RunStatus.FAILED.value: "run_failed",
    RunStatus.CANCELLED.value: "run_cancelled",
}
# Standard Webhooks asks for an id that lasts over all tries and replays. Fixed for ever.
NAMESPACE: Final = uuid.UUID("0b6ad0c4-6f1b-4c57-8a86-0d3a3c1f9e52")
REMEMBERED_SECONDS: Final = 5.0
_known: tuple[float, bool] = (0.0, False)


class News(NamedTuple):
    """One thing to tell: about which record of which team, and what."""

    team_id: int
    type: str
    subject: tuple[str, int] | None
    payload: Mapping[str, Any]
    at: datetime
    # The same for the same event, however often it is told; none means that it is told once.
    name: str = ""


def anybody_hears() -> bool:
    """Whether this installation has any webhook, as it was at most five seconds ago: saving records asks it."""
    global _known
    if is_closed():
        return False
    moment = time.monotonic()
    if moment - _known[0] > REMEMBERED_SECONDS or not _known[0]:
        _known = (moment, Webhook.objects.filter(enabled=True).exists())
    return _known[1]


def forget_hearers() -> None:
    """A webhook of this process holds at once."""
    global _known
    _known = (0.0, False)


def hearers(team_ids: Collection[int], types: Collection[str] = ()) -> list[Webhook]:
    """Enabled webhooks of these teams that hear one of these types; no statement where there is no webhook at all."""
    if not team_ids or is_test() or not anybody_hears():
        return []
    rows = Webhook.objects.filter(team_id__in=team_ids, enabled=True).only("team_id", "types").order_by("pk")
    return [row for row in rows if not types or any(row.hears(each) for each in types)]


def tell(news: Iterable[News], webhooks: Sequence[Webhook]) -> int:
    """Store a delivery for each webhook of the team that hears of it, once; one statement for a thousand."""
    by_team: dict[int, list[Webhook]] = {}
    for webhook in webhooks:
        by_team.setdefault(webhook.team_id, []).append(webhook)
    now = engine_now()
    rows = []
    for each in news:
        takers = [webhook for webhook in by_team.get(each.team_id, ()) if webhook.hears(each.type)]
        if takers:
            message_id, body = _message(each)
            rows += [
                WebhookDelivery(webhook=taker, message_id=message_id, type=each.type, body=body, due_at=now, at=each.at)
                for taker in takers
            ]
    if rows:
        WebhookDelivery.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
        transaction.on_commit(kick)
    return len(rows)


def _message(news: News) -> tuple[str, str]:
    key = uuid.uuid5(NAMESPACE, news.name) if news.name else uuid.uuid4()
    subject = {"type": news.subject[0], "id": news.subject[1]} if news.subject else None
    data = {"subject": subject, "payload": plain(news.payload)}
    body = {"type": news.type, "timestamp": news.at.isoformat(), "data": data}
    return f"msg_{key.hex}", json.dumps(body, default=str)


def tell_of_events(events: Sequence[Event]) -> None:
    """Events of the inbox that are just handed out; two statements more for teams with webhooks."""
    told = [event for event in events if event.type not in DIRECT]
    webhooks = hearers({event.team_id for event in told}, {event.type for event in told})
    if webhooks:
        tell(news_of(told), webhooks)


def news_of(events: Iterable[Event]) -> list[News]:
    return [
        News(
            event.team_id, event.type, _about(event.subject_type_id, event.subject_id), event.payload or {},
            event.occurred_at, f"event:{event.pk}",
        )
        for event in events
    ]  # fmt: skip


def _about(type_id: int | None, pk: int | None) -> tuple[str, int] | None:
    return None if type_id is None or pk is None else (subject_label(type_id, ""), pk)


def tell_of_new(*, kind: SubjectType, ids: Sequence[int], team_id: int) -> None:
    """Records that were made, with what stands in them."""
    webhooks = hearers([team_id], [CREATED])
    if not webhooks:
        return
    names = [field.attname for field in kind.model._meta.concrete_fields if field.name not in HIDDEN]
    rows = kind.model._default_manager.filter(pk__in=among(ids)).order_by("pk").values(*names)
    now = engine_now()
    tell([News(team_id, CREATED, (kind.label, row["id"]), {"record": row}, now) for row in rows], webhooks)


def tell_of_changes(*, kind: SubjectType, team_id: int, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Records that were saved with other values than before: `changes` by id and field, as [before, after]."""
    changed = {pk: each for pk, each in changes.items() if each}
    webhooks = hearers([team_id], [UPDATED]) if changed else []
    if webhooks:
        now = engine_now()
        news = [
            News(team_id, UPDATED, (kind.label, pk), {"changes": {k: list(v) for k, v in each.items()}}, now)
            for pk, each in changed.items()
        ]
        tell(news, webhooks)


def tell_of_removal(*, kind: SubjectType, team_id: int, pk: int, record: Callable[[], Mapping[str, Any]]) -> None:
    """A record that was deleted, with its last values."""
    webhooks = hearers([team_id], [DELETED])
    if webhooks:
        tell([News(team_id, DELETED, (kind.label, pk), {"record": record()}, engine_now())], webhooks)


def tell_of_endings(run_ids: Sequence[int], *, now: datetime) -> None:
    """Runs that ended, no tests and not those inside others; three statements for any number, none without webhooks."""
    if not run_ids or not anybody_hears():
        return
    heard = Webhook.objects.filter(team_id=OuterRef("pipeline__team_id"), enabled=True)
    runs = list(
        PipelineRun.objects.entered().filter(Exists(heard), pk__in=among(run_ids), status__in=ENDINGS)
        .order_by("pk")
        .values_list(
            "pk", "pipeline__team_id", "pipeline__key", "pipeline__subject_record", "subject_type_id", "subject_id",
            "status", "reason", "outcome",
        )
    )  # fmt: skip
    webhooks = hearers({row[1] for row in runs}, set(ENDINGS.values()))
    news = []
    for pk, team_id, key, record, type_id, subject_id, status, reason, outcome in runs:
        about = None if type_id is None or subject_id is None else (subject_label(type_id, record), subject_id)
        payload = {"run": pk, "pipeline": key, "reason": reason or "", "outcome": outcome}
        news.append(News(team_id, ENDINGS[status], about, payload, now))
    if webhooks:
        tell(news, webhooks)
