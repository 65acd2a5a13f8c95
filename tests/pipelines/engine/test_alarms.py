"""What is wrong though nothing failed: silence and lateness, told once, shown as long as they last."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from contacts.models import Contact
from crm.models import Member, Notification, Team
from pipelines.alarms import alarms
from pipelines.doctor import examine
from pipelines.engine.clock import real_now
from pipelines.engine.enroll import enroll
from pipelines.models import Firing, Pipeline, PipelineRun, PipelineStep, StepStat, Trigger
from pipelines.operations import backfill, update_document
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, document, later
from tests.pipelines.engine.conftest import Run

SIGNUPS = {"type": "created", "model": "contacts.contact"}
WAIT = {"type": "wait", "delay": "90d", "key": "rest"}


@pytest.fixture
def leader(team: Team) -> User:
    users = [User.objects.create_user(role, email=f"{role}@acme.example") for role in ("manager", "viewer")]
    for user in users:
        Member.objects.create(team=team, user=user, role=user.username)
    return users[0]


def entered(team: Team, count: int) -> None:
    for number in range(count):
        Contact.objects.create(team=team, email=f"c{PipelineRun.objects.count()}-{number}@example.org")


def told() -> list[tuple[str, str]]:
    return [(note.user.username, note.title) for note in Notification.objects.select_related("user").order_by("pk")]


def test_a_pipeline_that_nobody_enters_any_more_is_told_once(team: Team, run_at: Run, leader: User) -> None:
    pipeline = active(team, [WAIT])
    entered(team, 7)
    run_at(later(hours=23))
    assert not told()
    run_at(later(hours=25))
    run_at(later(hours=26))
    assert told() == [("manager", "Nobody enters Welcome")]
    (found,) = [each for each in examine(minutes=60) if each.code == "pipeline.silent"]
    assert found.ids == (pipeline.pk,)
    assert found.problem == "“Welcome” is active, but nobody entered for 1 day 2 hours."
    entered(team, 1)
    run_at(later(hours=27))
    assert not alarms(team=team, now=later(hours=27))
    entered(team, 7)
    run_at(later(hours=27) + timedelta(days=2))
    assert len(told()) == 2


def test_a_step_that_is_given_to_those_who_passed_it_breaks_no_silence(team: Team, run_at: Run) -> None:
    begin = {"key": "begin", "type": "wait"}
    pipeline = active(team, [begin, WAIT])
    entered(team, 7)
    run_at(NOON)
    update_document(pipeline=pipeline, document=document([begin, {"key": "new", "type": "wait"}, WAIT]))
    assert backfill(pipeline=pipeline, step="new", now=later(hours=25)).done == 7
    run_at(later(hours=25))
    assert [each.code for each in alarms(team=team, now=later(hours=26))] == ["pipeline.silent"]


@pytest.mark.parametrize(
    ("count", "more"),
    [
        pytest.param(6, {}, id="people came seldom"),
        pytest.param(9, {"triggers": [{"type": "manual"}]}, id="people are put in by hand"),
    ],
)
def test_a_pipeline_that_is_quiet_by_nature_alarms_nobody(team: Team, run_at: Run, count: int, more: Any) -> None:
    active(team, [WAIT], **more)
    entered(team, count)
    assert not alarms(team=team, now=later(hours=30))


def test_a_pipeline_that_few_entered_is_told_after_a_week_and_not_before_its_usual_time(
    team: Team, run_at: Run, leader: User
) -> None:
    active(team, [WAIT])
    active(team, [WAIT], key="yearly", triggers=[{"type": "cron", "cron": "0 8 1 1 *", "tz": "UTC"}, SIGNUPS])
    entered(team, 3)
    yearly = Pipeline.objects.get(key="yearly")
    Trigger.objects.filter(pipeline=yearly, kind=Trigger.Kind.CREATED).update(enabled=False)
    run_at(NOON)

    def silent(days: float) -> list[str]:
        return [each.sentence for each in alarms(team=team, now=NOON + timedelta(days=days))]

    assert not silent(8)
    Trigger.objects.update(armed_at=real_now() - timedelta(days=8))
    assert not silent(6.9)
    assert silent(8) == ["“Welcome” is active, but nobody entered for 8 days."]
    run_at(NOON + timedelta(days=8))
    assert [each.code for each in examine(minutes=60) if each.code.endswith(".silent")] == ["pipeline.silent"]
    assert told() == [("manager", "Nobody enters Welcome")]
    PipelineRun.objects.filter(pk=PipelineRun.objects.earliest("pk").pk).update(created_at=NOON - timedelta(days=9))
    assert not silent(8) and silent(10)


def test_who_comes_by_a_weekly_schedule_is_not_missed_before_it_has_fired_again(team: Team, run_at: Run) -> None:
    weekly = {"type": "cron", "cron": "0 8 * * 1", "tz": "UTC", "for_each": {"model": "contacts.contact"}}
    active(team, [WAIT], key="weekly", triggers=[weekly])
    entered(team, 8)
    trigger = Trigger.objects.get()
    Trigger.objects.update(armed_at=real_now() - timedelta(days=30))
    enroll(pipeline=trigger.pipeline, subject_ids=list(Contact.objects.values_list("pk", flat=True)))
    run_at(NOON)
    Firing.objects.create(trigger=trigger, slot="first", at=NOON - timedelta(minutes=1), state=Firing.State.DONE)
    assert not alarms(team=team, now=NOON + timedelta(days=6))
    Firing.objects.create(trigger=trigger, slot="next", at=NOON + timedelta(days=6, hours=20), state=Firing.State.DONE)
    (alarm,) = alarms(team=team, now=NOON + timedelta(days=7))
    assert alarm.sentence == "“Weekly” is active, but nobody entered for 7 days."


def test_a_pipeline_that_nobody_ever_entered_is_told_after_a_day(team: Team, run_at: Run) -> None:
    active(team, [WAIT])
    active(team, [WAIT], key="by_hand", triggers=[{"type": "manual"}])
    active(team, [WAIT], key="yearly", triggers=[{"type": "cron", "cron": "0 8 1 1 *", "tz": "UTC"}])
    quiet = {"type": "event", "event": "contact_inactive", "silence": "30d"}
    active(team, [WAIT], key="winback", triggers=[quiet])

    def found(**ago: float) -> list[str]:
        Trigger.objects.update(armed_at=real_now() - timedelta(**ago))
        return [each.sentence for each in alarms(team=team, now=NOON)]

    assert not found(hours=23)
    assert found(hours=25) == ["“Welcome” is active, but nobody entered for 1 day 1 hour."]
    # Its time came, and it found nobody.
    yearly = Trigger.objects.get(kind=Trigger.Kind.CRON)
    Firing.objects.create(trigger=yearly, slot="2027-01-01T08:00", at=NOON, state=Firing.State.DONE)
    assert len(found(hours=25)) == 2 and len(found(days=32)) == 3
    says = [each["says"] for each in Api(team).get("status/").json()["alarms"]]
    assert "“Winback” is active, but nobody entered for 2 days." in says
    entered(team, 1)
    assert len(found(hours=25)) == 1


def test_a_step_that_is_ten_times_slower_than_usual_is_told(team: Team, run_at: Run, leader: User) -> None:
    active(team, [WAIT])
    step = PipelineStep.objects.get()
    today = NOON.date()
    StepStat.objects.create(step_id=step.pk, day=today - timedelta(days=3), outcome="next", n=200, wait_s=2_000)
    now = StepStat.objects.create(step_id=step.pk, day=today, outcome="next", n=20, wait_s=1_980)
    assert not alarms(team=team, now=NOON)
    StepStat.objects.filter(pk=now.pk).update(wait_s=2_400)
    run_at(NOON)
    assert told() == [("manager", "“rest” is slow")]
    sentence = "“rest” of “Welcome” takes 2 minutes today, and took 10 seconds in the two weeks before."
    assert Notification.objects.get().body == sentence
    StepStat.objects.filter(pk=now.pk).update(n=19, wait_s=2_280)
    assert not alarms(team=team, now=NOON)


def test_looking_costs_the_same_for_many_pipelines(team: Team, run_at: Run, django_assert_max_num_queries: Any) -> None:
    for number in range(4):
        active(team, [WAIT], key=f"p{number}")
    entered(team, 7)
    with django_assert_max_num_queries(4):
        assert len(alarms(team=team, now=later(hours=30))) == 4
