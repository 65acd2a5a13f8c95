"""Mail that comes back: bounces and complaints suppress, answers wake runs, and nobody else is touched."""

import json
from collections.abc import Iterator
from email import message_from_string
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.models import Schedule
from pytest_django import Settings

from contacts.models import Contact
from contacts.queries import timeline
from crm.inbound.answers import answer_text
from crm.models import Message, MessageEvent, Suppression, Team
from pipelines.engine.tick import process_due_runs
from pipelines.models import Event, PipelineRun
from pipelines.tasks import ensure_schedule
from tests.pipelines.engine.building import active, email
from tests.sinks.imap import ImapBox

pytestmark = pytest.mark.django_db
WAIT: dict[str, Any] = {
    "type": "wait_for", "timeout": "2d", "on": {"timeout": "end"},
    "with": {"events": [{"name": "answered", "event": "email_replied"}]},
}  # fmt: skip
BOUNCE = """From: MAILER-DAEMON@mx.example.net
To: bounces@acme.example
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It did not work.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; {to}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 <b>no</b> such user

--b
Content-Type: text/rfc822-headers

Message-ID: {id}
Subject: Hi

--b--
"""
COMPLAINT = """From: fbl@provider.example
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: FBL/1
Version: 1

--b
Content-Type: message/rfc822

From: hello@acme.example
Message-ID: {id}
Subject: Hi

Hello
--b--
"""
ANSWER = """From: Ann <ann@example.org>
Subject: {subject}
In-Reply-To: {id}
References: <other@x.example> {id}
{more}
Yes please.
"""


@pytest.fixture
def box(settings: Settings) -> Iterator[ImapBox]:
    with ImapBox() as box:
        settings.BOUNCE_MAILBOX = box.url
        yield box


@pytest.fixture
def message(db: None) -> Message:
    """Sent, while its run waits for an answer."""
    team = Team.objects.create(name="Acme", slug="acme")
    active(team, [email(), WAIT])
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    process_due_runs()
    Message.objects.update(sent_at=timezone.now(), state="sent")
    # That it was sent is an event, too, and no test here is about it.
    Event.objects.all().delete()
    return Message.objects.get()


def _read() -> dict[str, int]:
    out = StringIO()
    call_command("read_mailbox", "--json", stdout=out)
    counts: dict[str, int] = json.loads(out.getvalue())
    return {name: count for name, count in counts.items() if count}


def test_a_bounce_of_no_mailbox_ends_all_mail_to_it_once(box: ImapBox, message: Message) -> None:
    text = BOUNCE.format(to="Ann@Example.org", action="failed", status="5.1.1", id=message.message_id)
    box.put(text)
    box.put(text)
    assert _read() == {"read": 2, "bounced": 2} and box.seen == {1, 2} and _read() == {}
    kept = Suppression.objects.get()
    assert (kept.address, kept.topic, kept.reason) == ("ann@example.org", "", "bounced") and "5.1.1" in kept.source
    assert MessageEvent.objects.get().kind == "bounced"
    assert Event.objects.filter(type="email_bounced").count() == 1


@pytest.mark.parametrize(
    ("to", "action", "status", "read"),
    [
        ("ann@example.org", "failed", "5.2.2", "bounced"),
        ("ann@example.org", "delayed", "4.4.7", "delayed"),
        ("ann@example.org", "delivered", "2.0.0", "unrelated"),
        ("somebody.else@example.org", "failed", "5.1.1", "unrelated"),
    ],
)
def test_other_reports_suppress_nobody(
    box: ImapBox, message: Message, to: str, action: str, status: str, read: str
) -> None:
    box.put(BOUNCE.format(to=to, action=action, status=status, id=message.message_id))
    assert _read() == {"read": 1, read: 1}
    assert not Suppression.objects.exists()


def test_a_report_about_mail_that_nobody_sent_is_left_alone(box: ImapBox, message: Message) -> None:
    box.put(BOUNCE.format(to="ann@example.org", action="failed", status="5.1.1", id="<run-9.9.9@acme.example>"))
    box.put("Content-Type: multipart/report; boundary=\nContent-Transfer-Encoding: base64\n\n\x00\xff--\n")
    box.put("Subject: =?utf-8?b?////?=\n\nBuy this")
    assert _read() == {"read": 3, "unrelated": 3} and box.seen == {1, 2, 3}
    assert not MessageEvent.objects.exists() and not Suppression.objects.exists()


def test_a_report_by_somebody_who_cannot_have_seen_the_message_changes_nothing(box: ImapBox, message: Message) -> None:
    """Ids that can be guessed, such as those of before, prove nothing; answers to them still count."""
    forged = f"<run-{message.run_id}.1.0@acme.example>"
    box.put(BOUNCE.format(to="ann@example.org", action="failed", status="5.1.1", id=forged))
    assert _read() == {"read": 1, "unrelated": 1}
    Message.objects.update(message_id=forged)
    box.put(BOUNCE.format(to="ann@example.org", action="failed", status="5.1.1", id=forged))
    box.put(COMPLAINT.format(id=forged))
    box.put(ANSWER.format(id=forged, subject="Re: Hi", more=""))
    assert _read() == {"read": 3, "unrelated": 2, "replied": 1}
    assert not Suppression.objects.exists() and MessageEvent.objects.get().kind == "replied"


QUOTED = """Message-ID: <{own}@x.example>
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Yes, please!
Tomorrow at ten.

On Mon, 1 Mar 2027 at 12:00, Acme
<hello@acme.example> wrote:
> Hello Ann
> more
"""


def test_answers_stand_in_the_timeline_without_what_they_quote_each_once(box: ImapBox, message: Message) -> None:
    head = ANSWER.format(id=message.message_id, subject="Re: Hi", more="").split("\n\n")[0].rstrip() + "\n"
    for own in ("one", "one", "two"):
        box.put(head + QUOTED.format(own=own))
    assert _read() == {"read": 3, "replied": 3}
    contact = Contact.objects.get()
    told = [(entry.title, entry.text) for entry in timeline(subject=contact) if entry.kind == "answer"]
    assert told == [("Answered: Hi", "Yes, please!\nTomorrow at ten.")] * 2
    event = Event.objects.filter(type="email_replied").first()
    assert event is not None and event.payload["text"].startswith("Yes, please!")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("Gern!\n\nAm 01.03.27 um 12:00 schrieb Acme:\n> Hallo", "Gern!"),
        ("No.\r\n\r\n-----Original Message-----\r\nFrom: x", "No."),
        ("Fine\n\nFrom: Acme <hello@acme.example>\nSent: Monday", "Fine"),
        ("> only\n> quoted", ""),
    ],
)
def test_what_is_quoted_is_cut_in_the_ways_of_common_programs(body: str, words: str) -> None:
    assert answer_text(message_from_string(f"Subject: x\n\n{body}")) == words
    markup = body.replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")
    assert answer_text(message_from_string(f"Content-Type: text/html\n\n{markup}")) == words


def test_who_complains_gets_no_more_mail(box: ImapBox, message: Message) -> None:
    box.put(COMPLAINT.format(id=message.message_id))
    assert _read() == {"read": 1, "complained": 1}
    assert Suppression.objects.get().reason == "complained" and Event.objects.get().type == "email_complained"


def test_an_answer_wakes_the_run_that_waits_for_it(box: ImapBox, message: Message) -> None:
    box.put(ANSWER.format(id=message.message_id, subject="Re: Hi", more=""))
    assert _read() == {"read": 1, "replied": 1}
    process_due_runs()
    assert PipelineRun.objects.get().get_status_display().lower() == "completed"
    assert Event.objects.get(type="email_replied").subject_id == message.about_id


@pytest.mark.parametrize(
    ("subject", "more"),
    [
        ("Re: Hi", "Auto-Submitted: auto-replied\n"),
        ("Re: Hi", "Precedence: bulk\n"),
        ("Re: Hi", "X-Autoreply: yes\n"),
        ("Out of office: Hi", ""),
    ],
)
def test_an_automatic_answer_is_noted_and_wakes_nobody(box: ImapBox, message: Message, subject: str, more: str) -> None:
    box.put(ANSWER.format(id=message.message_id, subject=subject, more=more))
    assert _read() == {"read": 1, "replied": 1}
    assert MessageEvent.objects.get().reason == "an automatic answer" and not Event.objects.exists()


def test_a_mailbox_that_cannot_be_read_is_told_without_its_password(box: ImapBox, settings: Settings) -> None:
    box.password = "another"
    with pytest.raises(CommandError, match="cannot be read") as told:
        _read()
    assert "secret" not in str(told.value)
    settings.BOUNCE_MAILBOX = ""
    with pytest.raises(CommandError, match="BOUNCE_MAILBOX"):
        _read()


def test_the_worker_reads_the_mailbox_where_there_is_one(box: ImapBox, settings: Settings) -> None:
    ensure_schedule()
    assert Schedule.objects.get(name="read-mailbox").minutes == 5 and not ensure_schedule()
    settings.BOUNCE_MAILBOX = ""
    ensure_schedule()
    assert not Schedule.objects.filter(name="read-mailbox").exists()
