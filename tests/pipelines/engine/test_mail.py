"""Mail through a real server: each message once, and honest words about those whose answer was lost."""

import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from contacts.models import Contact
from crm.channels.base import Refused
from crm.messages import decide_message
from crm.models import Message, Suppression, Team
from pipelines.engine.outage import looks, mail_outage, note_outage
from pipelines.models import Effect, PipelineRun, PipelineStep, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.admin.pages import text_of
from tests.pipelines.engine.building import NOON, active, email, later, log
from tests.pipelines.engine.conftest import Run
from tests.sinks.smtp import SmtpSink, free_port


def people(team: Team, count: int = 1) -> None:
    for number in range(count):
        Contact.objects.create(team=team, first_name=f"C{number}", email=f"c{number}@example.org")


def states() -> list[str]:
    return list(Message.objects.order_by("pk").values_list("state", flat=True))


def test_a_message_arrives_with_its_parts_and_headers(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    step = email("Hello {{ contact.first_name }}", subject="Grüße, {{ contact.first_name }}")
    step["with"] |= {"html": "<p>Hello <b>{{ contact.first_name }}</b></p>", "reply_to": "desk@acme.example"}
    step["with"]["headers"] = {"X-Campaign": "spring"}
    active(team, [step])
    Contact.objects.create(team=team, first_name="Ann <b>", email="ann@example.org")
    run_at(NOON)
    (mail,) = smtp.messages()
    run = PipelineRun.objects.get()
    assert mail["To"] == "ann@example.org"
    assert mail["Subject"] == "Grüße, Ann <b>"
    assert mail["Reply-To"] == "desk@acme.example"
    assert mail["X-Campaign"] == "spring"
    assert re.fullmatch(rf"<run-{run.pk}\.1\.0\.[0-9a-f]{{24}}@acme\.example>", mail["Message-ID"])
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text, html = (mail.get_body([kind]) for kind in ("plain", "html"))
    assert text is not None and text.get_content().startswith("Hello Ann <b>")
    assert html is not None and "<b>Ann &lt;b&gt;</b>" in html.get_content()


def test_one_connection_serves_a_batch(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()])
    people(team, 120)
    run_at(NOON)
    assert sorted(smtp.recipients()) == sorted(f"c{n}@example.org" for n in range(120))
    assert smtp.connections == 1


@pytest.mark.parametrize("behavior", ["drop_after_dot", "hang_after_dot"])
def test_a_lost_answer_leaves_the_message_to_a_person(
    team: Team, run_at: Run, smtp: SmtpSink, settings: Settings, behavior: str
) -> None:
    if behavior == "hang_after_dot":
        settings.EMAIL_TIMEOUT = 0.3
    active(team, [email(), {"type": "wait", "delay": "1h"}])
    people(team)
    smtp.behavior = behavior
    run_at(NOON)
    smtp.behavior = "accept"
    run_at(later(hours=5))
    assert len(smtp.recipients()) == 1
    assert states() == ["uncertain"]
    run = PipelineRun.objects.get()
    assert run.status == RunStatus.COMPLETED
    assert log(run)[0][2] == "uncertain"


def test_a_person_may_send_an_uncertain_message_again(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()])
    people(team)
    smtp.behavior = "drop_after_dot"
    run_at(NOON)
    smtp.behavior = "accept"
    message = Message.objects.get()
    assert decide_message(message=message, decision="resend", user=None, now=NOON)
    assert not decide_message(message=message, decision="resend", user=None, now=NOON)
    run_at(later(minutes=1))
    assert len(smtp.recipients()) == 2
    assert states() == ["sent"]
    assert len({mail["Message-ID"] for mail in smtp.messages()}) == 1


def test_a_person_may_let_an_uncertain_message_be(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()])
    people(team)
    smtp.behavior = "drop_after_dot"
    run_at(NOON)
    smtp.behavior = "accept"
    assert decide_message(message=Message.objects.get(), decision="accept", user=None, now=NOON)
    run_at(later(days=1))
    assert len(smtp.recipients()) == 1


def test_later_means_later(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()])
    people(team, 2)
    smtp.behavior = "greylist"
    run_at(NOON)
    assert not smtp.recipients() and states() == ["queued", "queued"]
    smtp.behavior = "accept"
    run_at(later(hours=1))
    assert sorted(smtp.recipients()) == ["c0@example.org", "c1@example.org"]
    assert set(StepExecution.objects.values_list("event", flat=True)) == {3, 0}


def test_an_unknown_user_fails_alone(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()])
    people(team, 3)
    smtp.unknown = {"c1@example.org"}
    run_at(NOON)
    run_at(later(days=2))
    assert sorted(smtp.recipients()) == ["c0@example.org", "c2@example.org"]
    assert states() == ["sent", "failed", "sent"]
    failed = PipelineRun.objects.get(status=RunStatus.FAILED)
    assert "550" in (StepExecution.objects.get(run_id=failed.pk).error or "")


@pytest.mark.parametrize(
    ("answer", "suppressed"),
    [
        ("550 no such user here", True),
        ("550 5.1.1 unknown mailbox", True),
        ("550 5.7.1 your message looks like advertising", False),
        ("552 5.2.2 mailbox full", False),
    ],
)
def test_an_address_without_a_mailbox_gets_nothing_more(
    team: Team, run_at: Run, smtp: SmtpSink, answer: str, suppressed: bool
) -> None:
    active(team, [email(), email("again")])
    people(team, 2)
    smtp.unknown, smtp.no_mailbox = {"c1@example.org"}, answer
    run_at(NOON)
    assert smtp.recipients() == ["c0@example.org"] * 2
    found = Suppression.objects.values_list("address", "reason", "topic")
    assert list(found) == ([("c1@example.org", "bounced", "")] if suppressed else [])


def test_a_server_that_is_down_burns_no_attempt(team: Team, run_at: Run, smtp: SmtpSink, settings: Settings) -> None:
    active(team, [email()])
    people(team, 2)
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, free_port()
    for minutes in range(0, 30, 3):
        run_at(later(minutes=minutes))
    assert not StepExecution.objects.exists()
    settings.EMAIL_PORT = port
    run_at(later(minutes=35))
    assert len(smtp.recipients()) == 2


def test_an_outage_in_the_middle_costs_one_attempt_at_most(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()])
    people(team, 30)
    smtp.behavior = "vanish"
    for minutes in range(10):
        run_at(later(minutes=minutes))
    assert len(smtp.recipients()) == 1
    assert StepExecution.objects.filter(event=StepExecution.Event.RETRIED).count() == 1
    smtp.behavior = "accept"
    run_at(later(minutes=15))
    assert sorted(smtp.recipients()) == sorted(f"c{n}@example.org" for n in range(30))
    assert set(states()) == {"sent"}


def test_a_server_that_is_away_is_looked_for_ever_more_seldom_and_then_gets_each_letter_once(
    team: Team, run_at: Run, smtp: SmtpSink
) -> None:
    active(team, [email()])
    people(team, 450)
    smtp.behavior = "greeting_421"
    for minutes in range(0, 121, 5):
        run_at(later(minutes=minutes))
    # Not for each of the groups that wait: half a minute after the first look, and in the end every five minutes.
    assert smtp.connections < 26
    assert not StepExecution.objects.exists()
    assert set(Effect.objects.values_list("attempt", flat=True)) == {0}
    smtp.behavior, before = "accept", smtp.connections
    run_at(later(minutes=126))
    run_at(later(minutes=127))
    assert sorted(smtp.recipients()) == sorted(f"c{n}@example.org" for n in range(450))
    assert smtp.connections - before <= 4


def test_one_worker_at_a_time_looks_whether_the_server_is_back(db: None) -> None:
    assert mail_outage() is None
    next_at = note_outage(Refused(code="connection", detail="", permanent=False), now=NOON).next_at
    outage = mail_outage()
    assert outage is not None and (outage.since, outage.next_at) == (NOON, next_at)
    assert not looks(outage, now=NOON)
    assert looks(outage, now=next_at)
    assert not looks(outage, now=next_at)


def test_the_pauses_between_looks_double_up_to_five_minutes(db: None) -> None:
    away = Refused(code="connection", detail="", permanent=False)
    pauses = [(note_outage(away, now=NOON).next_at - NOON).total_seconds() for _ in range(6)]
    assert pauses == [30, 60, 120, 240, 300, 300]


def test_the_dashboard_says_that_mail_waits(team: Team, run_at: Run, smtp: SmtpSink, admin_client: Client) -> None:
    active(team, [email()])
    people(team)
    smtp.behavior = "greeting_421"
    run_at(NOON)
    said = text_of(admin_client.get("/admin/"))
    assert "cannot be reached since 12:00 UTC" in said and "looked for again at 12:00 UTC" in said
    smtp.behavior = "accept"
    run_at(later(minutes=1))
    assert "cannot be reached" not in text_of(admin_client.get("/admin/"))


def test_a_lost_goodbye_is_no_doubt(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()])
    people(team)
    smtp.behavior = "drop_at_quit"
    run_at(NOON)
    assert states() == ["sent"]


def test_who_unsubscribed_gets_nothing_more_of_the_topic(team: Team, run_at: Run, smtp: SmtpSink, client: Any) -> None:
    active(team, [email(), email(subject="Second", delay="1d")])
    people(team, 2)
    run_at(NOON)
    mail = next(mail for mail in smtp.messages() if mail["To"] == "c0@example.org")
    link = mail["List-Unsubscribe"].strip(" <>").removeprefix("http://testserver")
    assert client.get(link).status_code == 200 and not Suppression.objects.exists()
    answer = client.post(link, {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200 and "Location" not in answer
    run_at(later(days=1))
    assert sorted(smtp.recipients()) == ["c0@example.org", "c1@example.org", "c1@example.org"]


def test_transactional_mail_carries_no_way_out(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    step = email()
    step["with"]["topic"] = "transactional"
    active(team, [step])
    people(team)
    run_at(NOON)
    (mail,) = smtp.messages()
    assert mail["List-Unsubscribe"] is None


@pytest.mark.parametrize(
    "headers", [{"X-A": "b\r\nBcc: x@example.org"}, {"X-A\nBcc": "x@example.org"}, {"Bcc": "x@example.org"}]
)
def test_headers_cannot_bring_in_others(team: Team, run_at: Run, smtp: SmtpSink, headers: dict[str, str]) -> None:
    step = email()
    step["with"]["headers"] = headers
    active(team, [step])
    people(team)
    run_at(NOON)
    assert not smtp.recipients()
    assert PipelineRun.objects.get().status == RunStatus.FAILED
    assert Effect.objects.get().status == Effect.Status.FAILED


def test_a_pass_that_runs_out_of_time_leaves_the_rest_for_the_next(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    from pipelines.engine.leases import give_back_unsent
    from pipelines.engine.post import Post
    from pipelines.engine.store import store

    active(team, [email()])
    people(team, 5)
    leave_in_queue(team)
    leased = store().lease_effects(
        kind=Effect.Kind.EMAIL, now=NOON, real_now=NOON, until=later(hours=1), limit=10, worker=1
    )
    post = Post()
    assert post.open() is None
    ready, _ = post.start(leased, now=NOON)
    sent = [effect for effect, _ in post.send(ready, until=float("-inf"))]
    post.close()
    assert len(sent) == 1 and states().count("sending") == 5
    give_back_unsent([effect for effect, _ in ready if effect not in sent], until=NOON)
    assert (states().count("sending"), states().count("queued")) == (1, 4)
    run_at(NOON)
    assert sorted(smtp.recipients()) == [f"c{n}@example.org" for n in range(5)]


def leave_in_queue(team: Team) -> None:
    """Plan every message without sending any."""
    from pipelines.engine.advance import advance_lane

    for step in PipelineStep.objects.filter(pipeline__team=team):
        advance_lane(step_id=step.pk, now=NOON, limit=100)
