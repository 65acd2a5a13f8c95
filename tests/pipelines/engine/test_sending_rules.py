"""Send hours, caps and pace: what waits, until when, what is skipped, and that the reason is always told."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Message, Team
from pipelines.models import Effect, PipelineRun, SendingRules
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later, log
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.counting import statements

# NOON is a Monday.


def rules(team: Team, **values: Any) -> SendingRules:
    made = SendingRules(team=team, **values)
    made.full_clean()
    made.save()
    return made


def ann(team: Team, number: int = 0, **more: Any) -> Contact:
    return Contact.objects.create(team=team, first_name="Ann", email=f"ann{number}@example.org", **more)


def subjects() -> list[str]:
    return [str(each.subject) for each in mail.outbox]


def test_a_message_waits_for_the_hours_of_the_team_and_says_why(team: Team, run_at: Run) -> None:
    rules(team, window={"quiet": "11:00-13:30"})
    active(team, [email(), {"type": "wait", "delay": "1h"}])
    ann(team)
    run_at(NOON)
    message, run = Message.objects.get(), PipelineRun.objects.get()
    assert (message.state, message.held_until) == ("queued", later(hours=1.5))
    assert message.held_by == "quiet hours of the team (11:00-13:30, UTC)"
    assert run.status == RunStatus.RUNNING
    assert run.next_step_at == later(hours=1.5, minutes=10)
    run_at(later(hours=1))
    assert not mail.outbox
    run_at(later(hours=1.5))
    assert subjects() == ["Hi"]
    assert Effect.objects.get().attempt == 1


def test_what_cannot_be_unsubscribed_from_leaves_at_any_time(team: Team, run_at: Run) -> None:
    rules(team, window={"quiet": "11:00-13:30"}, caps=["1 per week"])
    step = email()
    step["with"]["topic"] = "transactional"
    active(team, [step, {**step, "with": {**step["with"], "subject": "Again"}}])
    ann(team)
    run_at(NOON)
    assert subjects() == ["Hi", "Again"]


def test_each_contact_gets_it_by_their_own_clock(team: Team, run_at: Run) -> None:
    Team.objects.filter(pk=team.pk).update(timezone="Europe/Berlin")
    window = {"days": ["mon", "tue"], "hours": "09:00-17:00", "tz": "subject"}
    active(team, [email()], settings={"window": window})
    for number, zone in enumerate(["America/New_York", "Asia/Tokyo", ""]):
        ann(team, number, timezone=zone)
    run_at(NOON)
    assert [each.to for each in mail.outbox] == [["ann2@example.org"]]
    waiting = dict(Message.objects.filter(state="queued").values_list("recipient", "held_until"))
    assert waiting == {"ann0@example.org": later(hours=2), "ann1@example.org": later(hours=12)}


def test_the_hours_of_a_step_stand_instead_of_those_of_its_pipeline(team: Team, run_at: Run) -> None:
    step = email()
    step["with"]["window"] = {"hours": "12:00-13:00"}
    active(team, [step, email(subject="Second")], settings={"window": {"hours": "15:00-16:00"}})
    ann(team)
    run_at(NOON)
    assert subjects() == ["Hi"]
    held = Message.objects.get(state="queued")
    assert (held.held_until, held.held_by) == (later(hours=3), "send hours of the pipeline (15:00-16:00, UTC)")


def test_holidays_of_the_team_keep_what_its_pipelines_send(team: Team, run_at: Run) -> None:
    rules(team, holidays=["03-01 Founders' Day"])
    active(team, [email()])
    ann(team)
    run_at(NOON)
    held = Message.objects.get()
    assert (held.held_until, held.held_by) == (later(hours=12), "holiday: Founders' Day")


def test_what_waited_for_hours_to_open_leaves_over_a_band(team: Team, run_at: Run) -> None:
    rules(team, window={"hours": "14:00-18:00", "spread": "1h"})
    active(team, [email()])
    for number in range(60):
        ann(team, number)
    run_at(NOON)
    times = [at for at in Message.objects.values_list("held_until", flat=True) if at is not None]
    assert min(times) >= later(hours=2) and max(times) <= later(hours=3)
    assert max(times) - min(times) > timedelta(minutes=30) and len(set(times)) == 60
    run_at(later(hours=2.5))
    assert 10 < len(mail.outbox) < 50
    run_at(later(hours=3))
    assert len(mail.outbox) == 60


def test_hours_that_never_open_skip_the_message_and_say_so(team: Team, run_at: Run) -> None:
    rules(team, window={"hours": "09:00-10:00"})
    active(team, [email()], settings={"window": {"hours": "15:00-16:00"}})
    ann(team)
    run_at(NOON)
    message = Message.objects.get()
    assert (message.state, message.reason) == ("skipped", "never_allowed")
    assert log(PipelineRun.objects.get()) == [(1, "skipped", "skipped")]


def test_a_person_gets_no_more_than_the_cap_over_all_pipelines(team: Team, run_at: Run) -> None:
    rules(team, caps=["2 per day"])
    for number in range(3):
        active(team, [email(subject=f"From {number}")], key=f"p{number}")
    ann(team)
    ann(team, 1)
    run_at(NOON)
    assert len(mail.outbox) == 4
    held = list(Message.objects.filter(state="queued"))
    assert {(row.held_until, row.held_by) for row in held} == {(later(days=1), "frequency cap of the team (2 per day)")}
    run_at(later(hours=23))
    assert len(mail.outbox) == 4
    run_at(later(days=1))
    assert len(mail.outbox) == 6


def test_under_a_cap_the_more_important_pipeline_goes_first(team: Team, run_at: Run) -> None:
    rules(team, caps=["1 per day"], when_capped="skip")
    active(team, [email(subject="News")], key="news", settings={"priority": 2})
    active(team, [email(subject="Offer")], key="offer", settings={"priority": 8})
    ann(team)
    run_at(NOON)
    assert subjects() == ["Offer"]
    skipped = Message.objects.get(state="skipped")
    assert (skipped.subject, skipped.reason) == ("News", "frequency_cap")
    assert skipped.error == "Not sent: frequency cap of the team (1 per day)."
    assert log(PipelineRun.objects.get(pipeline__key="news")) == [(1, "skipped", "skipped")]


def test_a_more_important_message_in_another_round_goes_first(team: Team, run_at: Run, settings: Any) -> None:
    settings.PIPELINES_SEND_GROUP = 1
    rules(team, caps=["1 per day"])
    active(team, [email(subject="News")], key="news", settings={"priority": 2})
    active(team, [email(subject="Offer")], key="offer", settings={"priority": 8})
    ann(team)
    run_at(NOON)
    run_at(later(minutes=1))
    assert subjects() == ["Offer"]
    assert Message.objects.get(subject="News").held_until == later(days=1)


def test_what_a_cap_would_keep_too_long_is_skipped(team: Team, run_at: Run) -> None:
    rules(team, caps=["1 per week"], longest_wait_hours=48)
    active(team, [email(), email(subject="Second")])
    ann(team)
    run_at(NOON)
    skipped = Message.objects.get(state="skipped")
    assert skipped.error == "Not sent: frequency cap of the team (1 per week), it would have waited too long."


def sent_every_ten_seconds(run_at: Run, seconds: int) -> list[int]:
    """How many mails have left after each look from noon on."""
    sent = []
    for second in range(0, seconds, 10):
        run_at(NOON + timedelta(seconds=second))
        sent.append(len(mail.outbox))
    return sent


def test_a_channel_keeps_its_pace(team: Team, run_at: Run) -> None:
    rules(team, throttles={"email": "6 per minute"})
    active(team, [email()])
    for number in range(8):
        ann(team, number)
    assert sent_every_ten_seconds(run_at, 80) == list(range(1, 9))
    assert "pace of email (6 per minute)" in Message.objects.values_list("held_by", flat=True)


def test_all_teams_together_keep_the_pace_of_the_installation(team: Team, run_at: Run, settings: Settings) -> None:
    settings.PIPELINES_PACE = {"email": "6 per minute"}
    other = Team.objects.create(name="Other", slug="other")
    rules(other, throttles={"email": "3 per minute"})
    for each in (team, other):
        active(each, [email()])
        for number in range(3):
            ann(each, number)
    sent = sent_every_ten_seconds(run_at, 120)
    assert all(then - before <= 1 for before, then in pairwise([0, *sent])) and sent[-1] == 6
    reasons = set(Message.objects.values_list("held_by", flat=True))
    assert "pace of this installation for email (6 per minute)" in reasons
    assert Message.objects.filter(state="sent").count() == 6


def cost(team: Team, run_at: Run, count: int, when: datetime) -> int:
    for number in range(count):
        ann(team, 1_000 * count + number)
    return statements(lambda: run_at(when))


def test_the_rules_cost_the_same_for_one_message_and_for_forty(team: Team, run_at: Run) -> None:
    rules(
        team,
        window={"hours": "09:00-17:00", "tz": "subject"},
        caps=["2 per day"],
        throttles={"email": "36000 per hour"},
    )
    active(team, [email()])
    cost(team, run_at, 1, NOON)
    one = cost(team, run_at, 1, later(minutes=10))
    many = cost(team, run_at, 40, later(minutes=20))
    assert len(mail.outbox) == 42
    assert many <= one + 2


def test_without_rules_nothing_more_is_asked_than_whether_there_are_any(team: Team, run_at: Run) -> None:
    active(team, [email()])
    ann(team)
    with CaptureQueriesContext(connection) as queries:
        run_at(NOON)
    asked = [each["sql"] for each in queries if "sendingrules" in each["sql"]]
    assert len(asked) == 1
