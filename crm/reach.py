"""Whether a person may be reached over each channel, and why: in sentences for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from crm.channels.letters import NAMES, e164
from crm.integrations import enabled_by_channel
from crm.models import Device, Integration, OptIn, Subscription, Suppression, Topic
from crm.opt_in import country_of
from crm.suppression import WORDS, kept_rows

LABELS: Final[Mapping[str, str]] = {"email": "Email", "sms": "SMS", "whatsapp": "WhatsApp", "push": "Push"}
BY_NUMBER: Final = ("sms", "whatsapp")
NO_COUNTRY: Final = "{number} has no country: write it as +4915112345678, or set the country of the channel."


@dataclass(frozen=True, slots=True)
class Way:
    """One channel to one person: whether messages with a topic may take it, and the sentence that says why."""

    channel: str
    open: bool
    says: str

    @property
    def label(self) -> str:
        return LABELS[self.channel]


@dataclass(frozen=True, slots=True)
class Person:
    """By what somebody can be reached: an address, a number as it was written, and registered devices."""

    team_id: int
    email: str = ""
    phone: str = ""
    devices: Sequence[Device] = ()


@dataclass(frozen=True, slots=True)
class Reach:
    """The ways to a person, and the rows that close some of them."""

    ways: Sequence[Way]
    suppressions: Sequence[Suppression]
    refused_devices: frozenset[str]


def reach_of(person: Person) -> Reach:
    """Every way to somebody; six statements."""
    team_id, address = person.team_id, person.email.strip().lower()
    rows = enabled_by_channel(team_id)
    numbers = {name: e164(person.phone, country=country_of(rows.get(name, ()))) for name in BY_NUMBER}
    tokens = [device.token for device in person.devices]
    kept = kept_rows(team_id=team_id, addresses={address, *numbers.values(), *tokens})
    said = _said(team_id, {*numbers.values(), *tokens} - {""})
    ways = [_mail(team_id, address, [row for row in kept if row.address == address])]
    for name in BY_NUMBER:
        mine = [row for row in kept if row.address == numbers[name] and row.topic in ("", name)]
        choice = said.get((name, numbers[name]))
        ways.append(_letter(name, person.phone, numbers[name], mine, choice, rows.get(name, ())))
    refused = {token for token in tokens if (choice := said.get(("push", token))) and not choice.granted}
    refused |= {token for token in tokens if any(r.address == token.lower() and r.topic in ("", "push") for r in kept)}
    ways.append(_push(tokens, refused, rows.get("push", ())))
    return Reach(ways, kept, frozenset(refused))


def _said(team_id: int, addresses: Iterable[str]) -> dict[tuple[str, str], OptIn]:
    """The last choice by channel and address."""
    rows = OptIn.objects.filter(team_id=team_id, address__in=set(addresses)).order_by("pk")
    return {(row.channel, row.address): row for row in rows}


def _mail(team_id: int, address: str, kept: Sequence[Suppression]) -> Way:
    if not address:
        return Way("email", False, "No email address.")
    everything = next((row for row in kept if not row.topic), None)
    if everything is not None:
        return Way("email", False, f"No: {_why(everything)}. Nothing is sent to this address.")
    stopped = {row.topic: _why(row) for row in kept}
    names = {}
    states = dict(Subscription.objects.filter(team_id=team_id, address=address).values_list("topic", "state"))
    goes: list[str] = []
    for topic in Topic.objects.filter(team_id=team_id).order_by("name"):
        names[topic.key] = topic.name
        state = states.get(topic.key)
        if state is None and not topic.default_on:
            stopped.setdefault(topic.key, WORDS["not_subscribed"])
        elif topic.confirm and state != Subscription.State.ON:
            stopped.setdefault(topic.key, WORDS["not_confirmed" if state else "not_subscribed"])
        elif topic.key not in stopped:
            goes.append(topic.name)
    if not stopped:
        return Way("email", True, "Yes, for every topic.")
    without = "; ".join(f"not {names.get(key, key)}: {why}" for key, why in sorted(stopped.items()))
    says = f"Yes, for {', '.join(goes)}" if goes else "Only mail that cannot be unsubscribed"
    return Way("email", bool(goes), f"{says} ({without}).")


def _letter(
    name: str, phone: str, number: str, kept: Sequence[Suppression], choice: OptIn | None, rows: Sequence[Integration]
) -> Way:
    if not phone.strip():
        return Way(name, False, "No phone number.")
    if not number:
        return Way(name, False, f"No: {NO_COUNTRY.format(number=phone.strip())}")
    if kept:
        return Way(name, False, f"No: {_why(kept[0])}.")
    if choice is not None and not choice.granted:
        return Way(name, False, f"No: withdrawn on {_when(choice)}.")
    closed = _nobody_carries(name, rows)
    if closed:
        return Way(name, False, closed)
    if choice is not None:
        return Way(name, True, f"Yes: agreed on {_when(choice)}.")
    if any(row.asks_consent for row in rows):
        return Way(name, False, f"No: has not agreed to get {NAMES[name]}.")
    return Way(name, True, "Yes: this channel does not ask for consent.")


def _push(tokens: Sequence[str], refused: set[str], rows: Sequence[Integration]) -> Way:
    if not tokens:
        return Way("push", False, "No device is registered.")
    left = len(tokens) - len(refused)
    closed = "No: withdrawn on every device." if not left else _nobody_carries("push", rows)
    if closed:
        return Way("push", False, closed)
    return Way("push", True, f"Yes: {left} {'device' if left == 1 else 'devices'}; who registers one agrees.")


def _nobody_carries(name: str, rows: Sequence[Integration]) -> str:
    if rows or settings.MESSAGE_CHANNELS.get(name):
        return ""
    return f"No: this team has nothing that carries {NAMES[name]}; add it under Channels."


def _why(row: Suppression) -> str:
    return f"{row.get_reason_display().lower()} on {row.created_at:%-d %B %Y}{_from(row.source)}"


def _when(choice: OptIn) -> str:
    return f"{choice.at:%-d %B %Y}{_from(choice.source)}"


def _from(source: str) -> str:
    return f" ({source})" if source else ""
