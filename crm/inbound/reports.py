"""What providers report about letters, and what people reply to them: each once, in whatever order it comes."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction

from crm.happenings import Kind, note, place_of
from crm.messages import decide_message
from crm.models import Integration, Message, OptIn, Suppression
from crm.opt_in import say
from crm.suppression import suppress

ARRIVED: Final = frozenset({Kind.SENT.value, Kind.DELIVERED.value, Kind.READ.value})
LOST: Final = frozenset({Kind.FAILED.value, Kind.UNDELIVERED.value})
# As carriers ask for it, and in the words people use; anything longer is an answer like any other.
STOP: Final = frozenset({
    "stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "optout", "opt out", "revoke", "arret",
    "arrêt", "abmelden", "stopp",
})  # fmt: skip
START: Final = frozenset({"start", "unstop", "subscribe"})
LONGEST: Final = 2_000
_REST: Final = re.compile(r"[\s.!]+$")


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a letter. `message` is what we gave the provider to name it by, `reference` its own id."""

    kind: str
    message: str
    reference: str
    code: str = ""
    detail: str = ""
    # The number does not exist or takes no messages of this channel.
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What somebody wrote to the team's number; `address` is a number such as +4915112345678."""

    address: str
    text: str
    reference: str
    # What the provider says that the words mean: stop, start, or nothing.
    meaning: str = ""


def take_report(*, integration: Integration, channel: str, report: Report, now: datetime) -> bool:
    """Note what became of a letter of this team; False when it is unknown or was known before."""
    with transaction.atomic():
        message = _message(integration.team_id, channel, report)
        if message is None:
            return False
        if not note(message, report.kind, human=report.kind == Kind.READ, reason=report.code, at=now):
            return False
        _change(message, report, now)
        if report.gone:
            suppress(
                team_id=message.team_id, address=message.recipient, topic=channel,
                reason=Suppression.Reason.BOUNCED, source=f"report: {report.code} {report.detail}".strip(),
            )  # fmt: skip
    return True


def _message(team_id: int, channel: str, report: Report) -> Message | None:
    """Locked, so that two reports, or a report and the answer of the provider, come one after the other."""
    rows = Message.objects.filter(team_id=team_id, channel=channel).select_for_update()
    if report.message.isascii() and report.message.isdigit() and len(report.message) < 18:
        found = rows.filter(pk=int(report.message)).first()
        if found is not None:
            return found
    return rows.filter(message_id=report.reference).first() if report.reference else None


def _change(message: Message, report: Report, now: datetime) -> None:
    uncertain = message.state == Message.State.UNCERTAIN
    if uncertain and message.decided_at is None:
        # The provider knows it, so it has it: nobody need decide any more.
        decide_message(message=message, decision="accept", user=None, now=now)
    if report.kind in ARRIVED and uncertain:
        Message.objects.filter(pk=message.pk).update(
            state=Message.State.SENT, sent_at=now, message_id=report.reference[:200]
        )
    elif report.kind in LOST and message.state in (Message.State.SENT, Message.State.UNCERTAIN):
        told = f"{report.code} {report.detail}".strip() or "The provider could not deliver it."
        Message.objects.filter(pk=message.pk).update(
            state=Message.State.FAILED, reason=report.kind, error=told[:400], message_id=report.reference[:200]
        )


def take_reply(*, integration: Integration, channel: str, reply: Reply, now: datetime) -> str:
    """Heed a reply: stop and start change the consent, anything else wakes who waits; says which it was."""
    meaning = reply.meaning or meaning_of(reply.text)
    if meaning in ("stop", "start") and channel in OptIn.Channel.values:
        new = say(
            team_id=integration.team_id, channel=channel, address=reply.address, granted=meaning == "start",
            source=f"reply: {reply.text.strip()[:40]}", now=now, reference=reply.reference,
        )  # fmt: skip
        return meaning if new else "known"
    with transaction.atomic():
        rows = Message.objects.filter(
            team_id=integration.team_id, channel=channel, recipient=reply.address, sent_at__isnull=False
        )
        message = rows.order_by("-pk").first()
        if message is None:
            return "unrelated"
        # Somebody may answer one message several times; the same answer told again changes nothing.
        place = place_of(reply.reference) if reply.reference else 0
        new = note(message, Kind.REPLIED, place=place, human=True, text=reply.text[:LONGEST], at=now)
    return "replied" if new else "known"


def meaning_of(text: str) -> str:
    """`stop`, `start`, or nothing."""
    word = _REST.sub("", text.strip().lower())
    if word in STOP:
        return "stop"
    return "start" if word in START else ""
