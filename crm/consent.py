"""Choices of people about topics: each is written into the history in the transaction that makes it hold."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from crm.models import ConsentEntry, Message, MessageTemplate, Subscription, Suppression, Topic
from crm.signals import mail_waits, topic_subscribed
from crm.suppression import forms_of, suppress

# A confirmation mail leaves at most so often, not sooner than so long after the one before; then its link is dead.
MOST_ASKS: Final = 3
BETWEEN_ASKS: Final = timedelta(minutes=10)
EXPIRES: Final = timedelta(days=7)
# The topic of messages whose author named none.
USUAL: Final = "marketing"
Kind = ConsentEntry.Kind
State = Subscription.State
OFF: Final = "off"


@dataclass(frozen=True, slots=True)
class Act:
    """When and how a choice was made; `who` is empty for the reader, `wording` what was agreed to.

    `by_reader` says that nobody but the reader can have done it: by a link that only their mail has.
    """

    at: datetime
    how: str
    who: str = ""
    wording: str = ""
    by_reader: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """What an address gets: a state by key of topic, and why it gets nothing at all."""

    states: Mapping[str, str]
    stopped: str = ""


def choices(*, team_id: int, address: str) -> Choices:
    """`on`, `off` or `pending` for every topic of the team; three statements."""
    address = address.strip().lower()
    kept = dict(
        Suppression.objects.filter(team_id=team_id, address__in=forms_of(address)).values_list("topic", "reason")
    )
    asked = dict(Subscription.objects.filter(team_id=team_id, address=address).values_list("topic", "state"))
    states = {}
    for topic in Topic.objects.filter(team_id=team_id):
        usual = State.ON.value if topic.default_on and not topic.confirm else OFF
        state = asked.get(topic.key, usual)
        blocked = topic.key in kept or "" in kept
        states[topic.key] = OFF if blocked and state == State.ON else state
    return Choices(states, kept.get("", ""))


@transaction.atomic
def subscribe(*, team_id: int, address: str, topic: str, act: Act) -> str:
    """The state from now on: `on`, or `pending` until the link in the mail that leaves now was confirmed.

    Who unsubscribed comes back by their own hand alone: others can only make them be asked.
    """
    address = address.strip().lower()
    row = Topic.objects.filter(team_id=team_id, key=topic).first()
    if row is not None and not act.wording:
        act = replace(act, wording=row.wording)
    gone = not act.by_reader and _unsubscribed(team_id, address, topic)
    if row is None and gone:
        return OFF
    if row is None or not (row.confirm or gone):
        _switch_on(team_id, address, topic, act, Kind.SUBSCRIBED)
        return State.ON.value
    mine = {"team_id": team_id, "address": address, "topic": topic}
    wanted, new = Subscription.objects.select_for_update().get_or_create(**mine, defaults={"asked_at": act.at})
    if wanted.state == State.ON and not _is_off(team_id, address, topic):
        return State.ON.value
    if wanted.state == State.ON or act.at - wanted.asked_at >= EXPIRES:
        wanted.asks = 0
    early = not new and wanted.asks and act.at - wanted.asked_at < BETWEEN_ASKS
    if wanted.asks < MOST_ASKS and not early:
        wanted.state, wanted.asks, wanted.asked_at, wanted.mail_at = State.PENDING, wanted.asks + 1, act.at, act.at
        wanted.wording = act.wording
        wanted.save()
        _write(team_id, address, topic, Kind.ASKED, act)
        transaction.on_commit(lambda: mail_waits.send(sender=Subscription))
    return State.PENDING.value


@transaction.atomic
def confirm(*, subscription: int, asked_at: datetime, act: Act) -> bool:
    """The reader confirmed; False when the wish is no longer there or the link is too old."""
    row = Subscription.objects.select_for_update().filter(pk=subscription).first()
    if row is None or (row.state == State.PENDING and act.at - asked_at >= EXPIRES):
        return False
    if row.state == State.PENDING:
        said = Act(act.at, act.how, act.who, row.wording)
        _switch_on(row.team_id, row.address, row.topic, said, Kind.CONFIRMED)
    return True


@transaction.atomic
def unsubscribe(*, team_id: int, address: str, topic: str, act: Act) -> bool:
    """Nothing more of a topic, or (empty) of anything; True when that is new."""
    address = address.strip().lower()
    reason = Suppression.Reason.UNSUBSCRIBED
    new = suppress(team_id=team_id, address=address, topic=topic, reason=reason, source=act.how)
    rows = Subscription.objects.filter(team_id=team_id, address=address)
    (rows.filter(topic=topic) if topic else rows.filter(state=State.PENDING)).delete()
    if new:
        _write(team_id, address, topic, Kind.UNSUBSCRIBED, act)
    return new


def _switch_on(team_id: int, address: str, topic: str, act: Act, kind: ConsentEntry.Kind) -> None:
    _only_this_again(team_id, address, topic)
    mine = Suppression.objects.filter(team_id=team_id, address__in=forms_of(address), topic=topic)
    resumed = mine.filter(reason=Suppression.Reason.UNSUBSCRIBED).delete()[0] > 0
    row, new = Subscription.objects.get_or_create(
        team_id=team_id, address=address, topic=topic,
        defaults={"state": State.ON, "asked_at": act.at, "confirmed_at": act.at, "wording": act.wording},
    )  # fmt: skip
    if not new and (row.state != State.ON or resumed):
        row.state, row.confirmed_at, row.mail_at, row.wording = State.ON, act.at, None, act.wording
        row.save()
    elif not new:
        return
    _write(team_id, address, topic, kind, act)
    topic_subscribed.send(sender=Subscription, team_id=team_id, address=address, topic=topic)


def _only_this_again(team_id: int, address: str, topic: str) -> None:
    """Who had unsubscribed from everything wants one topic again: all others stay off."""
    unsubscribed = Suppression.Reason.UNSUBSCRIBED
    every = Suppression.objects.filter(team_id=team_id, address__in=forms_of(address), topic="", reason=unsubscribed)
    if not every.delete()[0]:
        return
    known = {USUAL, *Topic.objects.filter(team_id=team_id).values_list("key", flat=True)}
    known |= set(MessageTemplate.objects.filter(team_id=team_id).values_list("topic", flat=True))
    got = Message.objects.filter(team_id=team_id, recipient=address).exclude(topic="")
    # What a test run has written reached nobody.
    got = got.exclude(state=Message.State.CAPTURED)
    known |= set(got.values_list("topic", flat=True).distinct())
    others = [
        Suppression(team_id=team_id, address=address, topic=each, reason=unsubscribed, source="from everything before")
        for each in sorted(known - {topic, "", "transactional"})
    ]
    Suppression.objects.bulk_create(others, ignore_conflicts=True)


def _is_off(team_id: int, address: str, topic: str) -> bool:
    return Suppression.objects.filter(team_id=team_id, address__in=forms_of(address), topic__in=("", topic)).exists()


def _unsubscribed(team_id: int, address: str, topic: str) -> bool:
    rows = Suppression.objects.filter(team_id=team_id, address__in=forms_of(address), topic__in=("", topic))
    return rows.filter(reason=Suppression.Reason.UNSUBSCRIBED).exists()


def _write(team_id: int, address: str, topic: str, kind: ConsentEntry.Kind, act: Act) -> None:
    ConsentEntry.objects.create(
        team_id=team_id, address=address, topic=topic, kind=kind,
        at=act.at, how=act.how[:60], who=act.who[:150], wording=act.wording,
    )  # fmt: skip
