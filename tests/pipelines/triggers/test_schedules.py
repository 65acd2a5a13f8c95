"""Schedules fire once per slot, whatever the clock does; segments take in who fits, once."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.definition.cron import CronError, Schedule, read_schedule
from pipelines.engine import firing
from pipelines.engine.schedules import fire_due
from pipelines.models import EnrollmentDecision, Firing, Pipeline, PipelineRun, Trigger
from pipelines.operations import InvalidDocument, pause, resume
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.triggers.test_event_triggers import HOLD, ann, inside


def cron(expr: str, tz: str = "UTC", **more: Any) -> dict[str, Any]:
    return {"type": "cron", "cron": expr, "tz": tz, **more}


@pytest.mark.parametrize(
    ("expr", "zone", "start", "slots"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["2026-10-25T02:30", "2026-10-26T02:30"]),
        ("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00", ["2027-03-28T03:00", "2027-03-29T02:30"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00", ["2026-11-01T01:30", "2026-11-02T01:30"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2027-04-03T12:00", ["2027-04-04T01:45", "2027-04-05T01:45"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["2026-10-04T02:30", "2026-10-05T02:15"]),
        ("0 9 29 2 *", "UTC", "2027-01-01T12:00", ["2028-02-29T09:00", "2032-02-29T09:00"]),
        ("0 9 L * *", "UTC", "2027-01-03T12:00", ["2027-01-31T09:00", "2027-02-28T09:00"]),
        ("0 9 31 * *", "UTC", "2027-01-03T12:00", ["2027-01-31T09:00", "2027-03-31T09:00"]),
        ("0 * * * *", "Europe/Berlin", "2026-10-25T01:30",
         ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"]),
        ("0 12 13 * fri", "UTC", "2027-08-01T00:00", ["2027-08-06T12:00", "2027-08-13T12:00", "2027-08-20T12:00"]),
    ],
)  # fmt: skip
def test_a_slot_comes_once_on_days_when_the_clock_changes(expr: str, zone: str, start: str, slots: list[str]) -> None:
    from zoneinfo import ZoneInfo

    begin = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    assert [slot.name for slot in islice(Schedule(expr, zone).after(begin), len(slots))] == slots


def test_an_old_name_of_a_zone_means_the_same_slots() -> None:
    names = [[slot.name for slot in islice(Schedule("30 3 * * *", zone).after(NOON), 400)]
             for zone in ("Europe/Kiev", "Europe/Kyiv")]  # fmt: skip
    assert names[0] == names[1]


@pytest.mark.parametrize("expr", ["0 9 30 2 *", "0 9 * *", "0 0 9 * * *", "@daily", "61 * * * *"])
def test_a_schedule_that_cannot_be_read_is_refused_before_it_is_used(team: Team, expr: str) -> None:
    with pytest.raises(CronError):
        read_schedule(expr, "UTC")
    with pytest.raises(InvalidDocument, match=r"triggers\[0\].cron"):
        active(team, HOLD, key="p", subject=None, triggers=[cron(expr)])


def scheduled(team: Team, *triggers: dict[str, Any], **more: Any) -> Pipeline:
    """A pipeline whose triggers are in force since noon."""
    pipeline = active(team, HOLD, key="p", **{"subject": None, **more}, triggers=list(triggers))
    Trigger.objects.filter(pipeline=pipeline).update(armed_at=NOON)
    return pipeline


def starts(pipeline: Pipeline) -> list[str]:
    rows = PipelineRun.objects.filter(pipeline=pipeline).select_related("context").order_by("pk")
    return [run.context.trigger["slot"] for run in rows]


def test_the_hour_that_comes_twice_fires_once_and_the_skipped_one_right_after(team: Team, run_at: Run) -> None:
    pipeline = scheduled(team, cron("30 2 * * *", "Europe/Berlin"))
    at = datetime(2027, 10, 30, 22, 0, tzinfo=UTC)
    Trigger.objects.update(armed_at=at)
    for minutes in range(0, 300, 5):
        run_at(at + timedelta(minutes=minutes))
    assert starts(pipeline) == ["2027-10-31T02:30"]
    assert fire_due(now=at + timedelta(minutes=300)) == 0


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("skip", []),
        ("once", ["2027-03-04T09:00"]),
        ("all", ["2027-03-02T09:00", "2027-03-03T09:00", "2027-03-04T09:00"]),
    ],
)
def test_after_a_standstill_the_rule_for_missed_slots_decides(
    team: Team, run_at: Run, misfire: str, expected: list[str]
) -> None:
    pipeline = scheduled(team, cron("0 9 * * *", misfire=misfire))
    run_at(NOON)
    run_at(later(days=3))
    assert starts(pipeline) == expected
    run_at(later(days=3, hours=21))
    assert starts(pipeline) == [*expected, "2027-03-05T09:00"]


def test_a_minute_schedule_is_on_time_though_the_worker_is_slow(team: Team, run_at: Run) -> None:
    pipeline = scheduled(team, cron("*/5 * * * *"))
    for minutes in (1, 6, 6, 13):
        run_at(later(minutes=minutes))
    assert [slot[11:16] for slot in starts(pipeline)] == ["12:05", "12:10"]


def test_a_schedule_that_does_not_overlap_waits_for_its_last_run(team: Team, run_at: Run) -> None:
    pipeline = scheduled(team, cron("0 * * * *", overlap="skip"))
    run_at(later(hours=1))
    run_at(later(hours=2))
    assert len(starts(pipeline)) == 1
    assert Firing.objects.get(state=Firing.State.SKIPPED).note == "The firing before it was still under way."


def test_a_schedule_that_was_changed_or_paused_owes_nothing_of_before(team: Team, run_at: Run) -> None:
    pipeline = scheduled(team, cron("0 9 * * *", misfire="all"))
    run_at(NOON)
    pipeline.refresh_from_db()
    pause(pipeline=pipeline, now=NOON)
    run_at(later(days=2))
    resume(pipeline=pipeline, now=later(days=2))
    Trigger.objects.update(armed_at=later(days=2))
    run_at(later(days=2, minutes=1))
    assert starts(pipeline) == []
    run_at(later(days=2, hours=22))
    assert starts(pipeline) == ["2027-03-04T09:00"]


def test_for_each_takes_every_record_that_fits_in_parts(team: Team, run_at: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(firing, "SIZE", 2)
    where = {"field": "lifecycle_stage", "operator": "equals", "value": "customer"}
    each = {"model": "contacts.contact", "where": where}
    pipeline = scheduled(team, cron("0 9 * * *", for_each=each), subject="contacts.contact")
    people = [ann(team, lifecycle_stage="customer" if n % 2 else "lead") for n in range(9)]
    Contact.objects.create(team=Team.objects.create(name="B", slug="b"), lifecycle_stage="customer")
    run_at(later(hours=21))
    assert inside(pipeline) == [person.pk for person in people if person.lifecycle_stage == "customer"]
    done = Firing.objects.get()
    assert (done.entered, done.state) == (4, Firing.State.DONE)


def segment(**more: Any) -> dict[str, Any]:
    where = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}
    return {"type": "segment", "where": where, "every": "1h", **more}


def test_a_segment_takes_each_record_once_and_writes_nothing_about_the_others(team: Team, run_at: Run) -> None:
    pipeline = scheduled(team, segment(), subject="contacts.contact")
    customer, lead = ann(team, lifecycle_stage="customer"), ann(team)
    run_at(later(minutes=1))
    run_at(later(hours=2))
    assert inside(pipeline) == [customer.pk]
    Contact.objects.filter(pk=lead.pk).update(lifecycle_stage="customer")
    PipelineRun.objects.update(status=RunStatus.CANCELLED, finished_at=NOON, next_step_at=None)
    run_at(later(hours=3))
    assert inside(pipeline) == [customer.pk, lead.pk]
    assert EnrollmentDecision.objects.count() == 0


def test_who_left_the_segment_may_enter_again(team: Team, run_at: Run) -> None:
    pipeline = scheduled(team, segment(reentry={"release": "on_leave"}), subject="contacts.contact")
    customer = ann(team, lifecycle_stage="customer")
    run_at(later(minutes=1))
    PipelineRun.objects.update(status=RunStatus.CANCELLED, finished_at=NOON, next_step_at=None)
    run_at(later(hours=1))
    assert len(inside(pipeline)) == 1
    for hours, stage in ((2, "lead"), (3, "customer")):
        Contact.objects.filter(pk=customer.pk).update(lifecycle_stage=stage)
        run_at(later(hours=hours, minutes=1))
    assert len(inside(pipeline)) == 2
