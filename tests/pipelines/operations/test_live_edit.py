"""A live pipeline is edited: what is announced is what happens, and the engine keeps every run's place in time."""

from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.models import AuditEntry
from pipelines.engine.clock import pretend
from pipelines.engine.controls import resume_runs
from pipelines.engine.tick import process_due_runs
from pipelines.models import Effect, Pipeline, PipelineRun, PipelineVersion, StepExecution
from pipelines.operations import activate, import_document, publish, update_document
from pipelines.operations.previewing import Line, Preview, preview
from pipelines.states import RunPhase, RunStatus
from tests.examples import examples
from tests.pipelines.operations.builders import NOON, a_document, a_team, a_waiting_run, email

pytestmark = pytest.mark.django_db
DAY = 86_400


@pytest.fixture
def live() -> Pipeline:
    """Three waits: none, a day, an hour; active, published by hand."""
    pipeline = import_document(team=a_team(), document=a_document(*steps()))
    activate(pipeline=pipeline, now=NOON)
    Pipeline.objects.filter(pk=pipeline.pk).update(auto_publish=False)
    return Pipeline.objects.get(pk=pipeline.pk)


def wait(key: str, delay: Any = 0, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "wait", "delay": delay, **more}


def steps() -> list[dict[str, Any]]:
    return [wait("hello"), wait("tips", DAY), wait("offer", 3_600)]


def edit(pipeline: Pipeline, *wanted: dict[str, Any], **more: Any) -> None:
    update_document(pipeline=pipeline, document=a_document(*wanted, **more))


def engine(pipeline: Pipeline, now: datetime) -> None:
    with pretend(now):
        process_due_runs()


def told(found: Preview) -> list[tuple[str, str, int, str]]:
    return [(line.step, line.what, line.count, line.to) for line in found.lines]


def test_the_preview_says_for_each_step_how_many_stand_there_and_what_becomes_of_them(live: Pipeline) -> None:
    for _ in range(2):
        a_waiting_run(live, "tips", due=NOON + timedelta(hours=2))
    a_waiting_run(live, "tips", status=RunStatus.RUNNING)
    a_waiting_run(live, "offer", due=NOON + timedelta(hours=1))
    a_waiting_run(live, "hello", due=NOON)
    edit(live, wait("hello"), wait("tips", 2 * DAY))
    found = preview(pipeline=live, now=NOON)
    assert told(found) == [
        ("offer", "completes", 1, ""),
        ("hello", "stays", 1, ""),
        ("tips", "finishes_first", 1, ""),
        ("tips", "retimed", 2, ""),
    ]
    retimed: Line = found.lines[3]
    assert (retimed.before, retimed.after) == ("1 day", "2 days")
    assert retimed.due_after == (NOON + timedelta(hours=26), NOON + timedelta(hours=26))
    assert found.on_the_way == 5 and found.touches_runs and found.number == 2
    assert not PipelineVersion.objects.filter(number=2).exists()


def test_those_who_have_waited_long_enough_are_told_to_go_at_once(live: Pipeline) -> None:
    a_waiting_run(live, "tips", due=NOON + timedelta(hours=2))
    edit(live, wait("hello"), wait("tips", 60), wait("offer", 3_600))
    assert [line.at_once for line in preview(pipeline=live, now=NOON).lines] == [True]
    edit(live, wait("hello"), wait("tips", DAY - 60), wait("offer", 3_600))
    assert [line.at_once for line in preview(pipeline=live, now=NOON).lines] == [False]


def test_a_step_that_goes_names_the_one_that_takes_over(live: Pipeline) -> None:
    a_waiting_run(live, "tips")
    edit(live, wait("hello"), wait("offer", 3_600))
    assert told(preview(pipeline=live, now=NOON)) == [("tips", "passed_on", 1, "offer")]


def fork(key: str, *inside: dict[str, Any], **more: Any) -> dict[str, Any]:
    branches = [{"name": f"b{number}", "steps": [step]} for number, step in enumerate(inside)]
    return {"key": key, "type": "parallel", "with": {"branches": branches}, **more}


@pytest.mark.parametrize(
    ("before", "now", "stands", "goes_to"),
    [
        (["tips", "offer"], [("f", "tips"), "offer"], "tips", "f"),
        (["tips", "offer"], [("f", "tips", "offer")], "tips", "f"),
        (["tips", "offer"], [("f", "offer")], "tips", "f"),
        # Whoever has passed a step does not come to it again because it shares a block now.
        (["tips", "offer", "last"], [("f", "tips", "offer"), "last"], "offer", "last"),
        ([("f", "tips"), "offer", "last"], [("f", "tips", "offer"), "last"], "offer", "last"),
        (["tips", "offer"], [("f", "tips", "offer")], "offer", ""),
        # What a block held goes on alone, in the order of the new version, or in another block.
        ([("f", "tips", "offer"), "last"], ["offer", "tips", "last"], "f", "offer"),
        ([("f", "tips"), "offer"], ["offer", ("g", "tips")], "f", "g"),
        ([("f", "tips"), "last"], ["last"], "f", "last"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_step_that_moves_into_a_block_or_out_of_one_takes_those_along_who_wait_before_it(
    before: list[Any], now: list[Any], stands: str, goes_to: str
) -> None:
    made = [[fork(key[0], *map(wait, key[1:])) if isinstance(key, tuple) else wait(key) for key in version]
            for version in (before, now)]  # fmt: skip
    pipeline = import_document(team=a_team(), document=a_document(wait("hello"), *made[0]), activate=True)
    pipeline.auto_publish = False
    run, paused = (a_waiting_run(pipeline, stands, due=NOON + timedelta(hours=1)) for _ in range(2))
    PipelineRun.objects.filter(pk=paused.pk).update(status=RunStatus.PAUSED, next_step_at=None, held_until=NOON)
    update_document(pipeline=pipeline, document=a_document(wait("hello"), *made[1]))
    line = next(line for line in preview(pipeline=pipeline, now=NOON).lines if line.what != "keeps_time")
    assert (line.what, line.to) == (("passed_on", goes_to) if goes_to else ("completes", ""))
    publish(pipeline=pipeline, now=NOON)
    run.refresh_from_db()
    assert (run.step.key if run.step and run.status == RunStatus.PENDING else "") == goes_to
    # Who was paused meanwhile goes the same way at the next move.
    with pretend(NOON):
        resume_runs(run_ids=[paused.pk])
    engine(pipeline, NOON + timedelta(hours=2))
    left = [StepExecution.objects.filter(run_id=pk).order_by("id")[0] for pk in (run.pk, paused.pk)]
    assert left[0].why == left[1].why and left[0].step_id == left[1].step_id
    assert not PipelineRun.objects.exclude(status=RunStatus.COMPLETED).exists()


@pytest.mark.parametrize("policy", ["pin", "cancel"])
def test_the_other_policies_are_announced_and_kept(live: Pipeline, policy: Literal["pin", "cancel"]) -> None:
    run, inside = a_waiting_run(live, "tips"), a_waiting_run(live, "tips", status=RunStatus.RUNNING)
    old = live.current_version
    edit(live, wait("hello"))
    found = preview(pipeline=live, policy=policy, now=NOON)
    assert told(found) == [("tips", "pinned" if policy == "pin" else "cancelled", 2, "")]
    version = publish(pipeline=live, policy=policy, now=NOON)
    assert version.get_runs_policy_display().lower() == policy
    for each in (run, inside):
        each.refresh_from_db()
        assert each.version == old
        assert each.is_finished is (policy == "cancel")
    if policy == "cancel":
        assert {run.reason, inside.reason} == {"version_replaced"}


def test_who_was_pinned_once_stays_through_ticks_and_follows_the_next_version(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips", due=NOON)
    old = live.current_version
    edit(live, wait("hello"), wait("offer", 3_600))
    publish(pipeline=live, policy="pin", now=NOON)
    engine(live, NOON)
    run.refresh_from_db()
    assert run.step is not None and (run.step.key, run.version) == ("offer", old)
    edit(live, wait("hello"), wait("offer", 7_200))
    version = publish(pipeline=live, policy="follow", now=NOON)
    run.refresh_from_db()
    assert (run.version, run.next_step_at) == (version, NOON + timedelta(hours=2))


def test_a_clock_time_is_worked_out_from_the_end_of_the_previous_visit(live: Pipeline) -> None:
    run = a_waiting_run(live, "hello", due=NOON)
    engine(live, NOON)
    edit(live, wait("hello"), wait("tips", {"for": "2d", "at": "09:00", "tz": "UTC"}), wait("offer"))
    publish(pipeline=live, now=NOON + timedelta(hours=5))
    engine(live, NOON + timedelta(hours=6))
    run.refresh_from_db()
    assert run.step is not None and run.step.key == "tips"
    assert (run.phase, run.next_step_at) == (RunPhase.ENTER, datetime(2026, 3, 5, 9, tzinfo=NOON.tzinfo))
    assert StepExecution.objects.filter(run_id=run.pk).count() == 1


def test_a_clock_time_that_has_passed_runs_now_or_is_skipped_as_the_rule_says(live: Pipeline) -> None:
    runs = [a_waiting_run(live, key, due=NOON + timedelta(days=9)) for key in ("tips", "offer")]
    past = {"until": "2026-03-01T00:00:00Z"}
    edit(live, wait("hello"), wait("tips", {**past, "if_past": "skip"}), wait("offer", past))
    publish(pipeline=live, now=NOON)
    engine(live, NOON)
    for run in runs:
        run.refresh_from_db()
        assert run.status == RunStatus.COMPLETED
    events = StepExecution.objects.filter(run_id=runs[0].pk).order_by("id").values_list("event", flat=True)
    assert list(events) == [StepExecution.Event.SKIPPED, StepExecution.Event.COMPLETED]


def test_a_run_that_was_paused_while_its_step_went_away_is_passed_on_when_it_goes_on(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips", due=NOON)
    PipelineRun.objects.filter(pk=run.pk).update(status=RunStatus.PAUSED, next_step_at=None, held_until=NOON)
    edit(live, wait("hello"), wait("offer", DAY + 3_600))
    publish(pipeline=live, now=NOON)
    run.refresh_from_db()
    assert run.status == RunStatus.PAUSED
    PipelineRun.objects.filter(pk=run.pk).update(status=RunStatus.PENDING, next_step_at=NOON, held_until=None)
    engine(live, NOON)
    run.refresh_from_db()
    assert run.step is not None and (run.step.key, run.next_step_at) == ("offer", NOON + timedelta(hours=1))
    visit = StepExecution.objects.get(run_id=run.pk)
    assert (visit.event, visit.seq, run.seq) == (StepExecution.Event.MOVED, 1, 2)


def test_a_run_inside_a_step_finishes_it_as_it_began_it_and_goes_on_in_the_new_version() -> None:
    pipeline = import_document(
        team=a_team(), document=a_document(email("hello"), email("tips"), email("offer", delay=3_600))
    )
    activate(pipeline=pipeline, now=NOON)
    run = a_waiting_run(pipeline, "hello", due=NOON, status=RunStatus.RUNNING, phase=RunPhase.RESUME)
    PipelineRun.objects.filter(pk=run.pk).update(status=RunStatus.PENDING)
    pipeline.auto_publish = False
    update_document(pipeline=pipeline, document=a_document(email("hello"), email("offer", delay=7_200)))
    version = publish(pipeline=pipeline, now=NOON)
    Effect.objects.create(
        run=run, seq=1, n=0, kind=Effect.Kind.EMAIL, status=Effect.Status.DONE, available_at=NOON, created_at=NOON,
        payload={},
    )  # fmt: skip
    engine(pipeline, NOON)
    run.refresh_from_db()
    assert run.step is not None and (run.step.key, run.version) == ("offer", version)
    assert run.next_step_at == NOON + timedelta(hours=2)
    (visit,) = StepExecution.objects.filter(run_id=run.pk)
    assert visit.event == StepExecution.Event.COMPLETED


def test_rows_with_problems_are_told_with_the_problems_and_move_nobody(live: Pipeline) -> None:
    a_waiting_run(live, "tips")
    broken = a_document(wait("hello"), {"key": "tips", "type": "send_pigeon"})
    found = preview(pipeline=live, document=broken, now=NOON)
    assert [problem.path for problem in found.problems] == ["steps[1].type"] and found.lines == ()


def test_a_preview_takes_the_same_statements_for_one_run_and_for_many(
    live: Pipeline, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        a_waiting_run(live, "tips")
    edit(live, wait("hello"), wait("offer", 60))
    with django_assert_max_num_queries(12):
        preview(pipeline=live, now=NOON)


DELAYS = st.sampled_from([0, 60, 3_600, DAY, {"at": "09:00"}, {"for": 60, "at": "10:00"}])
KEYS = ["a", "b", "c", "d", "e"]
LINES = st.lists(st.sampled_from(KEYS), min_size=1, max_size=5, unique=True).flatmap(
    lambda keys: st.tuples(*(st.tuples(st.just(key), DELAYS) for key in keys))
)
STANDS = st.tuples(
    st.integers(0, 4),
    st.sampled_from(["between", "retrying", "inside", "resuming", "paused", "done"]),
    st.integers(-2, 30),
)
STATES: dict[str, dict[str, Any]] = {
    "between": {},
    "retrying": {"attempt": 2},
    "inside": {"status": RunStatus.RUNNING},
    "resuming": {"phase": RunPhase.RESUME},
}


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    versions=st.lists(LINES, min_size=2, max_size=4),
    stands=st.lists(STANDS, max_size=12),
    policy=st.sampled_from(["follow", "follow", "follow", "pin", "cancel"]),
)
def test_what_is_announced_is_exactly_what_happens(
    versions: list[tuple[tuple[str, Any], ...]],
    stands: list[tuple[int, str, int]],
    policy: Literal["follow", "pin", "cancel"],
) -> None:
    PipelineRun.objects.all().delete()
    suffix = Pipeline.objects.count()
    pipeline = import_document(team=a_team(f"team-{suffix}"), document=_line(versions[0]))
    activate(pipeline=pipeline, now=NOON)
    pipeline.auto_publish = False
    for line in versions[:-1]:
        update_document(pipeline=pipeline, document=_line(line))
        publish(pipeline=pipeline, now=NOON)
        keys = [key for key, _ in line]
        for at, state, hours in stands:
            _place(pipeline, keys[at % len(keys)], state, NOON + timedelta(hours=hours))
    update_document(pipeline=pipeline, document=_line(versions[-1]))
    announced = preview(pipeline=pipeline, policy=policy, now=NOON)
    before = pipeline.current_version
    version = publish(pipeline=pipeline, policy=policy, now=NOON)
    assert announced.changes_anything is (version != before)
    if version != before:
        happened = AuditEntry.objects.filter(action="pipeline.publish").latest("id").details
        assert {name: happened[name] for name in announced.moved.as_details()} == announced.moved.as_details()
        assert announced.number == version.number


def _line(steps_: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    return a_document(*(wait(key, delay) for key, delay in steps_))


def _place(pipeline: Pipeline, key: str, state: str, due: datetime) -> None:
    if state == "done":
        a_waiting_run(pipeline, key, status=RunStatus.COMPLETED, next_step_at=None, finished_at=NOON)
    elif state == "paused":
        a_waiting_run(pipeline, key, status=RunStatus.PAUSED, next_step_at=None, held_until=due)
    else:
        a_waiting_run(pipeline, key, due=due, **STATES[state])
