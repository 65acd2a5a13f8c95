"""`settings.timezone`: the clock of all times of a pipeline that name no zone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Message, Task, Team
from pipelines.engine.clock import pretend
from pipelines.engine.schedules import fire_due
from pipelines.models import Firing, Pipeline, PipelineRun, RunContext, Trigger
from pipelines.operations import publish
from tests.pipelines.engine.building import AUTOMATIC, NOON, active, email
from tests.pipelines.engine.conftest import Run

NEW_YORK = {"timezone": "America/New_York"}
TOKYO: dict[str, Any] = {"settings": {"timezone": "Asia/Tokyo"}}
DAY = timedelta(days=1)
# Nine in the morning after the noon of UTC on 1 March 2027.
BY_CLOCK = {"Asia/Tokyo": 0, "America/New_York": 14, "UTC": 9}


def nine(zone: str) -> datetime:
    day = 1 if zone == "America/New_York" else 2
    return datetime(2027, 3, day, BY_CLOCK[zone], tzinfo=UTC)


@pytest.mark.parametrize(
    ("more", "tz", "zone"),
    [
        (TOKYO, {}, "Asia/Tokyo"),
        (TOKYO, {"tz": "subject"}, "America/New_York"),
        (TOKYO, {"tz": "team"}, "UTC"),
        ({}, {}, "America/New_York"),
    ],
    ids=["of the pipeline", "of the record", "of the team", "nobody says"],
)
def test_times_go_by_the_clock_of_the_pipeline_unless_they_say_otherwise(
    team: Team, run_at: Run, more: dict[str, Any], tz: dict[str, str], zone: str
) -> None:
    rule = {"at": "09:00", **tz}
    ask = {"type": "human_task", "with": {"title": "Look", "due": rule}}
    active(team, [ask], **more)
    active(team, [{"type": "wait", "delay": rule}], key="waits", **more)
    contact = Contact.objects.create(team=team, first_name="Ann", **NEW_YORK)
    run_at(NOON)
    waiting = PipelineRun.objects.get(pipeline__key="waits", subject_id=contact.pk)
    assert waiting.next_step_at == nine(zone) == Task.objects.get().due_at


def test_hours_for_sending_go_by_it(team: Team, run_at: Run) -> None:
    settings = {**TOKYO["settings"], "window": {"hours": "09:00-10:00"}}
    active(team, [email()], settings=settings)
    Contact.objects.create(team=team, email="ann@example.org", **NEW_YORK)
    run_at(NOON)
    assert Message.objects.get().held_until == nine("Asia/Tokyo")


def test_what_others_call_so_is_theirs_and_empty_hours_of_a_step_are_none(team: Team, run_at: Run) -> None:
    settings = {**TOKYO["settings"], "window": {"hours": "09:00-10:00"}}
    keep = {"type": "set_variable", "with": {"due": {"at": "09:00"}}}
    letter = email()
    letter["with"]["window"] = {}
    pipeline = active(team, [keep, letter], settings=settings, variables=[{"name": "due", "type": "object"}])
    Contact.objects.create(team=team, email="ann@example.org")
    run_at(NOON)
    assert RunContext.objects.get(run__pipeline=pipeline).vars["due"] == {"at": "09:00"}
    assert Message.objects.get().held_until == nine("Asia/Tokyo")


def test_what_is_due_by_the_old_clock_fires_and_an_unpublished_zone_changes_nothing(team: Team) -> None:
    daily = {"type": "cron", "cron": "0 9 * * *", "misfire": "all"}
    steps = [{"type": "wait", "delay": "1h"}]
    with pretend(NOON):
        pipeline = active(team, steps, triggers=[daily], **TOKYO)
        Pipeline.objects.update(settings=NEW_YORK)
    fire_due(now=NOON)
    assert Trigger.objects.get().next_fire_at == nine("Asia/Tokyo")
    with pretend(nine("America/New_York") + timedelta(days=2)):
        pipeline.refresh_from_db()
        publish(pipeline=pipeline)
    assert [firing.at for firing in Firing.objects.order_by("at")] == [nine("Asia/Tokyo"), nine("Asia/Tokyo") + DAY]
    assert Trigger.objects.get().next_fire_at == nine("America/New_York") + 3 * DAY


def test_a_new_zone_holds_at_once_for_schedules_and_for_who_waits(team: Team, run_at: Run) -> None:
    daily = {"type": "cron", "cron": "0 9 * * *"}
    for zone in ("Asia/Tokyo", "America/New_York"):
        with pretend(NOON):
            settings = {"timezone": zone}
            active(team, [{"type": "wait", "delay": {"at": "09:00"}}], triggers=[AUTOMATIC, daily], settings=settings)
            if not Contact.objects.exists():
                Contact.objects.create(team=team, first_name="Ann")
            run_at(NOON)
        assert PipelineRun.objects.get().next_step_at == nine(zone)
        assert Trigger.objects.get(kind=Trigger.Kind.CRON).next_fire_at == nine(zone)
