"""Takes queued effects, does the outside work with no transaction open, and settles the answers."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, cast

from django.conf import settings
from django.db import transaction

from crm.channels.answers import storable
from crm.channels.base import Code, Delivered, DeliveryResult, Refused, Unknown
from crm.faults import point, register
from pipelines.actions.base import DeliveryError
from pipelines.actions.registry import kinds
from pipelines.engine.advance import Progress
from pipelines.engine.cause import caused_by
from pipelines.engine.circuits import unwatched
from pipelines.engine.clock import real_now
from pipelines.engine.coded import run_code
from pipelines.engine.glance import look_for_work
from pipelines.engine.in_flight import Leased, within_caps
from pipelines.engine.leases import give_back, give_back_unsent, keep_unsent, start_sending
from pipelines.engine.letters import post_letters
from pipelines.engine.outage import end_outage, looks, mail_outage, note_outage
from pipelines.engine.outbound import call, key_of
from pipelines.engine.post import Post, start_messages
from pipelines.engine.providers import Providers
from pipelines.engine.settle import Result, settle
from pipelines.engine.store import store
from pipelines.engine.trying_out import try_out
from pipelines.engine.unsealing import secrets_for
from pipelines.models import Effect, PipelineRun

log = logging.getLogger(__name__)

LEASE_LIMIT = 200
HTTP_THREADS = 8
# No new outside work is begun in the last part of a lease.
LEASE_MARGIN = 40.0

_twin: ContextVar["Twin | None"] = ContextVar("twin", default=None)

register("after_lease", "effects are leased, nothing left the machine yet")
register("before_sending", "effects are about to be marked as being handed over")
register("after_effect", "the outside answered, before anything else happens")


@dataclass(slots=True)
class Delivery:
    """What one round of deliveries did."""

    sent: int = 0
    tried: int = 0
    # Whether the mail server was away and this round looks whether it is back.
    looks: bool = False
    progress: Progress | None = None


class Twin(Protocol):
    """What answers for the outside where nothing may leave the machine."""

    def __call__(self, *, now: datetime) -> Delivery:
        """Settle every effect that is available."""


@contextmanager
def delivered_by(twin: Twin) -> Iterator[None]:
    """Let this twin deliver what the engine of this thread queues, instead of the channels."""
    token = _twin.set(twin)
    try:
        with unwatched():
            yield
    finally:
        _twin.reset(token)


def deliver(
    *, now: datetime, until: float, begin: Callable[[], None] | None = None, kinds_waiting: Sequence[int] | None = None
) -> Delivery:
    """Deliver every effect that is available, until `until` on the monotonic clock.

    `begin` is called before, when there is anything to deliver. `kinds_waiting` saves looking which kinds there are.
    """
    twin = _twin.get()
    if twin is not None:
        return twin(now=now)
    total = Delivery(progress=Progress())
    waiting = look_for_work(now=now).kinds if kinds_waiting is None else kinds_waiting
    if waiting and begin is not None:
        begin()
    for kind, work in (
        (Effect.Kind.EMAIL, _send_mail),
        (Effect.Kind.SMS, _send_letters),
        (Effect.Kind.PUSH, _send_letters),
        (Effect.Kind.WHATSAPP, _send_letters),
        (Effect.Kind.CHAT, _send_letters),
        (Effect.Kind.HTTP, _call_http),
        (Effect.Kind.CUSTOM, _run_custom),
        (Effect.Kind.CODE, _run_code),
        (Effect.Kind.TEST, _try_out),
    ):
        if kind not in waiting:
            continue
        if kind == Effect.Kind.EMAIL:
            outage = mail_outage()
            if outage is not None and not looks(outage, now=now):
                continue
            total.looks = outage is not None
        limit: int | None = None
        while time.monotonic() < until:
            stop = min(until, time.monotonic() + settings.PIPELINES_LEASE_SECONDS - LEASE_MARGIN)
            leased = _lease(kind, now, limit or LEASE_LIMIT)
            if leased.effects:
                point("after_lease")
                if not work(leased.effects, now, stop, total):
                    break
            if not leased.more:
                break
            limit = leased.limit
    return total


def _lease(kind: int, now: datetime, limit: int) -> Leased:
    taken = real_now()
    until = taken + timedelta(seconds=settings.PIPELINES_LEASE_SECONDS)
    with transaction.atomic():
        leased = store().lease_effects(
            kind=kind, now=now, real_now=taken, until=until, limit=min(limit, LEASE_LIMIT), worker=os.getpid()
        )
        return within_caps(leased, now=now, full=len(leased) == min(limit, LEASE_LIMIT))


def _send_mail(effects: list[Effect], now: datetime, stop: float, total: Delivery) -> bool:
    """Send over one connection, in groups; False when the mail server cannot be reached at all."""
    post = Post()
    refused = post.open()
    if refused is not None:
        give_back(effects, until=note_outage(refused, now=now).next_at)
        return False
    until = now
    try:
        for group in _groups(effects, settings.PIPELINES_SEND_GROUP):
            if time.monotonic() > stop or until > now:
                give_back(group, until=until)
                continue
            point("before_sending")
            ready, skipped = post.start(group, now=now)
            results: list[tuple[Effect, Result]] = [*skipped]
            for effect, result in post.send(ready, until=stop):
                results.append((effect, result))
                point("after_effect")
                if isinstance(result, Refused) and result.code == "connection":
                    # It went away in the middle: this letter has used up a try, the others none.
                    until = note_outage(result, now=now).next_at
            _settle(results, now, total)
            answered = {effect.pk for effect, _ in results}
            give_back_unsent([effect for effect, _ in ready if effect.pk not in answered], until=until)
            if total.looks and until == now:
                end_outage()
                total.looks = False
    finally:
        post.close()
    return until == now


def _send_letters(effects: list[Effect], now: datetime, stop: float, total: Delivery) -> bool:
    """Hand letters over in groups, each through the channel of its team; a provider that is away keeps its own."""
    name = str(Effect.Kind(effects[0].kind).label)
    providers = Providers(name, now=now)
    for group in _groups(effects, settings.PIPELINES_SEND_GROUP):
        if time.monotonic() > stop:
            give_back(group, until=now)
            continue
        point("before_sending")
        ready, skipped = start_messages(group, now=now, kept=providers.kept)
        results: list[tuple[Effect, Result]] = [*skipped]
        for effect, result in post_letters(name, ready, until=stop, providers=providers):
            results.append((effect, result))
            point("after_effect")
        answered = {effect.pk for effect, _ in results}
        kept = providers.keep(ready, answered)
        _settle([pair for pair in results if pair[0].pk not in kept], now, total)
        keep_unsent(list(kept.values()))
        left = [effect for effect, _ in ready if effect.pk not in answered and effect.pk not in kept]
        give_back_unsent(left, until=now)
    return True


def _call_http(effects: list[Effect], now: datetime, stop: float, total: Delivery) -> bool:
    secrets = secrets_for(effects)
    with ThreadPoolExecutor(max_workers=HTTP_THREADS) as pool:
        for group in _groups(effects, HTTP_THREADS):
            if time.monotonic() > stop:
                give_back(group, until=now)
                continue
            mine = start_sending(group)
            answers = list(pool.map(partial(call, secrets=secrets), mine))
            point("after_effect")
            _settle(list(zip(mine, answers, strict=True)), now, total)
    return True


def _run_custom(effects: list[Effect], now: datetime, stop: float, total: Delivery) -> bool:
    runs = PipelineRun.objects.filter(pk__in=[effect.run_id for effect in effects])
    depths = dict(runs.values_list("pk", "depth"))
    for effect in effects:
        if time.monotonic() > stop:
            give_back([effect], until=now)
            continue
        for mine in start_sending([effect]):
            with caused_by(depths.get(mine.run_id, 0)):
                result = _deliver_custom(mine)
            point("after_effect")
            _settle([(mine, result)], now, total)
    return True


def _run_code(effects: list[Effect], now: datetime, stop: float, total: Delivery) -> bool:
    """Run code one by one in the sandbox, which only processes that deliver ever start."""
    for effect in effects:
        if time.monotonic() > stop:
            give_back([effect], until=now)
            continue
        for mine in start_sending([effect]):
            result = run_code(mine, now=now)
            point("after_effect")
            _settle([(mine, result)], now, total)
    return True


def _try_out(effects: list[Effect], now: datetime, stop: float, total: Delivery) -> bool:
    """What test runs ask for is answered here; nothing leaves."""
    for group in _groups(effects, settings.PIPELINES_SEND_GROUP):
        if time.monotonic() > stop:
            give_back(group, until=now)
            continue
        results = try_out(start_sending(group), now=now)
        point("after_effect")
        _settle(results, now, total)
    return True


def _deliver_custom(effect: Effect) -> DeliveryResult:
    kind = kinds().get(str(effect.payload["action"]))
    if kind is None:
        return Refused(
            code="validation", detail="This action is not installed here.", permanent=False, retry_after=60.0
        )
    try:
        answer = kind.deliver(payload=effect.payload["payload"], key=key_of(effect))
        detail = storable(json.loads(json.dumps(answer, default=str)))
    except DeliveryError as error:
        if error.unknown:
            return Unknown(detail=error.detail)
        return Refused(code=cast(Code, error.code), detail=error.detail, permanent=error.permanent, retry_after=None)
    except Exception as error:  # code of a project: what it did before it broke is not known
        log.exception("custom action failed: effect %s", effect.pk)
        return Unknown(detail=f"{type(error).__name__}: {error}"[:400])
    return Delivered(reference="", detail=detail)


def _settle(results: list[tuple[Effect, Result]], now: datetime, total: Delivery) -> None:
    progress = settle(results, now=now)
    total.tried += len(results)
    # Of a test run nothing left.
    sent = (effect for effect, result in results if isinstance(result, Delivered) and effect.kind != Effect.Kind.TEST)
    total.sent += sum(1 for _ in sent)
    if total.progress is not None:
        total.progress.add(progress)


def _groups(effects: Sequence[Effect], size: int) -> Iterable[Sequence[Any]]:
    for start in range(0, len(effects), size):
        yield effects[start : start + size]
