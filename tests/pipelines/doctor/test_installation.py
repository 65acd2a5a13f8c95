"""Schedules, ticks, tables and settings that do not belong together."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_q.cluster import scheduler
from django_q.models import OrmQ, Schedule, Task
from pytest_django import Settings

from pipelines.models import EngineState
from pipelines.tasks import FUNCTION, SCHEDULE_NAME
from tests.pipelines.doctor.conftest import Doctor, ago, found, tell

pytestmark = pytest.mark.django_db

BROKEN: dict[str, dict[str, Any]] = {
    "another function": {"func": "time.time"},
    "arguments": {"args": "1,"},
    "no repeats left": {"repeats": 0},
    "once an hour": {"schedule_type": Schedule.HOURLY},
    "another cluster": {"cluster": "night"},
    "next year": {"next_run": timezone.now() + timedelta(days=365)},
}


@pytest.mark.parametrize("values", BROKEN.values(), ids=BROKEN)
def test_a_changed_schedule_is_found_and_mended(healthy: None, doctor: Doctor, values: dict[str, Any]) -> None:
    Schedule.objects.filter(name=SCHEDULE_NAME).update(**values)
    code, answer = doctor()
    assert code == 1
    assert set(found(answer)) == {"schedule.tick"}
    code, answer = doctor("--fix")
    assert code == 0
    row = Schedule.objects.get(name=SCHEDULE_NAME)
    assert (row.func, row.schedule_type, row.minutes, row.repeats) == (FUNCTION, Schedule.MINUTES, 1, -1)
    assert row.next_run < timezone.now() + timedelta(minutes=2)


def test_a_missing_schedule_is_made_again(healthy: None, doctor: Doctor) -> None:
    Schedule.objects.all().delete()
    assert "missing" in found(doctor()[1])["schedule.tick"]["problem"]
    assert doctor("--fix")[0] == 0
    assert Schedule.objects.filter(name=SCHEDULE_NAME).count() == 1


def test_of_two_schedules_one_is_left(healthy: None, doctor: Doctor) -> None:
    Schedule.objects.create(name=SCHEDULE_NAME, func=FUNCTION, schedule_type=Schedule.MINUTES, minutes=1)
    assert found(doctor()[1])["schedule.tick"]["count"] == 2
    assert doctor("--fix")[0] == 0
    assert Schedule.objects.filter(name=SCHEDULE_NAME).count() == 1


# The scheduler closes the connection it finds, so no transaction may surround this test.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "values",
    [{"args": "(1"}, {"kwargs": "[1]"}, {"schedule_type": Schedule.CRON, "cron": "not a cron"}],
    ids=["args", "kwargs", "cron"],
)
def test_a_schedule_of_others_that_stops_every_schedule_is_found_and_switched_off(
    healthy: None, doctor: Doctor, values: dict[str, Any]
) -> None:
    plain = {"func": "time.time", "schedule_type": Schedule.DAILY, "next_run": ago(hours=1)}
    other = Schedule.objects.create(name="foreign", **plain)
    # As by SQL or an older version: saving through the model would have refused some of these.
    Schedule.objects.filter(pk=other.pk).update(**values)
    Schedule.objects.filter(name=SCHEDULE_NAME).update(next_run=ago(minutes=1))
    scheduler()
    assert OrmQ.objects.count() == 0, "the foreign schedule is what keeps ours from firing"
    assert found(doctor()[1])["schedule.malformed"]["ids"] == [other.pk]
    assert doctor("--fix")[0] == 0
    scheduler()
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize("values", [{"args": "1, 2"}, {"kwargs": "x=1"}, {"kwargs": "{'x': 1}"}, {"args": None}])
def test_schedules_of_others_that_can_be_read_are_left_alone(
    healthy: None, doctor: Doctor, values: dict[str, Any]
) -> None:
    Schedule.objects.create(name="theirs", func="time.time", schedule_type=Schedule.DAILY, **values)
    assert doctor()[0] == 0


def test_an_engine_that_does_not_tick_is_told(healthy: None, doctor: Doctor) -> None:
    EngineState.objects.filter(name="tick").update(at=ago(minutes=4))
    assert "last at" in found(doctor()[1])["tick.silent"]["problem"]
    EngineState.objects.filter(name="tick").delete()
    assert "never" in found(doctor()[1])["tick.silent"]["problem"]


def test_ticks_that_end_in_errors_are_counted(healthy: None, doctor: Doctor) -> None:
    for number, stopped in enumerate([ago(minutes=5), ago(minutes=10), ago(hours=2)]):
        Task.objects.create(id=f"{number}", name="tick", func=FUNCTION, success=False, started=stopped, stopped=stopped)
    finding = found(doctor()[1])["tick.failed"]
    assert finding["count"] == 2
    assert finding["ids"] == ["0", "1"]


def test_failing_system_checks_are_told_with_their_hint(healthy: None, doctor: Doctor, settings: Settings) -> None:
    settings.BASE_URL = "nowhere"
    finding = found(doctor()[1])["settings.check"]
    assert finding["problem"].startswith("crm.E003")
    assert "https://" in finding["advice"]
    assert "settings.check: crm.E003: BASE_URL" in tell()[1]


def test_missing_migrations_are_told_before_anything_else_is_asked(healthy: None, doctor: Doctor) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'contacts'")
    code, answer = doctor()
    assert code == 1
    assert set(found(answer)) == {"database.migrations"}
    assert "migrate" in answer["findings"][0]["advice"]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has partitions")
def test_a_missing_partition_is_found_and_made(healthy: None, doctor: Doctor) -> None:
    name = f"pipelines_event_{timezone.now():%Y_%m}"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name}")
    assert found(doctor()[1])["database.partitions"]["ids"] == [name]
    code, answer = doctor("--fix")
    assert code == 0
    assert answer["fixed"][0]["done"] == "created 1"


def test_what_was_mended_is_told(healthy: None) -> None:
    Schedule.objects.all().delete()
    status, text = tell("--fix")
    assert status == 0
    assert text.startswith("fixed schedule.tick: ")
    assert text.endswith("Nothing is wrong.\n")


def test_what_needs_a_person_stays_wrong_after_mending(healthy: None, doctor: Doctor) -> None:
    EngineState.objects.filter(name="tick").delete()
    assert doctor("--fix")[0] == 1
