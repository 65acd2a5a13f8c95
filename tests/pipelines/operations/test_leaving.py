"""Who is inside a step while a version is published finishes it as it began, and leaves by the edges of the new one."""

from typing import Any

import pytest

from crm.models import Task
from crm.work import Worker, finish_task
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.models import HumanTask, Pipeline, PipelineRun
from pipelines.operations import activate, import_document, preview_backfill, update_document
from pipelines.states import RunStatus
from tests.pipelines.operations.builders import NOON, a_document, a_team, a_waiting_run

pytestmark = pytest.mark.django_db
FORM = [{"name": "said", "type": "text"}]
ASK: dict[str, Any] = {
    "key": "ask",
    "type": "human_task",
    "with": {"title": "Call?", "outcomes": ["yes", "no"], "form": FORM},
    "on": {"yes": "last", "no": "end"},
}


def asking(*more: dict[str, Any], ask: dict[str, Any] = ASK, **settings: Any) -> dict[str, Any]:
    return a_document(ask, *more, {"key": "last", "type": "wait", "delay": "1d"}, settings=settings)


def asked(**settings: Any) -> tuple[Pipeline, PipelineRun]:
    """A run that waits for somebody's answer."""
    pipeline = import_document(team=a_team(), document=asking(**settings))
    activate(pipeline=pipeline, now=NOON)
    run = a_waiting_run(pipeline, "ask")
    work()
    return pipeline, run


def work() -> None:
    with pretend(NOON):
        process_due_runs()


def answered(run: PipelineRun, outcome: str) -> PipelineRun:
    """Its task is answered, and the engine looks."""
    task = HumanTask.objects.get(run=run).task
    finish_task(task=task, worker=Worker(role="owner"), values={"said": "sure"}, outcome=outcome, now=NOON)
    work()
    run.refresh_from_db()
    return run


def test_nobody_passes_a_step_that_was_put_behind_the_one_they_are_inside() -> None:
    pipeline, run = asked()
    note = {"key": "note", "type": "create_task", "with": {"title": "{{ steps.ask.said }}"}, "next": "last"}
    ask = {**ASK, "on": {"yes": "note", "no": "end"}}
    update_document(pipeline=pipeline, document=asking(note, ask=ask))
    assert preview_backfill(pipeline=pipeline, step="note").on_the_way == 0
    run = answered(run, "yes")
    assert run.step is not None and (run.step.key, run.version.number) == ("last", 2)
    assert Task.objects.filter(title="sure").count() == 1


def test_an_answer_that_only_the_older_version_knows_leads_where_that_one_says() -> None:
    pipeline, run = asked()
    ask = {**ASK, "with": {"title": "Call?", "outcomes": ["maybe", "later"]}, "on": {"maybe": "end", "later": "last"}}
    update_document(pipeline=pipeline, document=asking(ask=ask))
    run = answered(run, "no")
    assert (run.status, run.reason, run.version.number) == (RunStatus.COMPLETED, "end", 1)


def test_who_stays_on_a_version_leaves_by_its_edges() -> None:
    pipeline, run = asked(versioning="pin")
    ask = {**ASK, "on": {"yes": "end", "no": "end"}}
    update_document(pipeline=pipeline, document=asking(ask=ask, versioning="pin"))
    run = answered(run, "yes")
    assert run.step is not None and (run.step.key, run.version.number) == ("last", 1)


def test_who_ends_by_the_new_edges_as_by_the_old_ends_on_the_version_it_has() -> None:
    pipeline, run = asked()
    update_document(pipeline=pipeline, document=asking(ask={**ASK, "name": "Ask"}))
    run = answered(run, "no")
    assert (run.status, run.reason, run.version.number) == (RunStatus.COMPLETED, "end", 1)
