"""Messages beside email: SMS, push, WhatsApp and chat, each through a channel of the team or of the settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from crm.channels.base import DeliveryResult, Refused
from crm.outside import check_open

NAMES: Final[Mapping[str, str]] = {
    "sms": "SMS",
    "push": "push messages",
    "whatsapp": "WhatsApp messages",
    "chat": "chat messages",
}
LONGEST_ADDRESS: Final = 254
_E164: Final = re.compile(r"\+[1-9][0-9]{7,14}")
_NUMBER: Final = re.compile(r"\+?[0-9]{5,15}")
_SPACING: Final = re.compile(r"[\s()./-]+")
# As people write numbers down, extensions included; only those without one get messages.
_WRITTEN: Final = re.compile(r"\+?[0-9][0-9\s()./-]*(?:\s*(?:x|ext\.?|extension|#)\s*[0-9]{1,8})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """A device of one person: its kind (webpush or fcm), its token, and for a browser where and how to reach it."""

    kind: str
    token: str
    subscription: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Letter:
    """What one person is to receive over a channel; `to` holds a number, or the tokens of their devices.

    `key` is the same for every attempt, so that a provider can discard repeats; `ref` is what its reports name it by.
    """

    channel: str
    to: tuple[str, ...]
    text: str
    title: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    sender: str = ""
    ref: str = ""
    targets: tuple[Target, ...] = ()


class Channel(Protocol):
    """A way to people; one instance serves one round of messages."""

    def deliver(self, letter: Letter) -> DeliveryResult:
        """Hand one letter over; never raises, and says whether it was accepted, refused, or nobody knows."""


def channel_for(name: str) -> Channel | None:
    """The channel that the settings name, None when there is none."""
    dotted = settings.MESSAGE_CHANNELS.get(name, "")
    if not dotted:
        return None
    try:
        made: Channel = import_string(dotted)()
    except ImportError as error:
        raise ImproperlyConfigured(f"{name.upper()}_CHANNEL: there is no {dotted}.") from error
    return made


def hand_over(channel: Channel | None, letter: Letter) -> DeliveryResult:
    """Deliver one letter, or say in a sentence why it cannot be."""
    check_open()
    if channel is None:
        detail = _nobody_sends(letter.channel)
        return Refused(code="validation", detail=detail, permanent=True)
    return channel.deliver(letter)


def _nobody_sends(channel: str) -> str:
    if channel == "chat":
        return "This team has no chat to write to: add one under Channels."
    return f"This installation cannot send {NAMES[channel]}: set {channel.upper()}_CHANNEL."


def e164(text: str, *, country: str = "") -> str:
    """A number as networks want it, such as +4915112345678; empty when it is none.

    Numbers without a country get the calling code `country`, such as +49.
    """
    number = phone_number(text)
    if number.startswith("00"):
        number = f"+{number[2:]}"
    elif number and not number.startswith("+") and country:
        number = f"+{country.lstrip('+')}{number.lstrip('0')}"
    return number if _E164.fullmatch(number) else ""


def dialled(letter: Letter, *, country: str) -> str | Refused:
    """The number a letter goes to, or why it cannot go to any."""
    to = e164(letter.to[0], country=country)
    sentence = "The number has no country: write it as +4915112345678, or set the country of this channel."
    return to or Refused(code="validation", detail=sentence, permanent=True)


NO_NUMBER: Final = "is no phone number: write it with its country, such as +49 151 12345678."


def number_problem(text: str) -> str:
    """What is wrong with a number that somebody wrote down, as a sentence; empty when it can be called."""
    written = text.strip().replace("(", "").replace(")", "")
    digits = sum(character.isdigit() for character in written)
    if _WRITTEN.fullmatch(written) and 1 <= digits <= 23:
        return ""
    return f"“{text.strip()[:40]}” {NO_NUMBER}"


def phone_number(text: str) -> str:
    """A number without its spacing, empty when it is none."""
    number = _SPACING.sub("", text.strip())
    return number if _NUMBER.fullmatch(number) else ""


def device_token(text: str) -> str:
    """The token of a device, empty when it cannot be one."""
    token = text.strip()
    return token if 0 < len(token) <= LONGEST_ADDRESS and token.isprintable() and " " not in token else ""
