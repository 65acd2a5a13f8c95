"""Addresses nothing may be sent to."""

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from crm.models import Subscription, Suppression
from crm.signals import addresses_suppressed

NOT_SUBSCRIBED, NOT_CONFIRMED = "not_subscribed", "not_confirmed"
WORDS: Final[Mapping[str, str]] = {
    NOT_SUBSCRIBED: "has not subscribed to this topic",
    NOT_CONFIRMED: "has not confirmed the subscription to this topic yet",
}
# What a row of the one query is: a suppression, a subscription, a topic that must have been asked for.
KEPT, ASKED, WANTED = "kept", "asked", "wanted"
# Every group of messages that leaves asks this, and composing it anew took longer than the answer. Addresses are one
# parameter, for each one of its own has to be quoted.
_EACH: Final[Mapping[str, str]] = {
    "postgresql": "SELECT json_array_elements_text(%s::json)",
    "sqlite": "SELECT value FROM json_each(%s)",
}
_KEPT: Final = f"""
SELECT '{KEPT}', topic, address, reason FROM crm_suppression
 WHERE team_id = %s AND address IN ({{each}}) AND topic IN ('', %s)
"""  # noqa: S608
_CHOSEN: Final = f"""
UNION ALL
SELECT '{ASKED}', topic, address, state FROM crm_subscription
 WHERE team_id = %s AND address IN ({{each}}) AND topic = %s
UNION ALL
SELECT '{WANTED}', key, name, key FROM crm_topic WHERE team_id = %s AND key = %s AND (confirm OR NOT default_on)
"""  # noqa: S608


def suppressed(*, team_id: int, addresses: Collection[str], topic: str) -> dict[str, str]:
    """Reason by lower-case address, for those that may not get mail of `topic`; one query.

    A suppression without a topic stops everything; one with a topic stops that topic only. A topic that is off by
    default, or asks for confirmation, is for those alone who subscribed, and confirmed.
    """
    wanted = {address.strip().lower() for address in addresses}
    if not wanted:
        return {}
    erased = {form: address for address in wanted for form in forms_of(address)[1:]}
    mine, either = json.dumps(sorted(wanted)), json.dumps(sorted({*wanted, *erased}))
    parameters: list[int | str] = [team_id, either, topic]
    if topic:
        parameters += [team_id, mine, topic, team_id, topic]
    with connection.cursor() as cursor:
        cursor.execute((f"{_KEPT}{_CHOSEN}" if topic else _KEPT).format(each=_EACH[connection.vendor]), parameters)
        rows = cursor.fetchall()
    return _reasons([(what, key, erased.get(address, address), reason) for what, key, address, reason in rows], wanted)


def hashed(address: str) -> str:
    """How a suppression names somebody who is erased: it holds, and tells nobody who they were."""
    return _hashed(address.strip().lower(), str(settings.SECRET_KEY))


def forms_of(address: str) -> tuple[str, ...]:
    """The address as suppressions have it, of a known person and of one who was erased, under this key or another."""
    lower = address.strip().lower()
    keys = dict.fromkeys(str(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    return lower, *(_hashed(lower, key) for key in keys)


def _hashed(lower: str, key: str) -> str:
    return "erased:" + hmac.digest(key.encode(), f"suppression:{lower}".encode(), hashlib.sha256).hex()


def kept_rows(*, team_id: int, addresses: Collection[str]) -> list[Suppression]:
    """What is kept from these addresses, by topic; rows of those who were erased name the address again. One statement.

    The rows are to be read, not saved.
    """
    spelled = {form: each.strip().lower() for each in addresses if each.strip() for form in forms_of(each)}
    rows = list(Suppression.objects.filter(team_id=team_id, address__in=spelled).order_by("topic", "pk"))
    for row in rows:
        row.address = spelled[row.address]
    # Somebody may have refused twice and been erased in between, or under two keys.
    return list({(row.topic, row.address): row for row in reversed(rows)}.values())[::-1]


def _reasons(rows: Sequence[tuple[str, str, str, str]], wanted: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    if any(what == WANTED for what, *_ in rows):
        states = {address: state for what, _, address, state in rows if what == ASKED}
        found = {each: NOT_SUBSCRIBED if each not in states else NOT_CONFIRMED for each in wanted}
        found = {each: reason for each, reason in found.items() if states.get(each) != Subscription.State.ON}
    # A general suppression is named before one of the topic.
    kept = sorted((row for row in rows if row[0] == KEPT), key=lambda row: row[1], reverse=True)
    return found | {address: reason for _, _, address, reason in kept}


def in_words(reason: str) -> str:
    """Why somebody gets nothing, as the rest of a sentence about the recipient."""
    return WORDS.get(reason, f"is on the suppression list ({reason})")


def suppress_bounced(addresses: Collection[tuple[int, str]], *, source: str, topic: str = "") -> None:
    """Keep messages of a topic, or all, from these (team, address), which nobody answers to; two statements at most."""
    rows = [
        Suppression(
            team_id=team_id,
            address=address.strip().lower(),
            topic=topic,
            reason=Suppression.Reason.BOUNCED,
            source=source,
        )
        for team_id, address in dict.fromkeys(addresses)
    ]
    with transaction.atomic():
        Suppression.objects.bulk_create(rows, ignore_conflicts=True)
        _tell([(row.team_id, row.address, topic) for row in rows], Suppression.Reason.BOUNCED)


def suppress(*, team_id: int, address: str, topic: str, reason: str, source: str = "") -> bool:
    """Store a suppression; True when it is new. Storing it again changes nothing."""
    with transaction.atomic():
        row, created = Suppression.objects.get_or_create(
            team_id=team_id,
            address=address.strip().lower(),
            topic=topic,
            defaults={"reason": reason, "source": source[:200]},
        )
        if created:
            _tell([(team_id, row.address, topic)], reason)
    return created


def _tell(addresses: Sequence[tuple[int, str, str]], reason: str) -> None:
    """Let the apps above know."""
    addresses_suppressed.send(sender=Suppression, addresses=addresses, reason=str(reason))
