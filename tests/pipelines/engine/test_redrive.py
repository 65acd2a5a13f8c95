"""A block that is tried again repeats what failed inside it, and nothing that was done."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.controls import cancel_runs, retry_runs
from pipelines.engine.replaying import replay
from pipelines.engine.retrying import retry_failed_at
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.repeating import (
    ADD,
    COUNT,
    DONE,
    LIMIT,
    ORDER,
    PICKY,
    Step,
    begun,
    fork,
    loop,
    mend,
    orders,
    said,
    sent,
    state,
    wait,
)  # fmt: skip


def again(run: PipelineRun, run_at: Run, hours: int = 1) -> RunStatus:
    assert retry_runs(run_ids=[run.pk]) == 1
    run_at(later(hours=hours))
    return state(run)


BOUNDS = [{"until": "count >= 3"}, {"while": "count < 3"}]


@pytest.mark.parametrize("bound", BOUNDS, ids=["until", "while"])
def test_a_loop_without_an_end_repeats_no_round_and_says_the_same(
    team: Team, run_at: Run, bound: dict[str, Any]
) -> None:
    run = begun(team, run_at, orders(max=2, **bound), DONE)
    assert state(run) == RunStatus.FAILED and sent() == ["order 0", "order 1"]
    for hours in (1, 2):
        assert again(run, run_at, hours) == RunStatus.FAILED
    assert sent() == ["order 0", "order 1"]
    assert said(run) == ["The loop did not end within 2 rounds."] * 3


@pytest.mark.parametrize("bulk", [False, True], ids=["one", "all that failed there"])
@pytest.mark.parametrize(
    ("changed", "rounds"),
    [({"until": "count >= 4", "max": 9}, 4), ({"until": "count >= 1", "max": 2}, 2)],
    ids=["a higher max", "another condition"],
)
def test_a_loop_goes_on_where_it_stood_when_its_bound_was_changed(
    team: Team, run_at: Run, changed: dict[str, Any], rounds: int, bulk: bool
) -> None:
    run = begun(team, run_at, orders(until="count >= 4", max=2), DONE)
    active(team, [orders(**changed), DONE], variables=[COUNT, LIMIT])
    if bulk:
        assert retry_failed_at(pipeline=Pipeline.objects.get(), step="rounds") == 1
        run_at(later(hours=1))
    else:
        again(run, run_at)
    assert state(run) == RunStatus.COMPLETED
    assert sent() == [*(f"order {index}" for index in range(rounds)), f"done after {rounds}"]


def test_runs_that_stay_on_their_version_keep_its_bound(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, orders(until="count >= 4", max=2), DONE)
    active(team, [orders(until="count >= 4", max=9), DONE], variables=[COUNT, LIMIT], settings={"versioning": "pin"})
    assert again(run, run_at) == RunStatus.FAILED
    assert sent() == ["order 0", "order 1"]


def test_a_loop_that_is_no_longer_there_is_passed_by(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, orders(until="count >= 4", max=2), DONE)
    active(team, [DONE], variables=[COUNT, LIMIT])
    assert again(run, run_at) == RunStatus.COMPLETED
    assert sent() == ["order 0", "order 1", "done after 2"]


def test_a_loop_inside_a_branch_goes_on_where_it_stood(team: Team, run_at: Run) -> None:
    def steps(most: int) -> list[Step]:
        return [fork(("a", [orders(until="count >= 4", max=most)]), ("b", [email("beside", key="beside")])), DONE]

    run = begun(team, run_at, *steps(2))
    assert state(run) == RunStatus.FAILED
    assert again(run, run_at) == RunStatus.FAILED
    assert sorted(sent()) == ["beside", "order 0", "order 1"]
    active(team, steps(9), variables=[COUNT, LIMIT])
    assert again(run, run_at, 2) == RunStatus.COMPLETED
    assert sorted(sent()) == ["beside", "done after 0", *(f"order {index}" for index in range(4))]


def test_a_condition_that_could_not_be_told_is_asked_again(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, orders(until="count + limit > 9", max=9), DONE)
    assert sent() == ["order 0"]
    assert again(run, run_at) == RunStatus.FAILED and sent() == ["order 0"]
    active(team, [orders(until="count > 1", max=9), DONE], variables=[COUNT, LIMIT])
    assert again(run, run_at, 2) == RunStatus.COMPLETED
    assert sent() == ["order 0", "order 1", "done after 2"]


def test_a_join_that_could_not_be_told_is_asked_again(team: Team, run_at: Run) -> None:
    def steps(when: str) -> list[Step]:
        branches = [(name, [email(f"branch {name}", key=name)]) for name in ("a", "b")]
        return [fork(*branches, join={"when": when}), DONE]

    run = begun(team, run_at, *steps("completed > 1 and completed + limit > 9"))
    assert sorted(sent()) == ["branch a", "branch b"]
    assert state(run) == RunStatus.FAILED
    assert again(run, run_at) == RunStatus.FAILED
    active(team, steps("completed == 2"), variables=[COUNT, LIMIT])
    assert again(run, run_at, 2) == RunStatus.COMPLETED
    assert sorted(sent()) == ["branch a", "branch b", "done after 0"]


def test_a_block_whose_branches_changed_places_is_finished_as_it_was(team: Team, run_at: Run) -> None:
    def steps(names: str, when: str) -> list[Step]:
        branches = [(name, [email(f"branch {name}", key=name)]) for name in names]
        return [fork(*branches, join={"when": when}), DONE]

    run = begun(team, run_at, *steps("ab", "completed > 1 and completed + limit > 9"))
    assert sorted(sent()) == ["branch a", "branch b"]
    active(team, steps("ba", "completed == 2"), variables=[COUNT, LIMIT])
    assert again(run, run_at) == RunStatus.FAILED
    assert sorted(sent()) == ["branch a", "branch b"]


def test_a_list_that_was_too_long_is_looked_at_again(team: Team, run_at: Run) -> None:
    variables = [COUNT, LIMIT, {"name": "list", "type": "list", "default": [1, 2, 3]}]
    run = begun(team, run_at, orders(over="{{ list }}", max=2), DONE, variables=variables)
    assert again(run, run_at) == RunStatus.FAILED and sent() == []
    active(team, [orders(over="{{ list }}", max=3), DONE], variables=variables)
    assert again(run, run_at, 2) == RunStatus.COMPLETED
    assert sent() == ["order 0", "order 1", "order 2", "done after 3"]


def test_a_block_has_its_time_again(team: Team, run_at: Run) -> None:
    quick, slow = email("quick", key="quick"), wait("slow", "3h")
    run = begun(team, run_at, {**fork(("a", [quick]), ("b", [slow])), "timeout": "2h"}, DONE)
    run_at(later(hours=2))
    assert state(run) == RunStatus.FAILED
    assert again(run, run_at, 4) == RunStatus.COMPLETED
    assert sent() == ["quick", "done after 0"]


def test_the_time_of_a_block_that_is_tried_again_ends_too(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, {**fork(("b", [wait("slow", "9d")])), "timeout": "2h"})
    run_at(later(hours=2))
    assert again(run, run_at, 3) == RunStatus.WAITING
    run_at(later(hours=4))
    assert state(run) == RunStatus.FAILED
    assert said(run) == ["The block took longer than its timeout."] * 2


def test_a_loop_between_two_rounds_has_its_time_again(team: Team, run_at: Run) -> None:
    pause = wait("pause", "2h")
    run = begun(team, run_at, {**loop(ORDER, pause, ADD, until="count >= 2", export=["count"]), "timeout": "2h"}, DONE)
    run_at(later(hours=2))
    assert state(run) == RunStatus.FAILED
    assert again(run, run_at, 3) == RunStatus.WAITING
    run_at(later(hours=4))
    assert state(run) == RunStatus.FAILED, "the second round takes longer than what is left"
    assert sent() == ["order 0", "order 1"]


def test_a_called_pipeline_that_failed_goes_on_in_its_own_run(team: Team, run_at: Run) -> None:
    active(team, [email("called", key="hello"), PICKY], key="other", triggers=[])
    call = {"key": "sub", "type": "call", "with": {"pipeline": "other"}}
    run = begun(team, run_at, call, DONE)
    assert state(run) == RunStatus.FAILED
    mend()
    assert again(run, run_at) == RunStatus.COMPLETED
    assert sent() == ["called", "done after 0"] and PipelineRun.objects.filter(parent=run).count() == 1


def test_blocks_inside_blocks_repeat_only_what_failed(team: Team, run_at: Run) -> None:
    inner = loop(email("round {{ index }}", key="mark"), PICKY, key="inner", times=2)
    steps = [fork(("deep", [email("before", key="before"), inner]), ("beside", [email("beside", key="beside")])), DONE]
    run = begun(team, run_at, *steps)
    assert state(run) == RunStatus.FAILED
    mend()
    assert again(run, run_at) == RunStatus.COMPLETED
    assert sorted(sent()) == ["before", "beside", "done after 0", "round 0", "round 1"]


def test_a_block_inside_that_was_called_off_with_all_its_rounds_done_repeats_none(team: Team, run_at: Run) -> None:
    inner = loop(ORDER, key="inner", times=2)
    steps = [fork(("deep", [inner, wait("rest", "5h")]), ("bad", [wait("b", "1h"), PICKY])), DONE]
    run = begun(team, run_at, *steps)
    run_at(later(hours=1))
    assert state(run) == RunStatus.FAILED
    mend()
    assert again(run, run_at, 7) == RunStatus.COMPLETED
    assert sorted(sent()) == ["done after 0", "order 0", "order 1"]


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("rule", [{"on_branch_error": "wait"}, {"tolerate": 3}], ids=str)
def test_rounds_that_failed_come_again_and_no_more_at_once_than_allowed(
    team: Team, run_at: Run, rule: dict[str, Any], most: int
) -> None:
    odd = {"key": "odd", "type": "condition", "if": "index == 2", "on": {"true": "order"}, "next": "picky"}
    body = [odd, {**PICKY, "next": "rest"}, wait("rest", "1h"), {**ORDER, "next": "end"}]
    run = begun(team, run_at, loop(*body, times=5, concurrency=most, **rule), DONE)
    assert state(run) == RunStatus.FAILED
    mend()
    retry_runs(run_ids=[run.pk])
    for hours in range(1, 12):
        run_at(later(hours=hours))
        assert PipelineRun.objects.filter(parent=run, finished_at=None).count() <= most
    assert state(run) == RunStatus.COMPLETED
    assert sorted(sent()) == ["done after 0", *(f"order {index}" for index in range(5))]


def test_branches_that_failed_come_again_and_no_more_at_once_than_allowed(team: Team, run_at: Run) -> None:
    branches = [
        (name, [{**PICKY, "key": f"picky_{name}", "next": f"rest_{name}"}, wait(f"rest_{name}", "1h"),
                email(f"branch {name}", key=name)])
        for name in ("a", "b", "c")
    ]  # fmt: skip
    run = begun(team, run_at, fork(*branches, concurrency=1, on_branch_error="wait"), DONE)
    assert state(run) == RunStatus.FAILED
    mend()
    retry_runs(run_ids=[run.pk])
    for hours in range(1, 8):
        run_at(later(hours=hours))
        assert PipelineRun.objects.filter(parent=run, finished_at=None).count() <= 1
    assert state(run) == RunStatus.COMPLETED
    assert sorted(sent()) == ["branch a", "branch b", "branch c", "done after 0"]


def test_a_branch_after_one_that_failed_is_decided_again(team: Team, run_at: Run) -> None:
    with_after = fork(
        ("a", [email("a", key="first"), PICKY]), ("b", [email("b", key="second")]), on_branch_error="wait"
    )
    with_after["with"]["branches"][1]["after"] = ["a"]
    run = begun(team, run_at, with_after, DONE)
    assert state(run) == RunStatus.FAILED and sent() == ["a"]
    mend()
    assert again(run, run_at) == RunStatus.COMPLETED
    assert sent() == ["a", "b", "done after 0"]


def test_all_branches_that_failed_come_again_where_the_others_were_waited_for(team: Team, run_at: Run) -> None:
    bad = [(name, [{**PICKY, "key": f"picky_{name}"}]) for name in ("a", "b")]
    run = begun(team, run_at, fork(*bad, ("good", [email("good", key="good")]), on_branch_error="wait"), DONE)
    assert state(run) == RunStatus.FAILED
    mend()
    assert again(run, run_at) == RunStatus.COMPLETED
    assert sent() == ["good", "done after 0"]


def test_what_rounds_exported_and_left_is_there_after_a_retry(team: Team, run_at: Run) -> None:
    look = {"key": "look", "type": "set_variable", "with": {"count": "= count + index + 1"}}
    strict = {**PICKY, "if": "index != 1 or contact.job_title == 'Boss'"}
    tell = email("{{ count }} {{ steps.rounds.completed }} {{ steps.rounds.items[0].status }}", key="tell")
    run = begun(team, run_at, loop(look, strict, times=3, export=["count"]), tell)
    assert state(run) == RunStatus.FAILED
    mend()
    assert again(run, run_at) == RunStatus.COMPLETED
    assert sent() == ["6 3 completed"]


def test_what_branches_exported_and_left_is_there_after_a_retry(team: Team, run_at: Run) -> None:
    score = {"key": "score", "type": "set_variable", "with": {"count": 42}}
    tell = email("{{ count }} {{ steps.fork.branches.a.status }} {{ steps.fork.branches.b.status }}", key="tell")
    run = begun(team, run_at, fork(("a", [score]), ("b", [PICKY]), export=["count"], on_branch_error="wait"), tell)
    mend()
    assert again(run, run_at) == RunStatus.COMPLETED
    assert sent() == ["42 completed completed"]


def test_a_branch_that_somebody_ended_comes_again(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, fork(("a", [email("a", key="a")]), ("b", [wait("b", "1h"), email("b", key="c")])), DONE)
    cancel_runs(run_ids=[PipelineRun.objects.get(parent=run, slot=1).pk])
    run_at(later(minutes=1))
    assert state(run) == RunStatus.FAILED
    assert again(run, run_at, 2) == RunStatus.COMPLETED
    assert sent() == ["a", "b", "done after 0"]


def test_a_run_that_stopped_after_its_block_does_not_repeat_the_block(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, wait("first"), orders(times=2), DONE, settings={"max_hops": 2})
    assert (state(run), run.reason) == (RunStatus.FAILED, "too_many_visits")
    assert again(run, run_at) == RunStatus.FAILED
    assert sent() == ["order 0", "order 1"]


@pytest.mark.parametrize("mode", ["in_place", "clone"])
def test_replaying_a_loop_is_the_wish_to_run_it_again(team: Team, run_at: Run, mode: str) -> None:
    run = begun(team, run_at, loop(ORDER, until="index > 5", max=2), DONE)
    moved = replay(run=run, step="rounds", mode=mode, confirm=True)
    run_at(later(hours=1))
    assert state(moved) == RunStatus.FAILED
    assert sent() == ["order 0", "order 1"] * 2
    assert again(moved, run_at, 2) == RunStatus.FAILED
    assert sent() == ["order 0", "order 1"] * 2


@pytest.mark.parametrize("mode", ["in_place", "clone"])
def test_a_replay_from_an_earlier_step_goes_by_the_current_version(team: Team, run_at: Run, mode: str) -> None:
    run = begun(team, run_at, wait("first"), orders(until="count >= 4", max=2), DONE)
    active(team, [wait("first"), orders(until="count >= 4", max=9), DONE], variables=[COUNT, LIMIT])
    moved = replay(run=run, step="first", mode=mode, confirm=True)
    run_at(later(hours=1))
    assert state(moved) == RunStatus.COMPLETED
    # What was counted is remembered.
    assert sent() == ["order 0", "order 1", "order 0", "order 1", "done after 4"]


def test_a_loop_that_is_come_to_again_goes_over_its_list_of_then(team: Team, run_at: Run) -> None:
    things = {"name": "things", "type": "list", "default": [1, 2, 3]}
    rounds = loop(email("thing {{ item }}", key="tell"), over="= things", concurrency=2)
    fewer = {"key": "fewer", "type": "set_variable", "with": {"things": ["last"], "count": "= count + 1"}}
    circle = {"key": "circle", "type": "condition", "if": "count < 2", "on": {"true": "rounds", "false": "end"}}
    run = begun(team, run_at, rounds, fewer, circle, variables=[COUNT, things])
    assert state(run) == RunStatus.COMPLETED
    assert sorted(sent()) == ["thing 1", "thing 2", "thing 3", "thing last"]


def test_retrying_takes_as_many_statements_for_many_as_for_few(team: Team, run_at: Run) -> None:
    def failed(people: int) -> list[int]:
        for _ in range(people):
            Contact.objects.create(team=team, first_name="Ann")
        run_at(NOON)
        return list(PipelineRun.objects.filter(parent=None, status=RunStatus.FAILED).values_list("pk", flat=True))

    counted = loop(ADD, until="count >= 4", max=2, export=["count"])
    steps = [
        fork(("a", [counted]), ("b", [PICKY]), ("c", [{**PICKY, "key": "c"}]), concurrency=2, on_branch_error="wait")
    ]
    active(team, steps, variables=[COUNT, LIMIT])
    counts = []
    for people in (2, 6):
        ids = failed(people)
        with CaptureQueriesContext(connection) as asked:
            assert retry_runs(run_ids=ids) == people
        cancel_runs(run_ids=ids)
        counts.append(len(asked))
    assert counts[0] == counts[1]
