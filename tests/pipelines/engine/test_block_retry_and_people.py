"""What people decided while a block is tried again by itself holds: who was cancelled stays so, what is closed too."""

from typing import Any

import pytest

from crm.models import Team
from pipelines.engine.controls import cancel_runs, retry_runs
from pipelines.models import PipelineRun
from pipelines.operations.lifecycle import archive
from pipelines.states import RunStatus
from tests.pipelines.engine.building import active, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.repeating import (
    COUNT,
    DONE,
    PICKY,
    Step,
    begun,
    fork,
    loop,
    mend,
    said,
    sent,
    state,
    wait,
)  # fmt: skip

RETRY: dict[str, Any] = {"max": 1, "delay": "10m"}


def test_a_branch_that_somebody_cancelled_does_not_begin_again_by_itself(team: Team, run_at: Run) -> None:
    asked = [wait("rest", "1h"), email("unwanted", key="unwanted")]
    bad = [{**PICKY, "next": "good"}, email("good", key="good")]
    run = begun(team, run_at, {**fork(("asked", asked), ("bad", bad), on_branch_error="wait"), "retry": RETRY}, DONE)
    cancel_runs(run_ids=[PipelineRun.objects.get(parent=run, slot=0).pk])
    run_at(later(minutes=1))
    mend()
    run_at(later(minutes=11))
    run_at(later(hours=2))
    assert sent() == ["good"] and said(run)[-1] == "The branch asked was cancelled at rest."
    assert state(run) == RunStatus.FAILED
    assert retry_runs(run_ids=[run.pk]) == 1
    run_at(later(hours=4))
    assert state(run) == RunStatus.COMPLETED and sent() == ["good", "unwanted", "done after 0"]


def test_somebody_s_retry_means_what_was_cancelled_further_inside_too(team: Team, run_at: Run) -> None:
    inner = fork(("deep", [wait("rest", "1h"), email("deep {{ index }}", key="deep")]))
    rounds = loop({**inner, "key": "inner"}, times=2, concurrency=2, on_branch_error="wait")
    run = begun(team, run_at, rounds, DONE)
    deepest = PipelineRun.objects.filter(parent__parent=run).values_list("pk", flat=True)
    cancel_runs(run_ids=list(deepest))
    run_at(later(minutes=1))
    assert state(run) == RunStatus.FAILED
    one = {**rounds, "with": {**rounds["with"], "concurrency": 1}}
    active(team, [one, DONE], variables=[COUNT])
    assert retry_runs(run_ids=[run.pk]) == 1
    for hours in (1, 2, 3, 4):
        run_at(later(hours=hours))
    assert state(run) == RunStatus.COMPLETED and sent() == ["deep 0", "deep 1", "done after 0"]


def test_a_branch_that_waits_for_room_follows_the_version_of_the_next_try(team: Team, run_at: Run) -> None:
    def block(text: str, concurrency: int) -> Step:
        slow = [wait("rest", "1m"), email(text, key="slow")]
        return {**fork(("bad", [PICKY]), ("slow", slow), concurrency=concurrency), "retry": {**RETRY, "max": 2}}

    run = begun(team, run_at, block("first", 2), DONE)
    for text, minutes in (("second", 10), ("third", 20)):
        active(team, [block(text, 1), DONE], variables=[COUNT])
        if text == "third":
            mend()
        run_at(later(minutes=minutes))
    run_at(later(minutes=30))
    assert state(run) == RunStatus.COMPLETED and sent() == ["third", "done after 0"]


@pytest.mark.parametrize("while_it_ran", [True, False], ids=["cancelled with it", "failed before"])
def test_a_pipeline_that_was_archived_is_not_begun_again(team: Team, run_at: Run, while_it_ran: bool) -> None:
    steps = [wait("rest", "1m"), {**PICKY, "next": "called"}, email("called", key="called")]
    other = active(team, steps, key="other", triggers=[])
    run = begun(team, run_at, {"key": "sub", "type": "call", "with": {"pipeline": "other"}, "retry": RETRY}, DONE)
    if while_it_ran:
        archive(pipeline=other, runs="cancel")
    run_at(later(minutes=1))
    assert state(run) == RunStatus.PENDING
    if not while_it_ran:
        archive(pipeline=other, runs="cancel")
    mend()
    run_at(later(minutes=11))
    run_at(later(minutes=12))
    assert state(run) == RunStatus.FAILED and sent() == []
