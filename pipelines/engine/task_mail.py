"""The mail that tells somebody of a task, and reminds of it: a message and its effect, beside the visit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import formataddr, parseaddr
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from crm.message_ids import message_id
from crm.models import Message
from pipelines.engine.programs import TeamFacts
from pipelines.engine.store import PortableStore
from pipelines.engine.task_links import TaskLink
from pipelines.models import Effect

# A link without a deadline works for so long after the mail it came with.
LINK_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class TaskLetter:
    """Everything one mail about one task says."""

    team: TeamFacts
    pipeline: str
    run_id: int
    seq: int
    n: int
    step_id: int | None
    subject_type_id: int | None
    subject_id: int | None
    human_id: int
    user_id: int
    recipient: str
    title: str
    description: str
    about: str
    due_at: datetime | None
    expires_at: datetime | None
    # Of a test run: kept as captured, and never sent.
    test: bool = False

    @property
    def reminds(self) -> bool:
        return self.n > 0


def send_letters(store: PortableStore, letters: Sequence[TaskLetter], *, now: datetime) -> None:
    """Queue the mails, two inserts for all; the caller sees to it that each is asked for once.

    Nobody waits for these effects: the negative number of their visit keeps their answers from the run.
    """
    if not letters:
        return
    ids = store.create_rows(Message, [_message(letter, now) for letter in letters])
    sent = [(letter, pk) for letter, pk in zip(letters, ids, strict=True) if not letter.test]
    if not sent:
        return
    store.insert_effects(
        [
            Effect(
                run_id=letter.run_id,
                seq=-letter.seq,
                n=letter.n,
                kind=Effect.Kind.EMAIL.value,
                at_most_once=True,
                available_at=now,
                created_at=now,
                payload={"message": pk},
            )
            for letter, pk in sent
        ]
    )


def _message(letter: TaskLetter, now: datetime) -> dict[str, Any]:
    team = letter.team
    sender = formataddr((team.sender_name, team.sender_email)) if team.sender_email else settings.DEFAULT_FROM_EMAIL
    domain = settings.MAIL_DOMAIN or parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    context = _context(letter, now)
    return {
        "team_id": team.id,
        "recipient": letter.recipient[:254],
        "sender": sender[:320],
        "reply_to": team.reply_to[:320],
        "subject": " ".join(f"{'Reminder: ' if letter.reminds else ''}{letter.title}".split())[:500],
        "text": _rendered("pipelines/mail/task.txt", context).strip() + "\n",
        "html": _rendered("pipelines/mail/task.html", context),
        "topic": "",
        "headers": {"Auto-Submitted": "auto-generated"},
        "message_id": message_id(run_id=letter.run_id, seq=-letter.seq, n=letter.n, domain=domain),
        "about_type_id": letter.subject_type_id,
        "about_id": letter.subject_id,
        "run_id": letter.run_id,
        "step_id": letter.step_id,
        # Several may belong to one visit.
        "run_seq": None,
        "state": (Message.State.CAPTURED if letter.test else Message.State.QUEUED).value,
        "created_at": now,
    }


def _rendered(template: str, context: Mapping[str, Any]) -> str:
    """Templates tell times by the clock of the thread, which is another one in a worker than in a request."""
    with timezone.override(ZoneInfo(context["zone"])):
        return render_to_string(template, dict(context))


def _context(letter: TaskLetter, now: datetime) -> dict[str, Any]:
    until = letter.expires_at or now + timedelta(days=LINK_DAYS)
    return {
        "letter": letter,
        "link": TaskLink(letter.human_id, letter.user_id, until).place,
        "due": letter.due_at,
        "until": until,
        "zone": letter.team.timezone,
        "is_late": bool(letter.due_at and letter.due_at < now),
    }
