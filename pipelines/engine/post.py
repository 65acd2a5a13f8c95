"""Messages on their way out: suppression checked in the transaction that hands them over, then one connection."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from mimetypes import guess_type
from pathlib import PurePosixPath

from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import default_storage
from django.core.mail import EmailMessage
from django.db import transaction

from crm.channels.base import DeliveryResult, Refused
from crm.channels.email import EmailContent, InvalidMessage, Mailer, build
from crm.faults import point, register
from crm.mail_links import fill_places
from crm.models import Message, Team
from crm.preferences import preferences_url
from crm.suppression import suppressed
from crm.tracking.links import tracked_html
from crm.unsubscribe import unsubscribe_url
from pipelines.engine.holding import Hold, holds
from pipelines.engine.leases import keep_waiting, mark_sending, watch_later
from pipelines.engine.letters import letters_unwanted
from pipelines.engine.settle import Result, Skipped
from pipelines.engine.task_links import fill_links
from pipelines.engine.unheard import commit_unheard
from pipelines.models import Effect
from pipelines.subjects import among

Ready = tuple[Effect, Message]
# What keeps messages that may leave, by the id of their effect.
Gate = Callable[[Sequence[Ready]], dict[int, Hold]]

register("in_marking", "what keeps messages was looked up, none is marked as leaving", in_transaction=True)


def _open(ready: Sequence[Ready]) -> dict[int, Hold]:
    return {}


class Post:
    """One round of mail over one connection."""

    def __init__(self) -> None:
        self._mailer = Mailer()

    def open(self) -> Refused | None:
        return self._mailer.open()

    def close(self) -> None:
        self._mailer.close()

    def start(self, effects: Sequence[Effect], *, now: datetime) -> tuple[list[Ready], list[tuple[Effect, Result]]]:
        """Mark messages as being sent, in the same transaction that looks for what keeps them."""
        return start_messages(effects, now=now)

    def send(self, ready: Sequence[Ready], *, until: float) -> Iterator[tuple[Effect, DeliveryResult]]:
        """Hand messages over one by one until `until` on the monotonic clock, at least one.

        Those that are not answered for were not begun: without a connection none is, so that an outage in the
        middle costs one attempt at most. A message that cannot be built is refused for good.
        """
        for index, (effect, message) in enumerate(ready):
            if index and time.monotonic() >= until:
                return
            mail = built(message)
            if isinstance(mail, Refused):
                yield effect, mail
                continue
            result = next(self._mailer.deliver([mail]))
            yield effect, result
            if isinstance(result, Refused) and result.code == "connection":
                return


def start_messages(
    effects: Sequence[Effect], *, now: datetime, kept: Gate = _open
) -> tuple[list[Ready], list[tuple[Effect, Result]]]:
    """Mark messages as being handed over, in the same transaction that looks for suppressions and sending rules.

    `kept` says what else keeps some of those that may leave.
    """
    with transaction.atomic():
        mine = mark_sending(effects)
        messages = read_messages([int(effect.payload["message"]) for effect in mine])
        unwanted = letters_unwanted(list(messages.values()))
        reasons = _reasons(list(messages.values()))
        point("in_marking", then=commit_unheard)
        ready: list[Ready] = []
        skipped: list[tuple[Effect, Result]] = []
        for effect in mine:
            message = messages[effect.payload["message"]]
            reason = reasons.get((message.team_id, message.topic, message.recipient.lower()))
            if message.pk in unwanted:
                skipped.append((effect, Skipped(*unwanted[message.pk])))
            elif reason is None:
                ready.append((effect, message))
            else:
                skipped.append((effect, Skipped(reason)))
        # What a provider cannot take uses up no pace and no cap.
        held = kept(ready)
        held |= holds([each for each in ready if each[0].pk not in held] if held else ready, now=now)
        later = [(effect, hold.until, hold.rule) for effect, _ in ready if (hold := held.get(effect.pk)) and hold.until]
        skipped += [
            (effect, Skipped(hold.code, f"Not sent: {hold.rule}."))
            for effect, _ in ready
            if (hold := held.get(effect.pk)) and hold.until is None
        ]
        ready = [(effect, message) for effect, message in ready if effect.pk not in held]
        keep_waiting(later)
        sending = [message.pk for _, message in ready]
        Message.objects.filter(pk__in=among(sending)).update(state=Message.State.SENDING)
    watch_later([(effect, until) for effect, until, _ in later])
    return ready, skipped


def read_messages(ids: Sequence[int]) -> dict[int, Message]:
    """Messages with their teams, of which there are few."""
    messages = {message.pk: message for message in Message.objects.filter(pk__in=among(ids))}
    teams = Team.objects.in_bulk({message.team_id for message in messages.values()})
    for message in messages.values():
        message.team = teams[message.team_id]
    return messages


def _reasons(messages: Sequence[Message]) -> dict[tuple[int, str, str], str]:
    groups: dict[tuple[int, str], set[str]] = {}
    for message in messages:
        groups.setdefault((message.team_id, message.topic), set()).add(message.recipient)
    return {
        (team_id, topic, address): reason
        for (team_id, topic), addresses in groups.items()
        for address, reason in suppressed(team_id=team_id, addresses=addresses, topic=topic).items()
    }


def built(message: Message) -> EmailMessage | Refused:
    """A stored message as mail; refused for good when it cannot be built."""
    try:
        return build(content_of(message))
    except (InvalidMessage, OSError, SuspiciousOperation) as error:
        return Refused(code="validation", detail=str(error)[:400], permanent=True, retry_after=None)


def content_of(message: Message) -> EmailContent:
    """A stored message as what the mail channel sends; raises OSError for a missing attachment."""
    link = ""
    if message.topic:
        link = unsubscribe_url(team_id=message.team_id, address=message.recipient, topic=message.topic)
    text, html = _with_links(message, link)
    if _is_about_a_task(message):
        text, html = fill_links(text), fill_links(html)
    else:
        html = tracked_html(message, html)
    return EmailContent(
        to=message.recipient,
        subject=message.subject,
        text=text,
        html=html,
        from_email=message.sender,
        reply_to=message.reply_to,
        message_id=message.message_id,
        headers=message.headers,
        attachments=tuple(_attachment(item, team=message.team.slug) for item in message.attachments),
        unsubscribe_url=link,
    )


def _is_about_a_task(message: Message) -> bool:
    """Mail that no author wrote: it belongs to a run, but is not the message of a visit.

    Only this gets links that stand for a person.
    """
    return message.run_id is not None and message.run_seq is None


def _with_links(message: Message, link: str) -> tuple[str, str]:
    """The bodies with the links of their reader, and a visible way out below mail that can be unsubscribed."""

    def choose() -> str:
        return preferences_url(team_id=message.team_id, address=message.recipient)

    links = {"preferences": choose, "unsubscribe": lambda: link or choose()}
    text, html = fill_places(message.text, links), fill_places(message.html, links)
    return _with_footer(text, html, link, choose) if link else (text, html)


def _with_footer(text: str, html: str, link: str, choose: Callable[[], str]) -> tuple[str, str]:
    """Unless the text already has one; a link to the preferences is no way out by one click."""
    preferences = choose()
    if link not in text:
        text = f"{text.rstrip()}\n\n--\nUnsubscribe: {link}\nChoose what you get: {preferences}\n"
    if html and link not in html:
        ways = f'<a href="{link}">Unsubscribe</a> · <a href="{preferences}">Choose what you get</a>'
        footer = f'<p style="font-size:12px;color:#666">{ways}</p>'
        body, tag, rest = html.rpartition("</body>")
        html = f"{body}{footer}{tag}{rest}" if tag else f"{html}{footer}"
    return text, html


def _attachment(item: dict[str, str], *, team: str) -> tuple[str, bytes, str]:
    """A file of the team: references are read below `attachments/<team>/` of the storage and nowhere else."""
    path = PurePosixPath(item["file"])
    if path.is_absolute() or ".." in path.parts:
        raise InvalidMessage("The attachment is not a file of this team.")
    name = item.get("name") or path.name
    with default_storage.open(f"attachments/{team}/{path}") as file:
        return name, file.read(), guess_type(name)[0] or "application/octet-stream"
