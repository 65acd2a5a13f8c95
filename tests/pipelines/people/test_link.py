"""The mail about a task and the page behind its link: one person, one form, a limited time."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client

from crm.models import Member, Message, Task, Team
from pipelines.models import HumanTask, PipelineRun
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.people.asking import FORM, ask, enter, member, the_task
from tests.sinks.smtp import SmtpSink

LINK = re.compile(r"https?://[^/\s]+(/t/[^\s\"<]+)")
ANSWER = {"a-callDate": "2027-03-05T09:00", "a-agenda": "Prices", "outcome": "completed"}


@pytest.fixture
def ann(team: Team) -> User:
    return member(team, "ann")


def text_of(smtp: SmtpSink, number: int = -1) -> str:
    body = smtp.messages()[number].get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def link_of(smtp: SmtpSink, number: int = -1) -> str:
    found = LINK.search(text_of(smtp, number))
    assert found is not None
    return found[1]


def status(run: PipelineRun) -> RunStatus:
    run.refresh_from_db()
    return RunStatus(run.status)


def test_the_mail_leads_to_a_form_that_needs_no_account(team: Team, run_at: Run, smtp: SmtpSink, ann: User) -> None:
    ask(team, given={"assignee": "ann@acme.example", "description": "She asked for prices."}, timeout="P3D",
        on={"timeout": "end"})  # fmt: skip
    run = enter(team)
    run_at(NOON)
    assert smtp.recipients() == ["ann@acme.example"]
    mail = text_of(smtp)
    for words in ("Is Bo a fit?", "She asked for prices.", "About: Bo", "Acme", "until 4 Mar 2027"):
        assert words in mail
    assert smtp.messages()[0]["List-Unsubscribe"] is None
    client, link = Client(enforce_csrf_checks=True), link_of(smtp)
    shown = client.get(link)
    page = shown.content.decode()
    assert shown.status_code == 200 and "Is Bo a fit?" in page and "Ann" in page and "4 Mar 2027" in page
    assert "unsafe" not in shown["Content-Security-Policy"] and shown["Cache-Control"] == "no-store"
    assert 'name="viewport"' in page and "<script" not in page and " style=" not in page
    assert status(run) == RunStatus.WAITING, "looking answers nothing, and scanners look"
    # As a browser sends it: a page without a referrer has no origin either, and some readers of mail keep no cookies.
    assert shown["Referrer-Policy"] == "no-referrer" and not client.cookies
    sent = client.post(link, ANSWER, headers={"origin": "null"})
    assert sent.status_code == 200 and "Thank you" in sent.content.decode()
    assert status(run) == RunStatus.COMPLETED
    human = HumanTask.objects.get()
    assert human.completed_by == ann and (human.response or {})["agenda"] == "Prices"
    again = client.get(link)
    assert again.status_code == 410
    assert "Ann answered this already, on 1 Mar 2027, 12:00 (UTC)." in again.content.decode()


def test_times_are_told_by_the_clock_that_is_named_beside_them(
    team: Team, run_at: Run, smtp: SmtpSink, ann: User
) -> None:
    Team.objects.update(timezone="America/New_York")
    ask(team, given={"assignee": "ann@acme.example", "due": "1h"}, timeout="P3D", on={"timeout": "end"})
    enter(team)
    run_at(NOON)
    html = smtp.messages()[0].get_body(("html",))
    assert html is not None and "1 Mar 2027, 08:00 (America/New_York)" in html.get_content()
    assert "Due: 1 Mar 2027, 08:00 (America/New_York)" in text_of(smtp)
    assert "until 4 Mar 2027, 07:00 (America/New_York)" in text_of(smtp)
    page = Client().get(link_of(smtp)).content.decode()
    assert "1 Mar 2027, 08:00" in page and "4 Mar 2027, 07:00" in page and "Times are in America/New York" in page


def test_who_left_something_out_finds_the_cursor_there(team: Team, run_at: Run, smtp: SmtpSink, ann: User) -> None:
    size = {"name": "size", "type": "select", "options": ["small", "large"], "required": True}
    ask(team, given={"assignee": "ann@acme.example", "form": [FORM[1], size, FORM[0]]})
    enter(team)
    run_at(NOON)
    page = Client().post(link_of(smtp), {"a-agenda": "Prices", "outcome": "completed"}).content.decode()
    (focused,) = re.findall(r"<[^>]* autofocus[^>]*>", page)
    assert 'name="a-size"' in focused


def test_what_does_not_fit_is_marked_and_what_was_typed_stays(
    team: Team, run_at: Run, smtp: SmtpSink, ann: User
) -> None:
    ask(team, given={"assignee": "ann@acme.example"})
    run = enter(team)
    run_at(NOON)
    answer = Client().post(link_of(smtp), {"a-agenda": "Prices & <b>", "a-callDate": "", "outcome": "completed"})
    page = answer.content.decode()
    assert answer.status_code == 422 and "This is needed." in page and "Prices &amp; &lt;b&gt;" in page
    assert status(run) == RunStatus.WAITING


def test_a_stored_message_shows_no_link_that_somebody_else_could_use(
    team: Team, run_at: Run, smtp: SmtpSink, ann: User
) -> None:
    ask(team, given={"assignee": "ann@acme.example"})
    enter(team)
    run_at(NOON)
    shown = Api(team, role="viewer").get("messages/").json()["results"][0]
    assert "/t/" not in shown["text"] + shown["html"] and "⟦task:" in shown["text"]


def test_an_author_of_messages_cannot_forge_a_link(team: Team, run_at: Run, smtp: SmtpSink, ann: User) -> None:
    ask(team, given={"assignee": "ann@acme.example", "notify": False})
    enter(team)
    run_at(NOON)
    place = f"⟦task:{HumanTask.objects.get().pk}:{ann.pk}:1999999999⟧"
    active(team, [email(place)], key="forger")
    enter(team, "Cy")
    run_at(later(hours=1))
    assert smtp.recipients() == ["cy@example.org"] and "/t/" not in text_of(smtp) and place in text_of(smtp)


def test_handing_over_revokes_the_link_and_tells_the_other(team: Team, run_at: Run, smtp: SmtpSink, ann: User) -> None:
    bea = member(team, "bea")
    ask(team, given={"assignee": "ann@acme.example"})
    enter(team)
    run_at(NOON)
    old = link_of(smtp)
    assert Api(team).post(f"tasks/{the_task()[0].pk}/reassign/", {"assignee": bea.pk}).status_code == 200
    run_at(later(minutes=1))
    assert smtp.recipients()[1:] == ["bea@acme.example"]
    client = Client()
    for answer in (client.get(old), client.post(old, ANSWER)):
        assert answer.status_code == 410 and "Somebody else has this now" in answer.content.decode()
    assert client.post(link_of(smtp), ANSWER).status_code == 200
    assert HumanTask.objects.get().completed_by == bea


def test_a_link_ends_with_its_time_with_the_run_and_with_the_membership(
    team: Team, run_at: Run, smtp: SmtpSink, ann: User
) -> None:
    ask(team, given={"assignee": "ann@acme.example"})
    enter(team)
    run_at(NOON)
    link = link_of(smtp)
    Member.objects.filter(user=ann).update(role="viewer")
    assert Client().post(link, ANSWER).status_code == 410
    Member.objects.filter(user=ann).update(role="member")
    assert Client().get(link).status_code == 200
    run_at(later(days=31))
    assert "too old" in Client().get(link).content.decode()
    assert Client().post(link, ANSWER).status_code == 410


@pytest.mark.parametrize(
    "token", ["nonsense", signing.dumps([1, 1, 9999999999]), "a:b:c"], ids=["nonsense", "salted otherwise", "colons"]
)
def test_a_link_that_was_not_made_here_opens_nothing(team: Team, token: str) -> None:
    answer = Client().post(f"/t/{token}/", ANSWER)
    assert answer.status_code == 410 and "does not work" in answer.content.decode()


def test_reminders_come_with_the_same_form_until_there_is_an_answer(
    team: Team, run_at: Run, smtp: SmtpSink, ann: User
) -> None:
    ask(team, given={"assignee": "ann@acme.example", "remind": "1d"})
    enter(team)
    run_at(NOON)
    run_at(later(hours=23))
    assert len(smtp.recipients()) == 1
    run_at(later(days=1))
    run_at(later(days=2))
    assert [mail["Subject"] for mail in smtp.messages()][1:] == ["Reminder: Is Bo a fit?"] * 2
    assert Client().post(link_of(smtp), ANSWER).status_code == 200
    run_at(later(days=9))
    assert len(smtp.recipients()) == 3
    assert Message.objects.values("message_id").distinct().count() == 3


def test_reminders_have_an_end(team: Team, run_at: Run, smtp: SmtpSink, ann: User) -> None:
    ask(team, given={"assignee": "ann@acme.example", "remind": "1h"})
    enter(team)
    run_at(NOON)
    for hours in range(1, 15):
        run_at(NOON + timedelta(hours=hours))
    assert len(smtp.recipients()) == 11


def test_nobody_is_mailed_who_should_not_be(team: Team, run_at: Run, smtp: SmtpSink, ann: User) -> None:
    ask(team, given={"assignee": "ann@acme.example", "notify": False, "form": FORM})
    enter(team)
    run_at(NOON)
    assert not smtp.recipients() and Task.objects.get().assignee == ann


def test_a_mail_server_that_is_down_keeps_no_run_from_its_answer(
    team: Team, run_at: Run, smtp: SmtpSink, ann: User
) -> None:
    ask(team, given={"assignee": "ann@acme.example"})
    run = enter(team)
    smtp.stop()
    run_at(NOON)
    task, _ = the_task()
    body = {"values": {"callDate": "2027-03-05T09:00"}}
    assert Api(team).post(f"tasks/{task.pk}/complete/", body).status_code == 200
    assert status(run) == RunStatus.COMPLETED
