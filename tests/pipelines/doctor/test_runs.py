"""Runs that nothing moves are found, and what needs no judgement is mended."""

import pytest
from django.utils import timezone

from crm.models import Message, Task, Team
from pipelines.engine.tick import process_due_runs
from pipelines.models import (
    Effect,
    EngineState,
    EnrollmentDecision,
    LaneStrike,
    Pipeline,
    PipelineRun,
    StepExecution,
)
from pipelines.states import RunStatus
from tests.pipelines.doctor.conftest import Doctor, ago, found, tell

pytestmark = pytest.mark.django_db


def _change(run: PipelineRun, **values: object) -> None:
    PipelineRun.objects.filter(pk=run.pk).update(**values)


def _effect(run: PipelineRun, **values: object) -> Effect:
    plain = {"run": run, "seq": run.seq, "kind": Effect.Kind.HTTP, "available_at": ago(hours=1)}
    return Effect.objects.create(**{**plain, "created_at": ago(hours=1), **values})


def test_a_healthy_installation_has_nothing_wrong(waiting_run: PipelineRun, doctor: Doctor) -> None:
    assert doctor() == (0, {"ok": True, "findings": [], "fixed": []})
    assert tell() == (0, "Nothing is wrong.\n")


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.WAITING])
def test_a_run_that_waits_for_nothing_is_stuck(waiting_run: PipelineRun, doctor: Doctor, status: RunStatus) -> None:
    _change(waiting_run, status=status, next_step_at=None)
    code, answer = doctor()
    assert code == 1
    assert found(answer)["runs.stuck"]["ids"] == [waiting_run.pk]
    assert found(answer)["runs.stuck"]["count"] == 1


def test_a_run_that_waits_for_a_persons_task_is_not_stuck(waiting_run: PipelineRun, team: Team, doctor: Doctor) -> None:
    _change(waiting_run, status=RunStatus.WAITING, next_step_at=None)
    task = Task.objects.create(team=team, title="Call", run_id=waiting_run.pk, run_seq=waiting_run.seq)
    assert doctor()[0] == 0
    Task.objects.filter(pk=task.pk).update(status=Task.Status.DONE)
    assert "runs.stuck" in found(doctor()[1])


def test_a_run_whose_effect_is_on_its_way_is_not_stuck(waiting_run: PipelineRun, doctor: Doctor) -> None:
    _change(waiting_run, status=RunStatus.RUNNING, next_step_at=None)
    effect = _effect(waiting_run)
    assert doctor()[0] == 0
    Effect.objects.filter(pk=effect.pk).update(status=Effect.Status.CANCELLED)
    assert "runs.stuck" in found(doctor()[1])


def test_a_stuck_run_is_made_due_and_the_next_tick_ends_it_or_moves_it(
    waiting_run: PipelineRun, doctor: Doctor
) -> None:
    _change(waiting_run, status=RunStatus.RUNNING, next_step_at=None)
    code, answer = doctor("--fix")
    assert code == 0
    assert [fixed["code"] for fixed in answer["fixed"]] == ["runs.stuck"]
    process_due_runs()
    waiting_run.refresh_from_db()
    assert waiting_run.next_step_at is not None or waiting_run.is_finished


def test_a_run_is_overdue_after_the_minutes_one_asks_for(waiting_run: PipelineRun, doctor: Doctor) -> None:
    _change(waiting_run, next_step_at=ago(minutes=20))
    assert found(doctor()[1])["runs.overdue"]["ids"] == [waiting_run.pk]
    assert doctor("--minutes", "30")[0] == 0


def test_runs_of_a_paused_pipeline_wait_on_purpose(waiting_run: PipelineRun, doctor: Doctor) -> None:
    _change(waiting_run, next_step_at=ago(minutes=20))
    Pipeline.objects.update(status=Pipeline.Status.PAUSED)
    assert doctor()[0] == 0


@pytest.mark.parametrize("lease_until", [None, 10])
@pytest.mark.parametrize("at_most_once", [True, False])
def test_work_whose_worker_is_gone_is_found_and_settled(
    waiting_run: PipelineRun, doctor: Doctor, lease_until: int | None, at_most_once: bool
) -> None:
    _change(waiting_run, status=RunStatus.RUNNING)
    effect = _effect(
        waiting_run,
        status=Effect.Status.SENDING,
        at_most_once=at_most_once,
        attempt=1,
        lease_until=None if lease_until is None else ago(minutes=lease_until),
    )
    assert found(doctor()[1])["effects.expired"]["ids"] == [effect.pk]
    doctor("--fix")
    effect.refresh_from_db()
    assert effect.status == (Effect.Status.UNCERTAIN if at_most_once else Effect.Status.QUEUED)
    assert "effects.expired" not in found(doctor()[1])


def test_a_lease_that_is_held_is_left_alone(waiting_run: PipelineRun, doctor: Doctor) -> None:
    _effect(waiting_run, status=Effect.Status.LEASED, lease_until=timezone.now())
    assert doctor()[0] == 0


def test_a_parent_whose_children_have_all_ended_is_found(waiting_run: PipelineRun, doctor: Doctor) -> None:
    _change(waiting_run, status=RunStatus.WAITING, open_children=2)
    assert found(doctor()[1])["runs.miscounted"]["ids"] == [waiting_run.pk]
    doctor("--fix")
    waiting_run.refresh_from_db()
    assert (waiting_run.open_children, waiting_run.status) == (0, RunStatus.PENDING)
    assert "runs.miscounted" not in found(doctor()[1])


def test_a_run_that_was_set_aside_is_told_until_it_is_retried(waiting_run: PipelineRun, doctor: Doctor) -> None:
    now = timezone.now()
    _change(waiting_run, status=RunStatus.FAILED, finished_at=now, next_step_at=None)
    StepExecution.objects.create(
        at=now,
        run_id=waiting_run.pk,
        step_id=waiting_run.step_id or 0,
        seq=waiting_run.seq,
        event=StepExecution.Event.FAILED,
        started_at=now,
        finished_at=now,
        error="Set aside: this run stopped its worker three times.",
    )
    assert found(doctor()[1])["runs.quarantined"]["ids"] == [waiting_run.pk]
    _change(waiting_run, status=RunStatus.PENDING, finished_at=None, next_step_at=now)
    assert "runs.quarantined" not in found(doctor()[1])


def test_a_step_in_which_workers_died_is_told_for_an_hour(healthy: None, doctor: Doctor) -> None:
    LaneStrike.objects.create(step_id=7, strikes=2, size=10, updated_at=ago(minutes=50))
    assert found(doctor()[1])["steps.deadly"]["ids"] == [7]
    LaneStrike.objects.update(updated_at=ago(minutes=70))
    assert doctor()[0] == 0


def test_a_mail_outage_is_told_while_it_is_fresh(healthy: None, doctor: Doctor) -> None:
    EngineState.objects.create(name="mail-outage", at=ago(minutes=1), data={"code": "connection", "detail": "x@y.z"})
    finding = found(doctor()[1])["mail.outage"]
    assert "connection" in finding["problem"]
    assert "x@y.z" not in str(finding)
    EngineState.objects.filter(name="mail-outage").update(at=ago(minutes=11))
    assert doctor()[0] == 0


def test_messages_that_may_have_arrived_wait_for_a_decision(healthy: None, team: Team, doctor: Doctor) -> None:
    message = Message.objects.create(
        team=team, recipient="ann@acme.example", state=Message.State.UNCERTAIN, created_at=ago(hours=1)
    )
    finding = found(doctor()[1])["messages.uncertain"]
    assert finding["ids"] == [message.pk]
    assert finding["fixable"] is False
    assert "ann@" not in str(finding)
    Message.objects.update(decided_at=timezone.now())
    assert doctor()[0] == 0


def test_an_enrollment_that_no_sweep_took_up_is_told(waiting_run: PipelineRun, doctor: Doctor) -> None:
    decision = EnrollmentDecision.objects.create(
        pipeline_id=waiting_run.pipeline_id,
        decision=EnrollmentDecision.Decision.ERROR,
        settled=False,
        at=ago(minutes=5),
    )
    assert doctor()[0] == 0
    EnrollmentDecision.objects.filter(settled=False).update(at=ago(minutes=15))
    assert found(doctor()[1])["enrollments.failed"]["ids"] == [decision.pk]


def test_only_the_first_few_of_many_are_named(waiting_run: PipelineRun, doctor: Doctor) -> None:
    for number in range(8):
        LaneStrike.objects.create(step_id=number, strikes=1, updated_at=timezone.now())
    finding = found(doctor()[1])["steps.deadly"]
    assert finding["count"] == 8
    assert finding["ids"] == [0, 1, 2, 3, 4]
    assert "[0, 1, 2, 3, 4, …]" in tell()[1]


def test_an_examination_costs_the_same_with_one_run_and_with_many(
    waiting_run: PipelineRun, team: Team, django_assert_max_num_queries: object
) -> None:
    from contacts.models import Contact

    for number in range(20):
        Contact.objects.create(team=team, first_name="Ann", email=f"ann{number}@acme.example")
    PipelineRun.objects.update(next_step_at=ago(hours=1))
    budget: object = django_assert_max_num_queries
    with budget(45):  # type: ignore[operator]
        assert "21 runs should have moved" in tell()[1]
