"""A new step for people who have passed its place: told before, each at most once, and nothing else happens to them."""

from datetime import timedelta
from typing import Any

import pytest

from contacts.models import Contact
from crm.models import AuditEntry, Task
from pipelines.analytics import pipeline_metrics
from pipelines.conversion import conversion
from pipelines.engine.clock import pretend
from pipelines.engine.controls import pause_runs, resume_runs
from pipelines.engine.events import publish as publish_event
from pipelines.engine.tick import process_due_runs
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.operations import (
    Refused,
    activate,
    backfill,
    import_document,
    preview_backfill,
    publish,
    update_document,
)
from pipelines.states import RunStatus
from tests.pipelines.operations.builders import NOON, a_document, a_team, a_waiting_run

pytestmark = pytest.mark.django_db
DAY = 86_400


def wait(key: str, delay: Any = 0, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "wait", "delay": delay, **more}


def task(key: str, title: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "create_task", "with": {"title": title}, **more}


def live(*steps: dict[str, Any]) -> Pipeline:
    pipeline = import_document(team=a_team(), document=a_document(*steps))
    activate(pipeline=pipeline, now=NOON)
    return pipeline


def work(hours: float = 0) -> None:
    with pretend(NOON + timedelta(hours=hours)):
        process_due_runs()


def told(pipeline: Pipeline, step: str) -> tuple[int, int]:
    found = preview_backfill(pipeline=pipeline, step=step)
    return found.on_the_way, found.completed


@pytest.fixture
def grown() -> Pipeline:
    """One run waits at the end, one has come to its end, one is still before the step that was added."""
    pipeline = live(wait("hello"), wait("last", DAY))
    for due in (NOON, NOON):
        a_waiting_run(pipeline, "hello", due=due)
    work()
    done = PipelineRun.objects.latest("id")
    PipelineRun.objects.filter(pk=done.pk).update(next_step_at=NOON)
    work()
    a_waiting_run(pipeline, "hello", due=NOON + timedelta(days=2))
    update_document(pipeline=pipeline, document=a_document(wait("hello"), task("ask", "Ask"), wait("last", DAY)))
    return pipeline


def test_who_has_passed_is_told_and_gets_only_this_step_once(grown: Pipeline) -> None:
    assert told(grown, "ask") == (1, 1)
    assert backfill(pipeline=grown, step="ask", now=NOON).done == 1
    assert told(grown, "ask") == (0, 1)
    passed = PipelineRun.objects.order_by("id")[0]
    work()
    aside = PipelineRun.objects.latest("id")
    assert (aside.status, aside.reason, aside.subject_id) == (RunStatus.COMPLETED, "aside", passed.subject_id)
    assert Task.objects.get().title == "Ask"
    before = (passed.step_id, passed.next_step_at, passed.seq)
    passed.refresh_from_db()
    assert (passed.step_id, passed.next_step_at, passed.seq) == before
    assert backfill(pipeline=grown, step="ask", now=NOON).done == 0
    work()
    assert Task.objects.count() == 1


def test_who_was_paused_before_the_added_step_gets_it_when_resumed(grown: Pipeline) -> None:
    backfill(pipeline=grown, step="ask", now=NOON)
    aside = PipelineRun.objects.latest("id")
    assert pause_runs(run_ids=[aside.pk]) == 1
    work()
    assert not Task.objects.exists()
    with pretend(NOON):
        assert resume_runs(run_ids=[aside.pk]) == 1
    work()
    aside.refresh_from_db()
    assert (aside.status, aside.reason, Task.objects.get().title) == (RunStatus.COMPLETED, "aside", "Ask")


def test_those_who_came_to_the_end_get_it_when_asked(grown: Pipeline) -> None:
    assert backfill(pipeline=grown, step="ask", completed=True, now=NOON).done == 2
    work()
    assert Task.objects.count() == 2
    assert backfill(pipeline=grown, step="ask", completed=True, now=NOON).done == 0
    entry = AuditEntry.objects.filter(action="pipeline.backfill").earliest("id")
    assert (entry.details["step"], entry.details["runs"], entry.details["completed"]) == ("ask", 2, True)


def test_the_stories_of_both_runs_say_so(grown: Pipeline) -> None:
    backfill(pipeline=grown, step="ask", now=NOON)
    aside = PipelineRun.objects.latest("id")
    passed = PipelineRun.objects.order_by("id")[0]
    notes = dict(StepExecution.objects.filter(event=StepExecution.Event.NOTE).values_list("run_id", "error"))
    assert notes == {
        passed.pk: f"This step was added later: run {aside.pk} does it.",
        aside.pk: f"Does only this step, for run {passed.pk}, which has passed it.",
    }


def test_who_went_the_other_way_at_a_fork_has_not_passed() -> None:
    fork = {"key": "fork", "type": "condition", "if": "contact.first_name == 'Ann'"}
    last = wait("last", DAY)
    pipeline = live({**fork, "on": {"true": "left", "false": "last"}}, wait("left"), last)
    ann, bob = a_waiting_run(pipeline, "fork"), a_waiting_run(pipeline, "fork")
    subject_id = bob.subject_id
    assert subject_id is not None
    Contact.objects.filter(pk=subject_id).update(first_name="Bob")
    work()
    steps = [{**fork, "on": {"true": "left", "false": "last"}}, wait("left"), task("ask", "Ask"), last]
    update_document(pipeline=pipeline, document=a_document(*steps))
    assert told(pipeline, "ask") == (1, 0)
    backfill(pipeline=pipeline, step="ask", now=NOON)
    assert PipelineRun.objects.latest("id").subject_id == ann.subject_id


def test_two_new_steps_in_a_row_are_both_passed_by_those_who_were_there_before() -> None:
    pipeline = live(wait("hello"), wait("last", DAY))
    a_waiting_run(pipeline, "hello")
    work()
    steps = [wait("hello"), task("one", "One"), task("two", "Two"), wait("last", DAY)]
    update_document(pipeline=pipeline, document=a_document(*steps))
    a_waiting_run(pipeline, "hello")
    work()
    Task.objects.all().delete()
    assert told(pipeline, "two") == (1, 0) and told(pipeline, "one") == (1, 0)
    backfill(pipeline=pipeline, step="two", now=NOON)
    work()
    assert [each.title for each in Task.objects.all()] == ["Two"]


def test_a_new_first_step_is_passed_by_everybody_on_the_way() -> None:
    pipeline = live(wait("hello", DAY))
    a_waiting_run(pipeline, "hello")
    update_document(pipeline=pipeline, document=a_document(task("first", "First"), wait("hello", DAY)))
    assert told(pipeline, "first") == (1, 0)


def test_a_run_aside_waits_with_its_step_through_a_new_version_and_a_retry(grown: Pipeline) -> None:
    backfill(pipeline=grown, step="ask", now=NOON)
    aside = PipelineRun.objects.latest("id")
    PipelineRun.objects.filter(pk=aside.pk).update(next_step_at=NOON + timedelta(hours=1))
    update_document(pipeline=grown, document=a_document(wait("hello"), wait("last", 2 * DAY)))
    publish(pipeline=grown, now=NOON)
    work(hours=1)
    aside.refresh_from_db()
    assert (aside.status, aside.reason) == (RunStatus.COMPLETED, "aside")
    assert Task.objects.get().title == "Ask"


def test_a_step_that_comes_back_can_be_given_to_those_who_were_passed_on_when_it_went() -> None:
    steps = [wait("hello"), task("ask", "Ask", delay=DAY), wait("last", 2 * DAY)]
    pipeline = live(*steps)
    a_waiting_run(pipeline, "hello")
    work()
    update_document(pipeline=pipeline, document=a_document(steps[0], steps[2]))
    assert PipelineRun.objects.get(step__key="last").seq == 3
    update_document(pipeline=pipeline, document=a_document(*steps))
    assert told(pipeline, "ask") == (1, 0)
    assert backfill(pipeline=pipeline, step="ask", now=NOON).done == 1
    work(hours=1)
    assert Task.objects.get().title == "Ask" and told(pipeline, "ask") == (0, 0)


def test_what_the_passed_run_remembers_is_known_to_the_step() -> None:
    variables = [{"name": "color", "type": "string", "default": "red"}]
    paint = {"key": "paint", "type": "set_variable", "with": {"values": {"color": "blue"}}}
    pipeline = import_document(team=a_team(), document=a_document(paint, wait("last", DAY), variables=variables))
    activate(pipeline=pipeline, now=NOON)
    a_waiting_run(pipeline, "paint")
    work()
    steps = [paint, task("ask", "Is it {{ color }}?"), wait("last", DAY)]
    update_document(pipeline=pipeline, document=a_document(*steps, variables=variables))
    backfill(pipeline=pipeline, step="ask", now=NOON)
    work()
    assert Task.objects.get().title == "Is it blue?"


def test_a_goal_is_reached_once_and_nobody_is_counted_twice() -> None:
    goals = [{"key": "buy", "event": "order.paid", "within": "7d", "value": "{{ event.total }}"}]
    pipeline = import_document(team=a_team(), document=a_document(wait("hello"), wait("last", DAY), goals=goals))
    activate(pipeline=pipeline, now=NOON)
    passed = a_waiting_run(pipeline, "hello")
    work()
    steps = [wait("hello"), task("ask", "Ask"), wait("last", DAY)]
    update_document(pipeline=pipeline, document=a_document(*steps, goals=goals))
    backfill(pipeline=pipeline, step="ask", now=NOON)
    work()
    publish_event(
        team_id=pipeline.team_id, type="order.paid", payload={"total": 5}, now=NOON + timedelta(hours=1),
        subject_type_id=passed.subject_type_id, subject_id=passed.subject_id,
    )  # fmt: skip
    work(1)
    work(30)
    (goal,) = conversion(pipeline=pipeline).goals
    assert (goal.runs, goal.reached, int(goal.value)) == (1, 1, 5)
    told = pipeline_metrics(pipeline=pipeline, now=NOON)
    assert (told["total"], told["runs"]["completed"], told["elapsed_seconds"]) == (1, 1, 30 * 3600)
    limited = a_document(*steps, goals=goals, settings={"max_executions": 5})
    update_document(pipeline=pipeline, document=limited)
    pipeline.refresh_from_db()
    assert pipeline.enrolled_total == 1


def test_what_cannot_be_given_is_refused_with_a_sentence(grown: Pipeline) -> None:
    with pytest.raises(Refused, match="no step 'nothing'"):
        backfill(pipeline=grown, step="nothing")
    draft = import_document(team=grown.team, document=a_document(wait("a"), key="draft"))
    with pytest.raises(Refused, match="Only an active pipeline"):
        backfill(pipeline=draft, step="a")


def test_it_takes_the_same_statements_for_one_and_for_many(grown: Pipeline, django_assert_max_num_queries: Any) -> None:
    waiting = PipelineRun.objects.order_by("id")[0]
    for _ in range(30):
        run = a_waiting_run(grown, "last", due=NOON + timedelta(days=3))
        StepExecution.objects.create(
            at=NOON, run_id=run.pk, step_id=StepExecution.objects.filter(run_id=waiting.pk).earliest("id").step_id,
            seq=1, attempt=0, event=0, outcome="next", started_at=NOON, finished_at=NOON,
        )  # fmt: skip
    with django_assert_max_num_queries(20):
        assert backfill(pipeline=grown, step="ask", now=NOON).done == 31
