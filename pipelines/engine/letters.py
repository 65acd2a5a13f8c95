"""Letters on their way out: what people agreed to, the devices they go to, and the channels of their teams."""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from crm.channels.base import Delivered, DeliveryResult, Refused, Unknown
from crm.channels.letters import Channel, Letter, Target, hand_over
from crm.devices import Lost, forget, targets_of
from crm.integrations import channels_of
from crm.models import Message
from crm.opt_in import refusals, with_countries
from crm.outside import check_open
from pipelines.engine.outbound import key_of
from pipelines.engine.providers import Providers
from pipelines.engine.store import store
from pipelines.models import Effect

log = logging.getLogger(__name__)

AT_ONCE: Final = 8


def letters_unwanted(messages: Sequence[Message]) -> dict[int, tuple[str, str]]:
    """Letters that may not leave for want of consent, as (code, sentence) by id; nothing is asked about mail.

    Numbers get the country of their team's provider before, so that choices and suppressions are found by them.
    """
    letters = [message for message in messages if message.channel != Message.Channel.EMAIL]
    if not letters:
        return {}
    changed = with_countries(letters)
    if changed:
        store().update_rows(Message, ("recipient",), [(message.pk, (message.recipient,)) for message in changed])
    return refusals(letters)


def post_letters(
    name: str, ready: Sequence[tuple[Effect, Message]], *, until: float, providers: Providers
) -> Iterator[tuple[Effect, DeliveryResult]]:
    """Hand stored messages over, several at once where their channel can, until `until` on the monotonic clock.

    Those that are not answered for were not begun. `providers` hears every answer, and says who may leave. Devices
    that are gone are forgotten.
    """
    check_open()
    ways = channels_of(name, {message.team_id for _, message in ready})
    targets = targets_of([message for _, message in ready]) if name == "push" and ready else {}
    lost: list[Lost] = []
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        group, waiting = providers.turn(ready, size=_at_once(ways))
        while group:
            jobs = [(ways[m.team_id], m, key_of(effect), targets.get(m.pk, ())) for effect, m in group]
            results = list(pool.map(_post, jobs)) if len(jobs) > 1 else [_post(jobs[0])]
            providers.hear(zip(group, results, strict=True))
            for (effect, message), result in zip(group, results, strict=True):
                lost += [
                    Lost(message.team_id, token, message.about_type_id, message.about_id) for token in _lost(result)
                ]
                yield effect, result
            if time.monotonic() > until:
                break
            group, waiting = providers.turn(waiting, size=_at_once(ways))
    forget(lost)


def _at_once(ways: dict[int, Channel | None]) -> int:
    """How many letters may leave side by side: a channel that does not say it can gets one after the other."""
    return AT_ONCE if all(getattr(way, "many_at_once", False) for way in ways.values()) else 1


def _lost(result: DeliveryResult) -> tuple[str, ...]:
    return result.lost if isinstance(result, Delivered | Refused) else ()


def _post(job: tuple[Channel | None, Message, str, tuple[Target, ...]]) -> DeliveryResult:
    """Hand one stored message to a channel, without a look at the database; never raises."""
    channel, message, key, targets = job
    more: dict[str, Any] = message.headers
    letter = Letter(
        channel=message.channel,
        to=(message.recipient, *more.get("also", ())),
        text=message.text,
        title=message.subject,
        data=more.get("data", {}),
        key=key,
        sender=message.sender,
        ref=str(message.pk),
        targets=targets,
    )
    try:
        return hand_over(channel, letter)
    except Exception as error:  # a mistake of the channel: what it did before is not known
        log.exception("a channel failed: message %s", message.pk)
        return Unknown(detail=f"{type(error).__name__}: {error}"[:400])
