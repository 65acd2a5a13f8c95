"""A block with a rule of trying again repeats, after its wait, what failed inside it, and nothing that was done."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.controls import cancel_runs, pause_runs, resume_runs, retry_runs
from pipelines.engine.events import Fact, publish_all
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.simulation.calendar import calendar_of
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.states import RunStatus
from tests.pipelines.admin.pages import text_of
from tests.pipelines.engine.building import NOON, active, document, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.counting import statements
from tests.pipelines.engine.repeating import (
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

# A first try and two more: after ten minutes, and twenty minutes after that.
RETRY: dict[str, Any] = {"max": 2, "delay": "10m", "backoff": 2}


def two_branches(**rules: Any) -> Step:
    good, bad = (
        [email("good", key="good")],
        [email("before", key="before"), {**PICKY, "next": "after"}, email("after", key="after")],
    )
    return {**fork(("good", good), ("bad", bad), **rules), "retry": RETRY}


def tries(run: PipelineRun) -> list[tuple[str, int, datetime]]:
    rows = StepExecution.objects.filter(run_id=run.pk).order_by("id")
    return [(StepExecution.Event(row.event).label, row.attempt, row.finished_at) for row in rows]


def test_what_failed_in_a_branch_is_repeated_after_the_wait_and_nothing_else(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, two_branches(on_branch_error="wait"), DONE)
    assert state(run) == RunStatus.PENDING and sorted(sent()) == ["before", "good"]
    assert (run.attempt, run.next_step_at, run.open_children) == (1, later(minutes=10), 0)
    assert said(run) == ["The branch bad failed at picky."]
    mend()
    run_at(later(minutes=9))
    assert sorted(sent()) == ["before", "good"]
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED
    assert sorted(sent()) == ["after", "before", "done after 0", "good"]


def test_tries_grow_apart_and_end_with_the_error(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, two_branches(), DONE)
    run_at(later(minutes=10))
    assert (state(run), run.next_step_at) == (RunStatus.PENDING, later(minutes=30))
    run_at(later(minutes=30))
    assert state(run) == RunStatus.FAILED and sorted(sent()) == ["before", "good"]
    assert tries(run) == [
        ("retried", 0, NOON), ("retried", 1, later(minutes=10)), ("failed", 2, later(minutes=30)),
    ]  # fmt: skip
    assert said(run) == ["The branch bad failed at picky."] * 3


def test_somebody_s_retry_of_the_run_has_all_tries_again(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, two_branches(), DONE)
    for minutes in (10, 30):
        run_at(later(minutes=minutes))
    assert retry_runs(run_ids=[run.pk]) == 1
    run_at(later(hours=1))
    assert (state(run), run.attempt, run.next_step_at) == (RunStatus.PENDING, 1, later(hours=1, minutes=10))


def test_the_edge_of_the_error_is_taken_when_no_try_is_left(team: Team, run_at: Run) -> None:
    told = email("told: {{ steps.fork.error.message }}", key="told", next="end")
    run = begun(team, run_at, {**two_branches(), "on": {"error": "told"}, "next": "end"}, told)
    for minutes in (10, 30):
        assert sorted(sent()) == ["before", "good"]
        run_at(later(minutes=minutes))
    assert state(run) == RunStatus.COMPLETED
    assert sorted(sent()) == ["before", "good", "told: The branch bad failed at picky."]


@pytest.mark.parametrize(("code", "again"), [("branch", True), ("*", True), ("timeout", False), ("called", False)])
def test_only_errors_of_the_rule_are_tried_again(team: Team, run_at: Run, code: str, again: bool) -> None:
    run = begun(team, run_at, {**two_branches(), "retry": {**RETRY, "on": [code]}}, DONE)
    assert (state(run) == RunStatus.PENDING) is again


def test_the_rule_for_all_steps_is_for_those_inside_and_does_not_repeat_the_block(team: Team, run_at: Run) -> None:
    block = two_branches()
    del block["retry"]
    run = begun(team, run_at, block, DONE, settings={"retry": RETRY})
    assert state(run) == RunStatus.FAILED


def test_rounds_that_failed_come_again_and_no_more_at_once_than_allowed(team: Team, run_at: Run) -> None:
    odd = {"key": "odd", "type": "condition", "if": "index == 2", "on": {"true": "order"}, "next": "picky"}
    body = [odd, {**PICKY, "next": "rest"}, wait("rest", "1m"), {**ORDER, "next": "end"}]
    rounds = {**loop(*body, times=5, concurrency=2, on_branch_error="wait"), "retry": RETRY}
    run = begun(team, run_at, rounds, DONE)
    assert state(run) == RunStatus.PENDING and sent() == ["order 2"]
    mend()
    for minutes in range(10, 14):
        run_at(later(minutes=minutes))
        assert PipelineRun.objects.filter(parent=run, finished_at=None).count() <= 2
    assert state(run) == RunStatus.COMPLETED
    assert sorted(sent()) == ["done after 0", *(f"order {index}" for index in range(5))]


def test_a_loop_that_reached_its_bound_looks_again_and_repeats_no_round(team: Team, run_at: Run) -> None:
    rule = {**RETRY, "on": ["too_many"]}
    run = begun(team, run_at, {**orders(until="contact.job_title == 'Boss'", max=2), "retry": rule}, DONE)
    assert state(run) == RunStatus.PENDING and sent() == ["order 0", "order 1"]
    mend()
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sent() == ["order 0", "order 1", "done after 2"]


def test_a_called_pipeline_goes_on_in_its_own_run(team: Team, run_at: Run) -> None:
    active(team, [email("called", key="hello"), PICKY], key="other", triggers=[])
    call = {"key": "sub", "type": "call", "with": {"pipeline": "other"}, "retry": {**RETRY, "on": ["called"]}}
    run = begun(team, run_at, call, DONE)
    assert state(run) == RunStatus.PENDING
    mend()
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED
    assert sent() == ["called", "done after 0"] and PipelineRun.objects.filter(parent=run).count() == 1


def test_a_pipeline_that_is_not_published_yet_is_called_when_it_is(team: Team, run_at: Run) -> None:
    call = {"key": "sub", "type": "call", "with": {"pipeline": "other"}, "retry": RETRY}
    other = active(team, [email("called", key="hello")], key="other", triggers=[])
    active(team, [call, DONE], variables=[COUNT, LIMIT])
    Pipeline.objects.filter(pk=other.pk).update(key="elsewhere")
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    run_at(NOON)
    run = PipelineRun.objects.get(subject_id=contact.pk)
    assert state(run) == RunStatus.PENDING and said(run) == ["There is no published pipeline 'other' in this team."]
    Pipeline.objects.filter(pk=other.pk).update(key="other")
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sent() == ["called", "done after 0"]


def test_blocks_inside_blocks_repeat_only_what_failed_and_each_has_its_own_rule(team: Team, run_at: Run) -> None:
    inner = {**loop(email("round {{ index }}", key="mark"), PICKY, key="inner", times=2), "retry": {"max": 1}}
    outer = fork(("deep", [email("before", key="before"), inner]), ("beside", [email("beside", key="beside")]))
    run = begun(team, run_at, {**outer, "retry": RETRY}, DONE)
    run_at(later(minutes=1))
    # The try of the inner block failed too; now the outer one waits.
    assert (state(run), run.next_step_at) == (RunStatus.PENDING, later(minutes=11))
    mend()
    run_at(later(minutes=11))
    assert state(run) == RunStatus.COMPLETED
    assert sorted(sent()) == ["before", "beside", "done after 0", "round 0", "round 1"]


def test_a_branch_that_was_called_off_goes_on_where_it_was(team: Team, run_at: Run) -> None:
    waiting = [email("first", key="first"), wait("rest", "5m"), email("second", key="second")]
    bad = [wait("b", "1m"), PICKY]
    run = begun(team, run_at, {**fork(("waiting", waiting), ("bad", bad)), "retry": RETRY}, DONE)
    run_at(later(minutes=1))
    assert state(run) == RunStatus.PENDING and not PipelineRun.objects.filter(parent=run, finished_at=None).exists()
    mend()
    run_at(later(minutes=11))
    assert state(run) == RunStatus.COMPLETED and sent() == ["first", "second", "done after 0"]


def test_a_branch_after_one_that_failed_is_decided_again(team: Team, run_at: Run) -> None:
    block = fork(("a", [email("a", key="first"), PICKY]), ("b", [email("b", key="second")]), on_branch_error="wait")
    block["with"]["branches"][1]["after"] = ["a"]
    run = begun(team, run_at, {**block, "retry": RETRY}, DONE)
    assert sent() == ["a"]
    mend()
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sent() == ["a", "b", "done after 0"]


def test_a_block_that_took_too_long_has_its_whole_time_at_every_try(team: Team, run_at: Run) -> None:
    slow = [email("begun", key="begun"), wait("slow", "90m"), email("slow", key="told")]
    block = {**fork(("quick", [email("quick", key="quick")]), ("slow", slow)), "timeout": "1h"}
    run = begun(team, run_at, {**block, "retry": {**RETRY, "on": ["timeout"]}}, DONE)
    run_at(later(hours=1))
    assert (state(run), run.next_step_at) == (RunStatus.PENDING, later(minutes=70))
    run_at(later(minutes=70))
    assert (state(run), run.next_step_at) == (RunStatus.WAITING, later(minutes=130))
    run_at(later(minutes=90))
    assert state(run) == RunStatus.COMPLETED, "what was left of the wait was waited, and no more"
    assert sorted(sent()) == ["begun", "done after 0", "quick", "slow"]


def test_an_edge_for_the_timeout_is_taken_at_once(team: Team, run_at: Run) -> None:
    block = {**fork(("slow", [wait("slow", "90m")])), "timeout": "1h", "on": {"timeout": "done"}}
    run = begun(team, run_at, {**block, "retry": RETRY}, DONE)
    run_at(later(hours=1))
    assert state(run) == RunStatus.COMPLETED and sent() == ["done after 0"]


def test_what_was_exported_before_is_there_once(team: Team, run_at: Run) -> None:
    strict = {**PICKY, "if": "index != 1 or contact.job_title == 'Boss'"}
    look = {"key": "look", "type": "set_variable", "with": {"count": "= count + index + 1"}}
    tell = email("{{ count }} {{ steps.rounds.completed }} {{ steps.rounds.items[0].status }}", key="tell")
    run = begun(team, run_at, {**loop(look, strict, times=3, export=["count"]), "retry": RETRY}, tell)
    assert state(run) == RunStatus.PENDING
    mend()
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sent() == ["6 3 completed"]


def test_whoever_is_cancelled_in_between_is_not_tried_again(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, two_branches(), DONE)
    assert cancel_runs(run_ids=[run.pk]) == 1
    mend()
    run_at(later(hours=1))
    assert state(run) == RunStatus.CANCELLED and sorted(sent()) == ["before", "good"]


def test_an_exit_rule_ends_a_run_between_two_tries(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, two_branches(), DONE, exit=[{"event": "order.paid"}])
    kind = ContentType.objects.get_for_model(Contact).pk
    publish_all([Fact(team.pk, "order.paid", kind, Contact.objects.get().pk)])
    run_at(later(minutes=1))
    assert state(run) in (RunStatus.COMPLETED, RunStatus.CANCELLED)
    mend()
    run_at(later(minutes=10))
    assert sorted(sent()) == ["before", "good"]


@pytest.mark.parametrize("minutes", [5, 25], ids=["before the try", "after it"])
def test_a_paused_run_keeps_its_try(team: Team, run_at: Run, minutes: int) -> None:
    run = begun(team, run_at, two_branches(), DONE)
    assert pause_runs(run_ids=[run.pk]) == 1
    mend()
    run_at(later(minutes=minutes))
    assert sorted(sent()) == ["before", "good"]
    assert resume_runs(run_ids=[run.pk]) == 1
    run_at(later(minutes=minutes))
    assert (state(run) == RunStatus.COMPLETED) is (minutes > 10)
    run_at(later(minutes=30))
    assert state(run) == RunStatus.COMPLETED and sorted(sent()) == ["after", "before", "done after 0", "good"]


def test_the_version_that_was_published_in_between_is_tried(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, two_branches(), DONE)
    mended = two_branches()
    mended["with"]["branches"][1]["steps"][1] = {**PICKY, "if": "true", "next": "after"}
    active(team, [mended, DONE], variables=[COUNT, LIMIT])
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sorted(sent()) == ["after", "before", "done after 0", "good"]


def test_runs_that_stay_on_their_version_are_tried_by_it(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, two_branches(), DONE)
    mended = two_branches()
    mended["with"]["branches"][1]["steps"][1] = {**PICKY, "if": "true", "next": "after"}
    active(team, [mended, DONE], variables=[COUNT, LIMIT], settings={"versioning": "pin"})
    run_at(later(minutes=10))
    assert state(run) == RunStatus.PENDING and sorted(sent()) == ["before", "good"]


def test_a_branch_that_somebody_retries_in_between_is_not_done_twice(team: Team, run_at: Run) -> None:
    bad = [(name, [{**PICKY, "key": f"picky_{name}", "next": name}, email(name, key=name)]) for name in ("a", "b")]
    run = begun(team, run_at, {**fork(*bad, on_branch_error="wait"), "retry": RETRY}, DONE)
    mend()
    assert retry_runs(run_ids=[PipelineRun.objects.get(parent=run, slot=0).pk]) == 1
    run_at(later(minutes=1))
    assert state(run) == RunStatus.PENDING and sent() == ["a"]
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sent() == ["a", "b", "done after 0"]


def test_a_late_engine_does_not_take_the_time_of_a_try(team: Team, run_at: Run) -> None:
    block = {**two_branches(), "timeout": "1h"}
    run = begun(team, run_at, block, DONE)
    mend()
    run_at(later(days=2))
    assert state(run) == RunStatus.COMPLETED


def test_a_simulation_tells_the_same(team: Team, run_at: Run) -> None:
    told = document([two_branches(), DONE], variables=[COUNT, LIMIT])
    report = simulate(team=team, document=told, scenario=scenario_of({"start": NOON.isoformat()}, now=NOON))
    run = begun(team, run_at, two_branches(), DONE)
    for minutes in (10, 30):
        run_at(later(minutes=minutes))
    told_of = [each for each in report["steps"] if each["key"] == "fork"]
    assert [(each["event"], each["attempt"], each["left_at"]) for each in told_of] == tries(run)


def test_the_calendar_of_a_contact_knows_what_comes_again(team: Team, run_at: Run) -> None:
    inner = loop(ORDER, {**PICKY, "next": "charged"}, email("charged", key="charged"), key="inner", times=2)
    run = begun(team, run_at, {**fork(("deep", [inner])), "retry": RETRY}, DONE)
    assert state(run) == RunStatus.PENDING
    mend()
    told = calendar_of(team=team, contact=Contact.objects.get(), now=later(minutes=1), seconds=120)["items"]
    assert {each["at"] for each in told} == {later(minutes=10)}
    assert sorted(each["step"] for each in told) == ["charged", "charged", "done", "order"]
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sent() == ["order 0", "charged", "order 1", "charged", "done after 0"]


def test_the_page_of_a_run_says_what_it_waits_for(team: Team, run_at: Run, admin_client: Client) -> None:
    run = begun(team, run_at, two_branches(), DONE)
    page = text_of(admin_client.get(f"/admin/pipelines/pipelinerun/{run.pk}/change/"))
    assert "and then repeats what failed inside ‘Parallel’. It is attempt 2 at this step." in page


def test_trying_again_takes_as_many_statements_for_many_as_for_few(team: Team, run_at: Run) -> None:
    active(team, [{**two_branches(on_branch_error="wait"), "retry": {**RETRY, "backoff": 1}, "timeout": "9d"}])
    counts = []
    # The first time fills what a process remembers.
    for place, people in enumerate((2, 2, 9)):
        start = NOON + timedelta(days=place)
        run_at(start)
        for _ in range(people):
            Contact.objects.create(team=team, first_name="Ann")
        run_at(start)
        counts.append(statements(partial(run_at, start + timedelta(minutes=10))))
        run_at(start + timedelta(minutes=20))
    assert PipelineRun.objects.filter(parent=None, status=RunStatus.FAILED).count() == 13
    assert counts[1] == counts[2]


def test_who_was_called_off_without_a_date_is_asked_for_it_again(team: Team, run_at: Run) -> None:
    until = {"until": "{{ contact.custom.renewal }}"}
    dated = [wait("lead"), email("dated", key="dated", delay=until, retry={"max": 9, "delay": "5h"})]
    block = fork(("dated", dated), ("bad", [wait("b", "1m"), PICKY]))
    run = begun(team, run_at, {**block, "retry": RETRY})
    run_at(later(minutes=1))
    mend()
    run_at(later(minutes=11))
    assert sent() == [] and state(run) == RunStatus.WAITING
