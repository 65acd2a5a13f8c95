"""A block that fails names what failed inside it: the branch, the round or the pipeline, its step and its error."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.controls import cancel_runs
from pipelines.engine.retrying import retry_runs
from pipelines.models import PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.counting import statements
from tests.sinks.http import Answer, HttpSink

Step = dict[str, Any]
SUM = {"name": "sum", "type": "number"}
# What a sum of nothing says.
NOTHING = "expected a number, got nothing"


def adds(key: str = "charge", **more: Any) -> Step:
    """A step that fails, for nobody has set the sum."""
    return {"key": key, "type": "set_variable", "with": {"sum": "= sum + 1"}, **more}


def call_of(key: str) -> Step:
    return {"key": "sub", "type": "call", "with": {"pipeline": key}}


def loop(*steps: Step, **rules: Any) -> Step:
    return {"key": "rounds", "type": "loop", "with": {"times": 3, "steps": list(steps), **rules}}


def fork(*steps: Step, **rules: Any) -> Step:
    branches = [{"name": "bad", "steps": list(steps)}, {"name": "good", "steps": [wait("b")]}]
    return {"key": "fork", "type": "parallel", "with": {"branches": branches, **rules}}


def wait(key: str, delay: str = "0s", **more: Any) -> Step:
    return {"key": key, "type": "wait", "delay": delay, **more}


def ended(team: Team, run_at: Run, *steps: Step, **more: Any) -> PipelineRun:
    active(team, steps, **{"variables": [SUM], **more})
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    run_at(later(hours=1))
    return PipelineRun.objects.get(parent=None, pipeline__key="welcome")


def said(run: PipelineRun) -> str:
    return str(StepExecution.objects.filter(run_id=run.pk).exclude(error=None).get().error)


def test_a_round_is_named_with_its_step_and_its_error(team: Team, run_at: Run) -> None:
    odd = {"key": "odd", "type": "condition", "if": "index < 1", "on": {"true": "end"}, "next": "charge"}
    run = ended(team, run_at, loop(odd, adds()))
    assert run.status == RunStatus.FAILED
    assert said(run).startswith(f"Round 2 of 3 failed at charge: sum: {NOTHING}")


def test_rounds_that_a_condition_ends_are_told_without_their_number(team: Team, run_at: Run) -> None:
    block = {"key": "rounds", "type": "loop", "with": {"until": "index == 5", "steps": [wait("stop", next="fail")]}}
    assert said(ended(team, run_at, block)) == "Round 1 failed at stop."


def test_of_several_rounds_three_are_told(team: Team, run_at: Run) -> None:
    run = ended(team, run_at, loop(wait("stop", next="fail"), times=5, on_branch_error="wait"))
    told = "Round 1 failed at stop. Round 2 failed at stop. Round 3 failed at stop."
    assert said(run) == f"5 of 5 rounds failed. {told}"


def test_a_branch_is_named_with_its_step_and_what_a_server_said(team: Team, run_at: Run, web: HttpSink) -> None:
    web.script(Answer(404))
    call = {"key": "charge", "type": "call_api", "with": {"method": "POST", "url": web.url}}
    run = ended(team, run_at, fork(call))
    inner = StepExecution.objects.get(run_id=PipelineRun.objects.get(parent=run, slot=0).pk)
    assert "404" in str(inner.error)
    assert said(run) == f"The branch bad failed at charge: {inner.error}"


def test_all_branches_that_failed_are_told_when_the_others_are_waited_for(team: Team, run_at: Run) -> None:
    branches = [{"name": name, "steps": [wait(f"stop_{name}", next="fail")]} for name in ("left", "right")]
    block = {"key": "fork", "type": "parallel", "with": {"branches": branches, "on_branch_error": "wait"}}
    run = ended(team, run_at, block)
    assert said(run) == "The branch left failed at stop_left. The branch right failed at stop_right."


def test_a_called_pipeline_is_named_with_its_step_and_its_error(team: Team, run_at: Run) -> None:
    active(team, [wait("look"), adds()], key="billing", variables=[SUM], triggers=[])
    run = ended(team, run_at, call_of("billing"))
    assert said(run).startswith(f"The called pipeline billing failed at charge: sum: {NOTHING}")


def test_what_failed_far_inside_is_told_through_every_block(team: Team, run_at: Run) -> None:
    run = ended(team, run_at, fork(loop(adds())))
    way = "The branch bad failed at rounds: Round 1 of 3 failed at charge:"
    assert said(run).startswith(f"{way} sum: {NOTHING}")


def test_a_branch_that_somebody_ended_was_cancelled(team: Team, run_at: Run) -> None:
    active(team, [fork(wait("long", "5h"))])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    run = PipelineRun.objects.get(parent=None)
    cancel_runs(run_ids=[PipelineRun.objects.get(parent=run, slot=0).pk], by=None)
    run_at(later(hours=1))
    assert said(run) == "The branch bad was cancelled at long."


def test_a_step_that_was_tried_again_is_told_with_its_newest_error(team: Team, run_at: Run, web: HttpSink) -> None:
    web.script(Answer(404), Answer(410))
    call = {"key": "charge", "type": "call_api", "with": {"method": "POST", "url": web.url}}
    run = ended(team, run_at, loop(call, times=1))
    retry_runs(run_ids=[run.pk])
    run_at(later(hours=2))
    errors = list(StepExecution.objects.filter(run_id=run.pk).order_by("id").values_list("error", flat=True))
    assert "404" in str(errors[0]) and "410" in str(errors[1])


def test_the_error_edge_reads_what_failed_inside(team: Team, run_at: Run) -> None:
    block = {**loop(adds()), "on": {"error": "keep"}}
    keep = {"key": "keep", "type": "set_variable", "with": {"told": "= steps.rounds.error.message"}}
    run = ended(team, run_at, block, keep, variables=[SUM, {"name": "told", "type": "string"}])
    assert run.context.vars["told"].startswith("Round 1 of 3 failed at charge: ")


@pytest.mark.parametrize("rules", [
    {"until": "False", "max": 2}, {"while": "True", "max": 2}, {"until": "count + nothing > 0"},
], ids=["until", "while", "a condition that cannot be told"])  # fmt: skip
def test_what_the_last_round_exported_outlives_the_error_of_its_loop(
    team: Team, run_at: Run, rules: dict[str, Any]
) -> None:
    body = {"key": "add", "type": "set_variable", "with": {"count": "= count + 1"}}
    block = {"key": "again", "type": "loop", "with": {"steps": [body], "export": ["count"], **rules}}
    after = {"key": "after", "type": "set_variable", "with": {"told": "= steps.again.completed"}}
    count, told = {"name": "count", "type": "number", "default": 0}, {"name": "told", "type": "number"}
    run = ended(team, run_at, {**block, "on": {"error": "after"}}, after,
                variables=[count, told, {"name": "nothing", "type": "number"}])  # fmt: skip
    rounds = rules.get("max", 1)
    assert (run.context.vars["count"], run.context.vars["told"]) == (rounds, rounds)


def test_what_rounds_exported_outlives_a_tolerance_that_is_used_up(team: Team, run_at: Run) -> None:
    """The round that failed exported, too: what it had set by then."""
    body = [{"key": "add", "type": "set_variable", "with": {"count": "= count + 1"}},
            {"key": "odd", "type": "condition", "if": "count > 1", "on": {"true": "fail"}}]  # fmt: skip
    block = {"key": "again", "type": "loop", "with": {"times": 4, "steps": body, "export": ["count"], "tolerate": 1}}
    run = ended(team, run_at, {**block, "on": {"error": "end"}}, wait("never"),
                variables=[{"name": "count", "type": "number", "default": 0}])  # fmt: skip
    assert run.context.vars["count"] == 3


def test_rounds_that_began_all_at_once_are_as_many_as_there_were_items(team: Team, run_at: Run) -> None:
    """Whatever becomes of the list meanwhile."""
    things = {"name": "things", "type": "list", "default": ["a", "b"]}
    body = [{"key": "more", "type": "set_variable", "with": {"things": "= ['a', 'b', 'c']"}},
            {"key": "odd", "type": "condition", "if": "index == 0", "on": {"true": "fail"}, "next": "rest"},
            wait("rest", "10m")]  # fmt: skip
    with_ = {"over": "= things", "steps": body, "export": ["things"], "tolerate": 1, "concurrency": 2}
    run = ended(team, run_at, {"key": "each", "type": "loop", "with": with_}, variables=[things])
    assert run.status == RunStatus.COMPLETED
    assert PipelineRun.objects.filter(parent=run).count() == 2


def test_what_failed_inside_is_told_without_statements_for_each_run(team: Team, run_at: Run) -> None:
    active(team, [fork(adds())], variables=[SUM])

    def cost(runs: int, minutes: int) -> int:
        for n in range(runs):
            Contact.objects.create(team=team, first_name=str(n))
        return statements(lambda: run_at(later(minutes=minutes)))

    cost(1, 0)
    assert cost(2, 1) == cost(9, 2)
    assert StepExecution.objects.filter(error__startswith="The branch bad failed at charge: sum").count() == 12
