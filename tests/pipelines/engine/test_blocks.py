"""Blocks: branches side by side, loops and calls, on a clock that jumps."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.models import PipelineRun, StepExecution
from pipelines.operations import InvalidDocument
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, later, log
from tests.pipelines.engine.conftest import Run


def the_run(team: Team, **values: Any) -> PipelineRun:
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", **values)
    return PipelineRun.objects.get(subject_id=contact.pk, parent=None)


def say(key: str, name: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "set_variable", "with": {name: value}, **more}


def branch(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "steps": list(steps), **more}


def fork(
    *branches: dict[str, Any], key: str = "fork", step: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {"key": key, "type": "parallel", "with": {"branches": list(branches), **more}, **(step or {})}


def ended(run: PipelineRun) -> PipelineRun:
    run.refresh_from_db()
    return run


def variables(run: PipelineRun) -> dict[str, Any]:
    return dict(PipelineRun.objects.get(pk=run.pk).context.vars)


def test_all_branches_run_and_then_the_run_goes_on(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            fork(
                branch("a", say("one", "x", 1, delay="1h")),
                branch("b", say("two", "y", 2, delay="2h")),
                branch("c", say("three", "z", 3), **{"if": "contact.phone != ''"}),
                export=["x", "y", "z"],
            ),
            say("after", "total", "= x + y + len(steps.fork.branches)"),
        ],
        variables=[{"name": name, "type": "number"} for name in ("x", "y", "z", "total")],
    )
    run = the_run(team)
    run_at(NOON)
    assert (ended(run).status, run.open_children) == (RunStatus.WAITING, 2)
    run_at(later(hours=1))
    assert (ended(run).status, run.open_children) == (RunStatus.WAITING, 1)
    run_at(later(hours=2))
    assert (ended(run).status, run.open_children) == (RunStatus.COMPLETED, 0)
    assert variables(run) == {"x": 1, "y": 2, "total": 6}
    assert log(run) == [(1, "completed", "next"), (2, "completed", "next")]


def test_a_branch_starts_when_those_before_it_are_settled(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            fork(
                branch("a", say("one", "x", 1, delay="1h")),
                branch("b", say("two", "y", 2, delay="2h")),
                branch("c", say("sum", "z", "= x + y", delay="1h"), after=["a", "b"]),
                branch("d", say("never", "x", 0), after=["a:error"]),
                export=["x", "y", "z"],
            ),
        ],
        variables=[{"name": name, "type": "number"} for name in ("x", "y", "z")],
    )
    run = the_run(team)
    for hour in (0, 1, 2):
        run_at(later(hours=hour))
    assert ended(run).status == RunStatus.WAITING
    run_at(later(hours=3))
    assert ended(run).status == RunStatus.COMPLETED
    assert variables(run)["z"] == 3
    third = PipelineRun.objects.get(parent=run, slot=2)
    assert third.created_at == later(hours=2) and third.finished_at == later(hours=3)
    assert StepExecution.objects.filter(run_id=third.pk).count() == 1


def test_the_first_branch_that_ends_calls_the_others_off(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            fork(
                branch("fast", {"type": "wait", "delay": "1h"}),
                branch("slow", {"type": "wait", "delay": "2h"}),
                join="any",
            )
        ],
    )
    run = the_run(team)
    run_at(NOON)
    run_at(later(hours=1))
    assert ended(run).status == RunStatus.COMPLETED
    slow = PipelineRun.objects.get(parent=run, slot=1)
    assert (slow.status, slow.reason) == (RunStatus.CANCELLED, "block_over")


def test_a_loop_goes_over_a_list_one_by_one(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            {
                "key": "each",
                "type": "loop",
                "with": {
                    "over": "= [10, 20, 30]",
                    "as": "amount",
                    "export": ["total"],
                    "steps": [say("add", "total", "= total + amount * (index + 1)", delay=60)],
                },
            },
            say("after", "rounds", "= len(steps.each['items'])"),
        ],
        variables=[
            {"name": "total", "type": "number", "default": 0},
            {"name": "rounds", "type": "number", "default": 0},
        ],
    )
    run = the_run(team)
    run_at(NOON)
    for minute in (1, 2, 3):
        run_at(later(minutes=minute))
    assert ended(run).status == RunStatus.COMPLETED
    assert variables(run) == {"total": 140, "rounds": 3}


def test_a_loop_runs_until_its_condition_holds(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            {
                "key": "probe",
                "type": "loop",
                "with": {
                    "until": "attempts >= 3",
                    "max": 10,
                    "export": ["attempts"],
                    "steps": [say("bump", "attempts", "= attempts + 1", delay=60)],
                },
            }
        ],
        variables=[{"name": "attempts", "type": "number", "default": 0}],
    )
    run = the_run(team)
    run_at(NOON)
    for minute in range(1, 6):
        run_at(later(minutes=minute))
    assert ended(run).status == RunStatus.COMPLETED
    assert variables(run) == {"attempts": 3}
    assert PipelineRun.objects.filter(parent=run).count() == 3


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize(
    "condition", [{"until": "steps.look.doubled >= 6"}, {"while": "index == 0 or steps.look.doubled < 6"}]
)
def test_the_condition_of_a_loop_reads_what_its_last_round_found(
    team: Team, run_at: Run, condition: dict[str, str], concurrency: int
) -> None:
    look = say("look", "doubled", "= index * 2")
    loop = {**condition, "max": 10, "concurrency": concurrency, "steps": [look]}
    active(
        team,
        [{"key": "poll", "type": "loop", "with": loop}, say("after", "rounds", "= steps.poll.total")],
        variables=[{"name": name, "type": "number", "default": 0} for name in ("doubled", "rounds")],
    )
    run = the_run(team)
    run_at(NOON)
    assert ended(run).status == RunStatus.COMPLETED
    # Where two rounds run at once, one more may have begun.
    assert variables(run)["rounds"] in (4, 3 + concurrency)


def test_the_condition_of_a_join_reads_what_branches_found(team: Team, run_at: Run) -> None:
    branches = [
        {"name": name, "steps": [say(f"ask_{name}", "offer", f"= {price}", delay=delay)]}
        for name, price, delay in (("one", 120, 60), ("two", 80, 120), ("three", 70, 180))
    ]
    cheap = "steps.ask_one.offer < 100 or steps.ask_two.offer < 100 or steps.ask_three.offer < 100"
    active(
        team,
        [{"key": "offers", "type": "parallel", "with": {"branches": branches, "join": {"when": cheap}}}],
        variables=[{"name": "offer", "type": "number", "default": 0}],
    )
    run = the_run(team)
    for minute in (0, 1):
        run_at(later(minutes=minute))
        assert PipelineRun.objects.get(pk=run.pk).status == RunStatus.WAITING
    run_at(later(minutes=2))
    assert ended(run).status == RunStatus.COMPLETED
    assert list(PipelineRun.objects.filter(parent=run).order_by("id").values_list("status", flat=True)) == [
        RunStatus.COMPLETED, RunStatus.COMPLETED, RunStatus.CANCELLED,
    ]  # fmt: skip


def test_which_pipeline_is_called_is_known_before(team: Team) -> None:
    with pytest.raises(InvalidDocument, match="this must be fixed, not a template"):
        active(team, [{"key": "call", "type": "call", "with": {"pipeline": "{{ contact.first_name }}"}}])


@pytest.mark.parametrize("kind", ["call", "enroll"])
@pytest.mark.parametrize("subject", ["contacts.contact", None])
def test_a_pipeline_about_other_records_is_refused(team: Team, kind: str, subject: str | None) -> None:
    wait = {"type": "wait", "delay": 60}
    active(team, [wait], key="deals", subject="contacts.deal", triggers=[{"type": "manual"}])
    active(team, [wait], key="anything", subject=None, triggers=[{"type": "manual"}])
    told = "'deals' is about contacts.deal, this one is about " + (subject or "no record")
    ways = [{"type": "manual"}]
    with pytest.raises(InvalidDocument, match=told):
        active(team, [{"type": kind, "with": {"pipeline": "deals"}}], subject=subject, triggers=ways)
    if kind == "call":
        active(team, [{"type": kind, "with": {"pipeline": "anything"}}], subject=subject, triggers=ways)
    else:
        other = {"pipeline": "deals", "record": "= trigger.deal", "model": "contacts.deal"}
        active(team, [{"type": kind, "with": other}], subject=subject, triggers=ways)


def test_another_pipeline_is_called_and_gives_its_result(team: Team, run_at: Run) -> None:
    called = active(
        team,
        [say("double", "n", "= n * 2", delay="1h")],
        key="doubling",
        triggers=[{"type": "manual"}],
        variables=[{"name": "n", "type": "number", "default": 1}],
    )
    active(
        team,
        [
            {"key": "call", "type": "call", "with": {"pipeline": "doubling", "set": {"n": "= 21"}}},
            say("after", "answer", "= steps.call.vars.n"),
        ],
        variables=[{"name": "answer", "type": "number"}],
    )
    run = the_run(team)
    run_at(NOON)
    run_at(later(hours=1))
    assert ended(run).status == RunStatus.COMPLETED
    assert variables(run) == {"answer": 42}
    child = PipelineRun.objects.get(parent=run)
    assert (child.pipeline_id, child.depth) == (called.pk, 1)
