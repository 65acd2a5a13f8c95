"""Blocks whose time is over: what was due before goes first, what was not does not go, in whatever company."""

from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Pipeline, PipelineStep, StepCircuit, StepExecution
from pipelines.operations import pause, resume
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run

Step = dict[str, Any]
PEOPLE = 3


@pytest.fixture(params=[1, 1_000])
def size(request: pytest.FixtureRequest, settings: Settings) -> int:
    """How many runs share a batch at most."""
    settings.PIPELINES_BATCH_SIZE = request.param
    return int(request.param)


def enter(team: Team, count: int = PEOPLE) -> None:
    for number in range(count):
        Contact.objects.create(team=team, first_name=f"C{number}", email=f"c{number}@example.org")


def block(*steps: Step, timeout: str, key: str = "block") -> Step:
    branches = [{"name": "a", "steps": list(steps)}]
    on = {"on": {"timeout": f"late_{key}"}} if key == "block" else {}
    return {"key": key, "type": "parallel", "with": {"branches": branches}, "timeout": timeout, **on}


def wait(key: str, delay: str = "0s") -> Step:
    return {"key": key, "type": "wait", "delay": delay}


def pipeline(team: Team, *steps: Step) -> Pipeline:
    """Whoever leaves a block in time does `done`, whoever does not does `late_block` alone."""
    return active(team, [*steps, {**wait("done"), "on": {"next": "end"}}, wait("late_block")])


def made(of: Pipeline) -> dict[str, int]:
    """How many have done each step."""
    steps = dict(PipelineStep.objects.filter(pipeline=of).values_list("pk", "key"))
    rows = StepExecution.objects.filter(step_id__in=steps, event=StepExecution.Event.COMPLETED)
    keys = [steps[pk] for pk in rows.values_list("step_id", flat=True)]
    return {key: keys.count(key) for key in sorted(set(keys)) if key not in ("block", "inner")}


@pytest.mark.parametrize(("delay", "seen"), [("1h", 1), ("90m", 5)])
def test_what_is_due_at_the_end_of_a_block_or_after_does_not_go_however_late_the_engine_looks(
    team: Team, run_at: Run, size: int, delay: str, seen: int
) -> None:
    tied = pipeline(team, block(wait("inside", delay), timeout="1h"))
    enter(team)
    run_at(NOON)
    run_at(later(hours=seen))
    assert made(tied) == {"late_block": PEOPLE}


def test_a_wait_for_an_event_that_ends_with_its_block_does_not_go_on(team: Team, run_at: Run, size: int) -> None:
    events = {"events": [{"event": "order.paid"}]}
    waiting = {"key": "inside", "type": "wait_for", "with": events, "timeout": "1h", "on": {"timeout": "next"}}
    tied = pipeline(team, block(waiting, wait("then"), timeout="1h"))
    enter(team)
    run_at(NOON)
    run_at(later(hours=1))
    assert made(tied) == {"late_block": PEOPLE}


def test_what_was_due_before_the_end_goes_first_however_late_the_engine_looks(
    team: Team, run_at: Run, size: int
) -> None:
    timely = pipeline(team, block(wait("inside", "1h"), wait("then", "4h"), timeout="2h"))
    enter(team)
    run_at(NOON)
    # Somebody else's block is over before the others are due, so that blocks come before what stands in them.
    run_at(later(hours=1.5))
    enter(team)
    run_at(later(hours=1.5))
    run_at(later(hours=5))
    assert made(timely) == {"inside": 2 * PEOPLE, "late_block": 2 * PEOPLE}


def test_blocks_in_blocks_wait_for_what_was_due_before_and_end_what_was_not(team: Team, run_at: Run, size: int) -> None:
    inner = block(wait("inside", "1h"), wait("then", "1h"), wait("never", "1h"), timeout="9h", key="inner")
    nested = pipeline(team, block(inner, timeout="2h"))
    enter(team)
    run_at(NOON)
    run_at(later(hours=1.5))
    enter(team)
    run_at(later(hours=1.5))
    run_at(later(hours=2))
    assert made(nested) == {"inside": PEOPLE, "late_block": PEOPLE}
    run_at(later(hours=6))
    assert made(nested) == {"inside": 2 * PEOPLE, "late_block": 2 * PEOPLE}


@pytest.mark.parametrize("delay", ["1h", "3h"])
def test_nobody_waits_for_a_called_pipeline_that_is_paused(team: Team, run_at: Run, size: int, delay: str) -> None:
    called = active(team, [wait("inside", delay)], key="called", triggers=[{"type": "manual"}])
    call = {"key": "call", "type": "call", "with": {"pipeline": "called"}, "timeout": "2h"}
    calling = pipeline(team, {**call, "on": {"timeout": "late_block"}})
    enter(team)
    run_at(NOON)
    pause(pipeline=called)
    run_at(later(hours=5))
    assert made(calling) == {"late_block": PEOPLE}
    assert made(called) == {}


def test_nobody_waits_for_a_step_whose_circuit_is_open(team: Team, run_at: Run, size: int) -> None:
    shut = pipeline(team, block(wait("inside", "1h"), timeout="2h"))
    enter(team)
    run_at(NOON)
    StepCircuit.objects.create(
        step=PipelineStep.objects.get(pipeline=shut, key="inside"),
        opened_at=NOON, retry_at=later(hours=9), pause=600, failed=5, reached=9,
    )  # fmt: skip
    run_at(later(hours=5))
    assert made(shut) == {"late_block": PEOPLE}


def test_a_called_pipeline_goes_on_while_the_one_that_calls_is_paused(team: Team, run_at: Run, size: int) -> None:
    called = active(team, [wait("inside", "3h")], key="called", triggers=[{"type": "manual"}])
    call = {"key": "call", "type": "call", "with": {"pipeline": "called"}, "timeout": "2h"}
    calling = pipeline(team, {**call, "on": {"timeout": "late_block"}})
    enter(team)
    run_at(NOON)
    pause(pipeline=calling)
    run_at(later(hours=5))
    assert made(called) == {"inside": PEOPLE}
    resume(pipeline=calling)
    run_at(later(hours=5))
    assert made(calling) == {"call": PEOPLE, "done": PEOPLE}


def test_the_time_of_a_block_ends_what_a_called_pipeline_would_do_then(team: Team, run_at: Run, size: int) -> None:
    called = active(team, [wait("inside", "2h")], key="called", triggers=[{"type": "manual"}])
    call = {"key": "call", "type": "call", "with": {"pipeline": "called"}, "timeout": "2h"}
    calling = pipeline(team, {**call, "on": {"timeout": "late_block"}})
    enter(team)
    run_at(NOON)
    run_at(later(hours=2))
    assert made(calling) == {"late_block": PEOPLE}
    assert made(called) == {}
