"""Waiting for events and conditions, exit rules and goals: the first that happens decides, and nothing is lost."""

from datetime import datetime
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import mail
from django.test import Client

from contacts.models import Contact
from crm.models import Team
from crm.unsubscribe import unsubscribe_url
from pipelines.engine import tick
from pipelines.engine.clock import pretend
from pipelines.engine.controls import pause_runs, resume_runs
from pipelines.engine.dispatch import LIMIT, dispatch
from pipelines.engine.enroll import enroll
from pipelines.engine.events import publish
from pipelines.models import Event, EventWait, GoalHit, Pipeline, PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later, log
from tests.pipelines.engine.conftest import Run


def a_run(team: Team, **values: Any) -> PipelineRun:
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", **values)
    return PipelineRun.objects.get(subject_id=contact.pk, parent=None)


def happens(run: PipelineRun, type: str, at: datetime, **payload: Any) -> None:
    publish(
        team_id=run.pipeline.team_id,
        type=type,
        subject_type_id=ContentType.objects.get_for_model(Contact).pk,
        subject_id=run.subject_id,
        payload=payload,
        now=at,
    )


def waiting(*events: dict[str, Any], step: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    given = {"events": list(events)} if events else {}
    return {"key": "hold", "type": "wait_for", "with": {**given, **more}, **(step or {})}


def state(run: PipelineRun) -> tuple[RunStatus, str | None]:
    run.refresh_from_db()
    return RunStatus(run.status), run.reason


def test_a_run_waits_for_an_event_and_reads_what_it_carries(team: Team, run_at: Run) -> None:
    active(
        team,
        [waiting({"name": "bought", "event": "purchase"}), email("{{ steps.hold.total }} {{ steps.hold.outcome }}")],
    )
    run = a_run(team)
    run_at(NOON)
    assert state(run)[0] == RunStatus.WAITING
    happens(run, "purchase", later(hours=1), total=42)
    run_at(later(hours=1))
    assert state(run)[0] == RunStatus.COMPLETED
    assert [message.body.split("\n")[0] for message in mail.outbox] == ["42 bought"]
    assert log(run)[0] == (1, "completed", "bought")
    assert EventWait.objects.get().status == EventWait.Status.HIT


def test_the_first_of_several_events_decides_and_a_late_one_changes_nothing(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            waiting(
                {"name": "yes", "event": "accepted"}, {"name": "no", "event": "declined"}, step={"on": {"no": "end"}}
            ),
            {"key": "rest", "type": "wait", "delay": "1d"},
        ],
    )
    run = a_run(team)
    run_at(NOON)
    happens(run, "declined", later(hours=1))
    happens(run, "accepted", later(hours=2))
    run_at(later(hours=2))
    assert state(run)[0] == RunStatus.COMPLETED and log(run) == [(1, "completed", "no")]
    assert set(EventWait.objects.values_list("name", "status")) == {("no", 1), ("yes", 2)}


def test_nobody_answers_in_time(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            waiting({"event": "opened"}, step={"timeout": "2d", "on": {"timeout": "remind"}, "next": "end"}),
            email("Have you seen it?", key="remind"),
        ],
    )
    run = a_run(team)
    run_at(NOON)
    run_at(later(days=1))
    assert not mail.outbox
    run_at(later(days=2))
    assert len(mail.outbox) == 1 and log(run)[0] == (1, "timed out", "timeout")
    happens(run, "opened", later(days=3))
    run_at(later(days=3))
    assert state(run)[0] == RunStatus.COMPLETED and len(log(run)) == 2


def test_an_event_before_the_wait_counts_where_the_step_says_so(team: Team, run_at: Run) -> None:
    active(team, [{"type": "wait", "delay": "1h"}, waiting({"event": "opened", "since": "run"})])
    active(team, [{"type": "wait", "delay": "1h"}, waiting({"event": "opened"})], key="now_only")
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    early, late = PipelineRun.objects.filter(subject_id=contact.pk).order_by("pk")
    run_at(NOON)
    happens(early, "opened", later(minutes=30))
    run_at(later(minutes=30))
    run_at(later(hours=1))
    assert state(early)[0] == RunStatus.COMPLETED
    assert state(late)[0] == RunStatus.WAITING


def test_only_the_event_with_the_right_contents_counts(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            waiting({"name": "paid", "event": "payment", "match": {"order": "= trigger.order"}}),
        ],
        triggers=[{"type": "manual"}],
    )
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")

    enroll(pipeline=Pipeline.objects.get(), subject_ids=[contact.pk], payload={"order": 7})
    run = PipelineRun.objects.get()
    run_at(NOON)
    publish(team_id=team.pk, type="payment", payload={"order": 6}, now=later(hours=1))
    run_at(later(hours=1))
    assert state(run)[0] == RunStatus.WAITING
    publish(team_id=team.pk, type="payment", payload={"order": 7}, now=later(hours=2))
    run_at(later(hours=2))
    assert state(run)[0] == RunStatus.COMPLETED


def test_it_takes_three_events_where_three_are_asked_for(team: Team, run_at: Run) -> None:
    active(team, [waiting({"event": "visit", "where": "event.seconds > 10"}, count=3)])
    run = a_run(team)
    run_at(NOON)
    for hour, seconds in ((1, 20), (2, 5), (3, 30), (4, 40)):
        assert state(run)[0] == RunStatus.WAITING
        happens(run, "visit", later(hours=hour), seconds=seconds)
        run_at(later(hours=hour))
    assert state(run)[0] == RunStatus.COMPLETED


@pytest.mark.parametrize(("since", "ends"), [("run", 3), ("2h", 4), ("now", 6)])
def test_events_before_the_wait_count_towards_how_many_are_asked_for(
    team: Team, run_at: Run, since: str, ends: int
) -> None:
    """Visits at one, two, four, five and six o'clock; the wait begins at three and asks for so many."""
    active(
        team,
        [{"type": "wait", "delay": "3h"}, waiting({"event": "visit", "since": since}, count=2 if ends == 3 else 3)],
    )
    run = a_run(team)
    for hour in range(7):
        if hour in (1, 2, 4, 5, 6):
            happens(run, "visit", later(hours=hour))
        run_at(later(hours=hour))
        assert (state(run)[0] == RunStatus.COMPLETED) is (hour >= ends), hour


@pytest.mark.parametrize("kind", ["parallel", "loop"])
def test_since_the_run_means_the_run_around_a_block(team: Team, run_at: Run, kind: str) -> None:
    inside = [waiting({"event": "visit", "since": "run"})]
    given = {"branches": [{"name": "a", "steps": inside}]} if kind == "parallel" else {"times": 1, "steps": inside}
    active(team, [{"type": "wait", "delay": "2h"}, {"key": "block", "type": kind, "with": given}])
    run = a_run(team)
    run_at(NOON)
    happens(run, "visit", later(hours=1))
    run_at(later(hours=2))
    assert state(run)[0] == RunStatus.COMPLETED


def test_a_condition_is_looked_at_when_the_record_changes(team: Team, run_at: Run) -> None:
    active(team, [waiting(condition="contact.job_title == 'Boss'")])
    run = a_run(team)
    run_at(NOON)
    contact = Contact.objects.get()
    contact.first_name = "Anna"
    contact.save()
    run_at(later(hours=1))
    assert state(run)[0] == RunStatus.WAITING
    contact.job_title = "Boss"
    contact.save()
    run_at(later(hours=2))
    assert state(run)[0] == RunStatus.COMPLETED and log(run) == [(1, "completed", "met")]


def test_a_condition_that_holds_already_lets_the_run_pass(team: Team, run_at: Run) -> None:
    active(team, [waiting(condition="contact.first_name == 'Ann'")])
    run = a_run(team)
    run_at(NOON)
    assert state(run)[0] == RunStatus.COMPLETED
    assert not EventWait.objects.exists()


def test_a_change_made_by_another_pipeline_is_heard(team: Team, run_at: Run) -> None:
    active(team, [waiting(condition="contact.job_title == 'Boss'")])
    run = a_run(team)
    run_at(NOON)
    change = {"type": "update_record", "delay": "1h", "with": {"values": {"job_title": "Boss"}}}
    other = active(team, [change], key="promote", triggers=[{"type": "manual"}])

    with pretend(NOON):
        enroll(pipeline=other, subject_ids=[run.subject_id])
    run_at(later(hours=1))
    assert state(run)[0] == RunStatus.COMPLETED


def test_changes_that_nobody_listens_to_are_not_stored(team: Team, run_at: Run) -> None:
    active(team, [{"type": "wait", "delay": "1d"}])
    a_run(team)
    contact = Contact.objects.get()
    contact.save()
    assert not Event.objects.exists()


def test_a_paused_run_hears_of_its_event_when_it_goes_on(team: Team, run_at: Run) -> None:
    active(team, [waiting({"name": "bought", "event": "purchase"})])
    run = a_run(team)
    run_at(NOON)
    pause_runs(run_ids=[run.pk])
    happens(run, "purchase", later(hours=1))
    run_at(later(hours=1))
    assert state(run)[0] == RunStatus.PAUSED
    resume_runs(run_ids=[run.pk])
    run_at(later(hours=2))
    assert state(run)[0] == RunStatus.COMPLETED and log(run) == [(1, "completed", "bought")]


def test_a_run_that_was_paused_while_it_waited_waits_on(team: Team, run_at: Run) -> None:
    active(team, [waiting({"event": "purchase"})])
    run = a_run(team)
    run_at(NOON)
    pause_runs(run_ids=[run.pk])
    resume_runs(run_ids=[run.pk])
    run_at(later(hours=1))
    assert state(run)[0] == RunStatus.WAITING
    happens(run, "purchase", later(hours=2))
    run_at(later(hours=2))
    assert state(run)[0] == RunStatus.COMPLETED


def test_whoever_unsubscribes_leaves(team: Team, run_at: Run, client: Client) -> None:
    active(
        team,
        [{"type": "wait", "delay": "1d"}, email()],
        exit=[{"event": "unsubscribed", "status": "cancelled", "reason": "unsubscribed"}],
    )
    run = a_run(team)
    run_at(NOON)
    with pretend(later(hours=1)):
        url = unsubscribe_url(team_id=team.pk, address="Ann@example.org", topic="")
        client.post("/" + url.split("/", 3)[3])
    run_at(later(hours=1))
    assert state(run) == (RunStatus.CANCELLED, "unsubscribed")
    run_at(later(days=2))
    assert not mail.outbox


def test_an_exit_looks_at_what_the_event_carries(team: Team, run_at: Run) -> None:
    active(
        team,
        [{"type": "wait", "delay": "1d"}],
        triggers=[{"type": "manual"}],
        exit=[{"event": "purchase", "match": {"cart": "{{ trigger.cart }}"}, "reason": "purchased"}],
    )

    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    with pretend(NOON):
        enroll(pipeline=Pipeline.objects.get(), subject_ids=[contact.pk], payload={"cart": "c1"})
    run = PipelineRun.objects.get()
    happens(run, "purchase", later(hours=1), cart="c2")
    run_at(later(hours=1))
    assert state(run)[0] == RunStatus.PENDING
    happens(run, "purchase", later(hours=2), cart="c1")
    run_at(later(hours=2))
    assert state(run) == (RunStatus.COMPLETED, "purchased")


def test_an_exit_ends_the_branches_too(team: Team, run_at: Run) -> None:
    wait = {"type": "wait", "delay": "1d"}
    branches = [{"name": "a", "steps": [wait]}, {"name": "b", "steps": [waiting({"event": "never"})]}]
    active(team, [{"key": "fork", "type": "parallel", "with": {"branches": branches}}], exit=[{"event": "gone"}])
    run = a_run(team)
    run_at(NOON)
    assert PipelineRun.objects.filter(root=run, finished_at=None).count() == 2
    happens(run, "gone", later(hours=1))
    run_at(later(hours=1))
    assert state(run) == (RunStatus.COMPLETED, "gone")
    assert not PipelineRun.objects.filter(finished_at=None).exists()
    assert not EventWait.objects.filter(status=EventWait.Status.OPEN).exists()


def test_a_goal_counts_once_with_its_value_also_after_the_end(team: Team, run_at: Run) -> None:
    active(
        team,
        [email()],
        goals=[{"key": "sold", "event": "purchase", "value": "{{ event.total }}", "within": "P7D"}],
    )
    run = a_run(team)
    run_at(NOON)
    assert state(run)[0] == RunStatus.COMPLETED
    happens(run, "purchase", later(days=6), total=99.5)
    happens(run, "purchase", later(days=6, hours=1), total=10)
    run_at(later(days=7))
    hit = GoalHit.objects.get()
    assert (hit.run_id, hit.goal, str(hit.value), hit.at) == (run.pk, "sold", "99.5000", later(days=6))


def test_a_goal_comes_too_late(team: Team, run_at: Run) -> None:
    active(team, [email()], goals=[{"key": "sold", "event": "purchase", "within": "P7D"}])
    run = a_run(team)
    run_at(NOON)
    happens(run, "purchase", later(days=8))
    run_at(later(days=8))
    assert not GoalHit.objects.exists()


def test_a_goal_may_end_the_run(team: Team, run_at: Run) -> None:
    active(team, [{"type": "wait", "delay": "9d"}], goals=[{"key": "sold", "event": "purchase", "exit": True}])
    run = a_run(team)
    run_at(NOON)
    happens(run, "purchase", later(days=1))
    run_at(later(days=1))
    assert state(run) == (RunStatus.COMPLETED, "goal: sold")


def test_an_event_with_a_known_key_is_the_same_event(team: Team, run_at: Run) -> None:
    stored = [publish(team_id=team.pk, type="purchase", key="order-1", now=NOON) for _ in range(2)]
    assert stored == [True, False] and Event.objects.count() == 1


@pytest.mark.parametrize(
    "event", [{"event": "met"}, {"name": "met", "event": "bought"}, {"name": "met", "event": "updated"}]
)
def test_an_event_may_have_the_name_of_a_condition_that_holds(team: Team, run_at: Run, event: dict[str, Any]) -> None:
    active(team, [waiting(event, condition="contact.first_name == 'Bo'")])
    run = a_run(team)
    run_at(NOON)
    assert state(run)[0] == RunStatus.WAITING
    happens(run, event["event"], later(hours=1))
    run_at(later(hours=1))
    assert state(run)[0] == RunStatus.COMPLETED and log(run) == [(1, "completed", "met")]


@pytest.mark.parametrize(("came", "expected"), [(3, ("completed", "bought")), (4.5, ("timed out", "timeout"))])
def test_who_was_first_counts_also_where_the_engine_looks_late(
    team: Team, run_at: Run, came: float, expected: tuple[str, str]
) -> None:
    active(team, [waiting({"name": "bought", "event": "purchase"}, step={"timeout": "4h", "on": {"timeout": "end"}})])
    run = a_run(team)
    run_at(NOON)
    happens(run, "purchase", later(hours=came))
    run_at(later(hours=5))
    assert log(run) == [(1, *expected)]


def test_a_flood_of_events_takes_turns_with_runs(team: Team, run_at: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick, "EVENT_SECONDS", 0.0)
    active(team, [{"type": "wait", "delay": "1h"}, {"type": "update_record", "with": {"values": {"phone": "1"}}}])
    run = a_run(team)
    run_at(NOON)
    kind, now = ContentType.objects.get_for_model(Contact).pk, later(minutes=50)
    Event.objects.bulk_create(
        Event(team=team, type="noise", subject_type_id=kind, subject_id=run.subject_id, occurred_at=now)
        for _ in range(2 * LIMIT + 1)
    )
    left = []

    def seen(*, now: datetime) -> Any:
        left.append((Event.objects.filter(dispatched=False).count(), state(run)[0]))
        return dispatch(now=now)

    monkeypatch.setattr(tick, "dispatch", seen)
    run_at(later(hours=1, minutes=1))
    assert left[0][1] == RunStatus.PENDING
    assert next(state for count, state in left if count <= LIMIT) == RunStatus.COMPLETED
