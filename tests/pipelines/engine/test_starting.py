"""`settings.max_per_hour` of a pipeline: so many runs begin in any hour, and each other one is told its time."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Team
from pipelines.definition.pacing import Places
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, later, log
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.counting import statements

MARK: dict[str, Any] = {"key": "mark", "type": "update_record", "with": {"values": {"lead_source": "seen"}}}


def people(team: Team, count: int) -> None:
    start = Contact.objects.count()
    bulk_create_contacts(team=team, items=[{"email": f"c{start + n}@example.org"} for n in range(count)])


def begun() -> int:
    return Contact.objects.filter(lead_source="seen").count()


@given(st.integers(1, 500), st.lists(st.integers(0, 7_200), min_size=1, max_size=600))
def test_no_hour_has_more_than_it_may_however_they_come(most: int, arrivals: list[int]) -> None:
    tail, times = None, []
    for second in sorted(arrivals):
        now = later(seconds=second)
        places = Places.of(tail, most=most, now=now)
        times.append(places.take(now) or now)
        tail = places.tail
    times.sort()
    for first, beyond in zip(times, times[most:], strict=False):
        assert beyond - first >= timedelta(hours=1)


def test_a_release_is_spread_over_the_hours_it_takes(team: Team, run_at: Run) -> None:
    active(team, [MARK, {"type": "wait", "delay": "90d"}], settings={"max_per_hour": 60})
    people(team, 150)
    counts = []
    for minutes in range(0, 181, 30):
        run_at(later(minutes=minutes))
        counts.append(begun())
    assert counts[0] == 1
    # A minute each, and a second more, so that no hour ever has 61.
    assert counts[1:4] == [30, 59, 89]
    assert counts[-1] == 150
    assert not PipelineRun.objects.filter(status=RunStatus.FAILED).exists()


def test_a_run_says_why_it_waits_and_keeps_its_place(team: Team, run_at: Run) -> None:
    active(team, [MARK], settings={"max_per_hour": 2})
    people(team, 2)
    run_at(NOON)
    first, second = PipelineRun.objects.order_by("pk")
    assert (first.status, second.status) == (RunStatus.COMPLETED, RunStatus.PENDING)
    # Who comes later does not take the place of who waits.
    people(team, 3)
    run_at(later(minutes=30))
    place = second.next_step_at
    second.refresh_from_db()
    assert second.next_step_at == place and place is not None
    run_at(place)
    second.refresh_from_db()
    assert second.status == RunStatus.COMPLETED
    assert log(second) == [(1, "note", None), (2, "completed", "next")]
    note = StepExecution.objects.get(run_id=second.pk, event=StepExecution.Event.NOTE)
    assert note.error == "Waits for its place: 2 runs of this pipeline begin in an hour at most (max_per_hour)."
    assert begun() == 2


def test_only_the_first_step_is_paced_and_others_pipelines_are_not(team: Team, run_at: Run) -> None:
    active(team, [MARK, {"type": "wait", "delay": "10m"}, {**MARK, "key": "again"}], settings={"max_per_hour": 1})
    active(team, [MARK], key="free")
    people(team, 5)
    run_at(NOON)
    assert PipelineRun.objects.filter(pipeline__key="free", status=RunStatus.COMPLETED).count() == 5
    run_at(later(minutes=10))
    assert PipelineRun.objects.filter(pipeline__key="welcome", status=RunStatus.COMPLETED).count() == 1


def test_who_tries_the_first_step_again_takes_no_second_place(team: Team, run_at: Run) -> None:
    call = {"type": "call", "with": {"pipeline": "other"}, "retry": {"max": 1, "delay": "10m"}}
    other = active(team, [MARK], key="other", triggers=[])
    active(team, [call], settings={"max_per_hour": 1})
    Pipeline.objects.filter(pk=other.pk).update(key="elsewhere")
    people(team, 2)
    run_at(NOON)
    Pipeline.objects.filter(pk=other.pk).update(key="other")
    for minutes, done in ((10, 1), (60, 2)):
        run_at(later(minutes=minutes))
        assert PipelineRun.objects.filter(parent=None, status=RunStatus.COMPLETED).count() == done


def test_a_first_step_with_a_delay_takes_its_place_when_it_is_due(team: Team, run_at: Run) -> None:
    active(team, [{**MARK, "delay": "1d"}], settings={"max_per_hour": 1})
    people(team, 2)
    run_at(later(hours=23))
    assert begun() == 0
    run_at(later(hours=24))
    run_at(later(hours=24, minutes=59))
    assert begun() == 1
    run_at(later(hours=25))
    assert begun() == 2


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite takes at most 999 parameters in a statement")
def test_places_cost_the_same_for_ten_and_for_a_hundred(team: Team, run_at: Run) -> None:
    active(team, [MARK], settings={"max_per_hour": 10})
    costs = []
    for day, count in enumerate((1, 10, 100)):
        people(team, count)
        costs.append(statements(partial(run_at, later(days=day, seconds=day))))
    assert costs[2] <= costs[1]
