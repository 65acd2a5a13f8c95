"""Trying a channel out: a real message to an address that somebody names, and what came back in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from crm.channels.base import Delivered, DeliveryResult, Unknown
from crm.channels.email import EmailContent, InvalidMessage, Mailer, build
from crm.channels.letters import NAMES, Letter, channel_for, hand_over
from crm.devices import targets_of
from crm.integrations import channel_made_of, enabled_for
from crm.models import Integration, Message, Team
from crm.opt_in import normal_address
from crm.suppression import suppressed

TESTABLE: Final = ("email", *NAMES)
TITLE: Final = "A test"


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a test: accepted, refused, unknown or not_sent, in a sentence."""

    state: str
    says: str
    reference: str = ""

    @property
    def ok(self) -> bool:
        return self.state == "accepted"


def try_channel(*, team: Team, channel: str, to: str, now: datetime) -> Tried:
    """Send one real message; never raises. Call it with no transaction open.

    Nobody who is suppressed gets even this; consent is not asked for, for who tests writes to themselves.
    """
    rows = enabled_for(channel, [team.pk]).get(team.pk, [])
    address = to.strip()
    if channel != "chat" and not address:
        return Tried("not_sent", "Nothing was sent: name whom the test is to reach.")
    reasons = suppressed(team_id=team.pk, addresses=[normal_address(channel, address) or address], topic=channel)
    if channel != "chat" and reasons:
        return Tried(
            "not_sent", f"Nothing was sent: this address is on the suppression list ({min(reasons.values())})."
        )
    result = _mail(address, team) if channel == "email" else _letter(team, channel, address, rows)
    tried = _told(result)
    Integration.objects.filter(pk__in=[row.pk for row in rows]).update(
        tested_at=now, test_ok=tried.ok, test_result=tried.says[:400]
    )
    return tried


def _letter(team: Team, channel: str, address: str, rows: list[Integration]) -> DeliveryResult:
    target = Message(team=team, channel=channel, recipient=address, headers={}, pk=0)
    letter = Letter(
        channel=channel,
        to=(address or channel,),
        text=f"This is a test of {team.name}.",
        title=TITLE,
        targets=targets_of([target])[0] if channel == "push" else (),
    )
    return hand_over(channel_made_of(rows) if rows else channel_for(channel), letter)


def _mail(address: str, team: Team) -> DeliveryResult | str:
    mailer = Mailer()
    try:
        mail = build(EmailContent(to=address, subject=TITLE, text=f"This is a test of {team.name}."))
    except InvalidMessage as error:
        return str(error)
    refused = mailer.open()
    try:
        return refused or next(iter(mailer.deliver([mail])))
    finally:
        mailer.close()


def _told(result: DeliveryResult | str) -> Tried:
    match result:
        case str():
            return Tried("refused", f"Nothing was sent: {result}")
        case Delivered():
            reference = f" Its id there is {result.reference}." if result.reference else ""
            words = "It was accepted; whether it arrives, the receiver sees."
            return Tried("accepted", words + reference, result.reference)
        case Unknown():
            return Tried("unknown", f"It was handed over and the answer was lost, so it may arrive: {result.detail}")
    later = "" if result.permanent else " This may pass: try again later."
    return Tried("refused", f"Nothing was sent: {result.detail}{later}")
