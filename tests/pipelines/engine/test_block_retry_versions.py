"""A block that is to be tried again, of which the version published meanwhile has nothing left."""

from typing import Any

from crm.models import Team
from pipelines.models import StepExecution
from pipelines.operations.backfilling import backfill, preview_backfill
from pipelines.states import RunStatus
from tests.pipelines.engine.building import active, email, later, log
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.repeating import COUNT, DONE, LIMIT, PICKY, Step, begun, fork, orders, sent, state, wait

RETRY: dict[str, Any] = {"max": 2, "delay": "10m"}
ENDLESS: Step = {**orders(until="contact.job_title == 'Boss'", max=2), "retry": RETRY}


def test_who_has_nothing_to_repeat_in_a_block_that_is_gone_is_passed_on(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, ENDLESS, DONE)
    active(team, [DONE], variables=[COUNT, LIMIT])
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sent() == ["order 0", "order 1", "done after 1"]
    assert log(run) == [(1, "retried", None), (2, "moved", "skipped"), (3, "completed", "next")]


def test_a_block_that_is_gone_at_the_end_completes_its_run(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, wait("first"), ENDLESS)
    active(team, [wait("first")], variables=[COUNT, LIMIT])
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and run.reason == "step_removed"


def test_another_step_in_its_place_is_entered_as_if_nothing_had_run_there(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, ENDLESS, DONE)
    branches = fork(("only", [email("branch", key="branch")]))
    active(team, [{**branches, "key": ENDLESS["key"]}, DONE], variables=[COUNT, LIMIT])
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sent() == ["order 0", "order 1", "branch", "done after 1"]
    assert StepExecution.objects.get(run_id=run.pk, seq=2).attempt == 0


def test_who_waits_for_a_try_is_given_only_steps_that_are_passed(team: Team, run_at: Run) -> None:
    block = {**fork(("bad", [PICKY])), "retry": RETRY}
    begun(team, run_at, block, DONE)
    before, after = email("before", key="before"), email("after", key="after")
    pipeline = active(team, [before, block, after, DONE], variables=[COUNT, LIMIT])
    assert [preview_backfill(pipeline=pipeline, step=key).on_the_way for key in ("before", "after")] == [1, 0]
    assert backfill(pipeline=pipeline, step="before", now=later(minutes=1)).done == 1
    run_at(later(minutes=1))
    assert sent() == ["before"]
