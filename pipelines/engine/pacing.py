"""What people got and what left lately, read and kept in a fixed number of statements."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from django.db.models import Q

from crm.models import Message
from pipelines.definition.pacing import DEFAULT_PRIORITY, Bucket, Rate, cap_opens
from pipelines.models import Effect, EngineState

State = Message.State
# Handed over, or perhaps: nobody knows better until it is settled.
_ON_ITS_WAY = (State.SENDING, State.UNCERTAIN)


def about_people(messages: Iterable[Message]) -> Q:
    """Messages to the same addresses or about the same records as these."""
    found = Q(recipient__in={message.recipient for message in messages})
    kinds: dict[int, set[int]] = {}
    for message in messages:
        if message.about_type_id is not None and message.about_id is not None:
            kinds.setdefault(message.about_type_id, set()).add(message.about_id)
    for kind, ids in kinds.items():
        found |= Q(about_type_id=kind, about_id__in=ids)
    return found & Q(team_id__in={message.team_id for message in messages}) & ~Q(topic="")


class Received:
    """When the people of some messages got others, whatever pipeline, channel or record those belong to."""

    def __init__(
        self, messages: Sequence[Message], *, since: datetime, now: datetime, priorities: Mapping[int, int]
    ) -> None:
        self._now = now
        self._times: dict[tuple[object, ...], dict[int, datetime]] = {}
        self._behind: dict[tuple[object, ...], dict[int, int]] = {}
        sent = Message.objects.filter(about_people(messages)).filter(
            Q(state=State.SENT, sent_at__gt=since) | Q(state__in=_ON_ITS_WAY, created_at__gt=since)
        )
        for other in sent.only("pk", "team_id", "recipient", "about_type_id", "about_id", "sent_at", "created_at"):
            self._note(other, other.sent_at or other.created_at)
        if min(priorities.values(), default=9) < 9:
            self._note_contenders(messages)

    def _note(self, message: Message, at: datetime) -> None:
        for key in _keys(message):
            self._times.setdefault(key, {})[message.pk] = at

    def _note_contenders(self, messages: Sequence[Message]) -> None:
        """Messages to the same people that could leave now as well and are not at this gate."""
        mine = [message.pk for message in messages]
        rows = Message.objects.filter(about_people(messages), state=State.QUEUED).exclude(pk__in=mine)
        others = {row.pk: row for row in rows.only("pk", "team_id", "recipient", "about_type_id", "about_id", "run_id")}
        if not others:
            return
        effects = Effect.objects.filter(
            run_id__in={row.run_id for row in others.values() if row.run_id is not None},
            status__in=(Effect.Status.QUEUED, Effect.Status.LEASED),
            available_at__lte=self._now,
        )
        for payload in effects.values_list("payload", flat=True):
            other = others.get(payload.get("message", 0))
            if other is not None:
                for key in _keys(other):
                    self._behind.setdefault(key, {})[other.pk] = int(payload.get("priority", DEFAULT_PRIORITY))

    def opens(self, message: Message, priority: int, caps: Sequence[Rate]) -> tuple[datetime, Rate, bool] | None:
        """When one more may go to this person, the cap, and whether others go first; None for now."""
        times: dict[int, datetime] = {}
        first: set[int] = set()
        for key in _keys(message):
            times |= self._times.get(key, {})
            first |= {pk for pk, other in self._behind.get(key, {}).items() if other > priority}
        found = cap_opens(list(times.values()), caps, self._now)
        if found is not None:
            return (*found, False)
        found = cap_opens([*times.values(), *(self._now for pk in first if pk not in times)], caps, self._now)
        return None if found is None else (*found, True)

    def add(self, message: Message) -> None:
        """This one leaves now, and counts for the next."""
        self._note(message, self._now)


def _keys(message: Message) -> list[tuple[object, ...]]:
    """What tells that two messages are to the same person."""
    keys: list[tuple[object, ...]] = [(message.team_id, message.recipient.lower())]
    if message.about_type_id is not None:
        keys.append((message.team_id, message.about_type_id, message.about_id))
    return keys


class Pace:
    """How many of each channel may leave now; kept between rounds, one worker at a time."""

    def __init__(self, rates: Mapping[tuple[int, str], Rate], *, now: datetime) -> None:
        self._rates, self._now = rates, now
        if any(team_id == 0 for team_id, _ in rates):
            # Of all teams together no rules are locked, so there must be a row.
            EngineState.objects.bulk_create([EngineState(name=name) for name in _names(rates)], ignore_conflicts=True)
        rows = EngineState.objects.filter(name__in=_names(rates)).order_by("name").select_for_update()
        stored = dict(rows.values_list("name", "data"))
        self._buckets = {key: Bucket.of(stored.get(_name(*key)), rate=rate, now=now) for key, rate in rates.items()}

    def take(self, keys: Sequence[tuple[int, str]]) -> tuple[tuple[int, str], datetime] | None:
        """None when one may leave by all of these; else the one that keeps it, and when it should ask again."""
        for index, key in enumerate(keys):
            until = self._buckets[key].take(self._rates[key])
            if until is not None:
                for earlier in keys[:index]:
                    self._buckets[earlier].give_back()
                return key, until
        return None

    def save(self) -> None:
        rows = [EngineState(name=_name(*key), at=self._now, data=each.stored()) for key, each in self._buckets.items()]
        EngineState.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["name"], update_fields=["at", "data"]
        )


def _names(keys: Collection[tuple[int, str]]) -> list[str]:
    return sorted(_name(team_id, channel) for team_id, channel in keys)


def _name(team_id: int, channel: str) -> str:
    return f"pace:{team_id}:{channel}"
