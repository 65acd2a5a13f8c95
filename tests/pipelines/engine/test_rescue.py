"""What becomes of work whose worker is gone."""

import socket
import subprocess
import sys
from datetime import timedelta

import pytest

from contacts.models import Contact
from crm.channels.base import Delivered
from crm.models import Message, Team
from pipelines.engine.advance import advance_lane
from pipelines.engine.clock import real_now
from pipelines.engine.deliver import deliver
from pipelines.engine.glance import Glance, look, note_tick
from pipelines.engine.rescue import lane_sizes, note_strikes, rescue
from pipelines.engine.settle import settle
from pipelines.engine.store import store
from pipelines.models import Effect, EngineState, EngineWorker, LaneStrike, PipelineRun, PipelineStep, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.sinks.smtp import SmtpSink

LONG = later(days=3650)


@pytest.fixture
def queued(team: Team, run_at: Run) -> Effect:
    """One message that waits to be handed over."""
    pipeline = active(team, [email(), {"type": "wait", "delay": "1d"}])
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    step = PipelineStep.objects.filter(pipeline=pipeline).order_by("number")[0]
    advance_lane(step_id=step.pk, now=NOON, limit=10)
    return Effect.objects.get()


def lease(**more: object) -> Effect:
    (effect,) = store().lease_effects(
        kind=Effect.Kind.EMAIL,
        now=NOON,
        real_now=real_now(),
        until=real_now() + timedelta(minutes=2),
        limit=5,
        worker=1,
    )
    return effect


def a_glance() -> Glance:
    note_tick(now=real_now())
    return look(real_now=real_now(), now=real_now(), host=socket.gethostname())


def test_notes_of_single_steps_and_pipelines_are_not_read_at_every_look(team: Team) -> None:
    names = ("upkeep", "sweep:contacts.contact", "turn:1", "starts:1", "pace:1:email")
    EngineState.objects.bulk_create(EngineState(name=name) for name in names)
    assert set(a_glance().states) == {"tick", "upkeep", "sweep:contacts.contact"}


def test_a_worker_that_lost_its_lease_can_change_nothing(queued: Effect, smtp: SmtpSink) -> None:
    stale = lease()
    Effect.objects.update(lease_until=real_now() - timedelta(seconds=1))
    rescue(now=NOON, glance=a_glance())
    fresh = lease()
    assert fresh.attempt == stale.attempt + 1
    settle([(stale, Delivered(reference="late"))], now=NOON)
    queued.refresh_from_db()
    assert queued.status == Effect.Status.LEASED and not StepExecution.objects.exists()
    settle([(fresh, Delivered(reference="mine"))], now=NOON)
    queued.refresh_from_db()
    assert queued.status == Effect.Status.DONE and StepExecution.objects.count() == 1


def test_work_that_was_never_begun_is_simply_done_by_the_next(queued: Effect, smtp: SmtpSink, run_at: Run) -> None:
    lease()
    Effect.objects.update(lease_until=real_now() - timedelta(seconds=1))
    run_at(NOON)
    assert smtp.recipients() == ["ann@example.org"]
    assert Message.objects.get().state == "sent"


def test_work_that_may_have_left_is_told_as_uncertain(queued: Effect, smtp: SmtpSink, run_at: Run) -> None:
    lease()
    Effect.objects.update(status=Effect.Status.SENDING, lease_until=real_now() - timedelta(seconds=1))
    Message.objects.update(state=Message.State.SENDING)
    run_at(NOON)
    assert not smtp.recipients()
    assert Message.objects.get().state == "uncertain"
    assert PipelineRun.objects.get().status == RunStatus.PENDING


def test_a_live_lease_is_left_alone(queued: Effect, smtp: SmtpSink) -> None:
    lease()
    rescue(now=NOON, glance=a_glance())
    deliver(now=NOON, until=float("inf"))
    assert not smtp.recipients()


def dead_pid() -> int:
    """The number of a process that existed and ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def a_worker_died(step: PipelineStep, *, size: int, run: PipelineRun | None = None) -> None:
    EngineWorker.objects.create(
        host=socket.gethostname(), pid=dead_pid(), started_at=real_now(), heartbeat_at=real_now(), lane_step_id=step.pk,
        lane_size=size, lane_run_id=run.pk if run else None,
    )  # fmt: skip
    note_strikes(now=real_now())


def test_a_lane_in_which_workers_die_gets_smaller_batches(team: Team, run_at: Run) -> None:
    step = active(team, [email()]).steps.get()
    sizes = []
    for size in (1000, 100, 10, 1):
        a_worker_died(step, size=size)
        sizes.append(lane_sizes(now=real_now())[step.pk])
    assert sizes == [100, 10, 1, 1]
    LaneStrike.objects.update(updated_at=real_now() - timedelta(hours=2))
    assert lane_sizes(now=real_now()) == {}


def test_a_run_that_stops_its_worker_three_times_is_set_aside_and_the_others_go_on(
    team: Team, run_at: Run, smtp: SmtpSink
) -> None:
    step = active(team, [email()]).steps.get()
    for name in ("bad", "good"):
        Contact.objects.create(team=team, first_name=name, email=f"{name}@example.org")
    bad = PipelineRun.objects.order_by("pk")[0]
    for _ in range(3):
        a_worker_died(step, size=1, run=bad)
    bad.refresh_from_db()
    assert bad.status == RunStatus.FAILED
    assert "stopped its worker three times" in (StepExecution.objects.get(run_id=bad.pk).error or "")
    run_at(NOON)
    assert smtp.recipients() == ["good@example.org"]


def test_a_run_that_is_set_aside_is_not_tried_again_by_the_rule_of_its_step(team: Team, smtp: SmtpSink) -> None:
    step = active(team, [email(retry={"max": 3, "delay": "1h"})]).steps.get()
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    run = PipelineRun.objects.get()
    for _ in range(3):
        a_worker_died(step, size=1, run=run)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
