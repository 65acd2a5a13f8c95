"""Publishing makes immutable versions, and runs that wait follow them."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from crm.models import AuditEntry
from pipelines.models import Pipeline, PipelineRun, PipelineStep, PipelineVersion, StepExecution
from pipelines.operations import (
    InvalidDocument,
    PipelineChanged,
    activate,
    import_document,
    publish,
    update_document,
)
from pipelines.states import RunPhase, RunStatus
from tests.pipelines.operations.builders import NOON, a_document, a_team, a_waiting_run, email

pytestmark = pytest.mark.django_db
DAY = 86_400


@pytest.fixture
def live() -> Pipeline:
    """Three mails: at once, after a day, after an hour; active."""
    pipeline = import_document(team=a_team(), document=a_document())
    activate(pipeline=pipeline, now=NOON)
    return pipeline


def change(pipeline: Pipeline, *steps: dict[str, Any], **more: Any) -> PipelineVersion:
    """Put other steps into the rows and publish at noon."""
    pipeline.auto_publish = False
    update_document(pipeline=pipeline, document=a_document(*steps, **more))
    return publish(pipeline=pipeline, now=NOON)


def test_publishing_unchanged_rows_keeps_the_version(live: Pipeline) -> None:
    first = live.current_version
    assert publish(pipeline=live) == first
    assert live.versions.count() == 1


def test_each_change_is_a_new_version_with_the_next_number(live: Pipeline) -> None:
    version = change(live, email("hello"))
    assert (version.number, live.current_version) == (2, version)
    assert Pipeline.objects.get(pk=live.pk).current_version == version


def test_going_back_to_an_old_document_is_a_new_version(live: Pipeline) -> None:
    old = live.current_version
    change(live, email("hello"))
    version = change(live)
    assert version.number == 3
    assert old is not None and version.checksum == old.checksum


def test_what_was_published_is_audited_with_its_actor(live: Pipeline) -> None:
    ann = User.objects.create_user("ann")
    live.auto_publish = False
    update_document(pipeline=live, document=a_document(email("hello")), by=ann)
    publish(pipeline=live, by=ann)
    entry = AuditEntry.objects.filter(action="pipeline.publish").latest("id")
    assert (entry.actor, entry.details["version"]) == (ann, 2)


def test_rows_with_errors_are_not_published(live: Pipeline) -> None:
    PipelineStep.objects.filter(key="tips").update(action_type="send_pigeon")
    with pytest.raises(InvalidDocument) as refused:
        publish(pipeline=live)
    assert [problem.path for problem in refused.value.errors] == ["steps[1].type"]
    assert live.versions.count() == 1


def test_a_change_that_was_made_on_an_old_copy_is_refused(live: Pipeline) -> None:
    stale = Pipeline.objects.get(pk=live.pk)
    change(live, email("hello"))
    with pytest.raises(PipelineChanged):
        update_document(pipeline=stale, document=a_document(email("other")))


@pytest.mark.parametrize(
    ("delay", "due"),
    [
        (DAY + 3_600, NOON + timedelta(hours=3)),
        (DAY - 3_600, NOON + timedelta(hours=1)),
        (60, NOON),
    ],
    ids=["longer waits on", "shorter comes sooner", "much shorter goes now"],
)
def test_a_changed_delay_retimes_who_waits_for_it(live: Pipeline, delay: int, due: Any) -> None:
    run = a_waiting_run(live, "tips", due=NOON + timedelta(hours=2))
    version = change(live, email("hello"), email("tips", delay=delay), email("offer", delay=3_600))
    run.refresh_from_db()
    assert (run.next_step_at, run.version, run.phase) == (due, version, RunPhase.ENTER)


def test_a_run_is_retimed_once_by_each_change(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips", due=NOON + timedelta(hours=2))
    for delay in (DAY + 600, DAY + 1_200, DAY):
        change(live, email("hello"), email("tips", delay=delay), email("offer", delay=3_600))
    run.refresh_from_db()
    assert run.next_step_at == NOON + timedelta(hours=2)


def test_a_clock_time_is_left_to_the_engine(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips", due=NOON + timedelta(hours=2))
    change(live, email("hello"), email("tips", delay={"at": "09:00"}), email("offer"))
    run.refresh_from_db()
    assert (run.phase, run.next_step_at) == (RunPhase.RESCHEDULE, NOON)


def test_who_retries_a_step_keeps_the_time_of_the_retry(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips", due=NOON + timedelta(minutes=1), attempt=1)
    change(live, email("hello"), email("tips", delay=60), email("offer"))
    run.refresh_from_db()
    assert run.next_step_at == NOON + timedelta(minutes=1)


def test_a_removed_step_passes_its_runs_to_the_next_one_that_stays(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips", due=NOON + timedelta(days=1))
    version = change(live, email("hello"), email("offer", delay=3_600))
    run.refresh_from_db()
    assert run.step is not None
    assert (run.step.key, run.version, run.seq) == ("offer", version, 2)
    # As if the day had never been asked for: only the hour before the offer is left.
    assert run.next_step_at == NOON + timedelta(hours=1)
    visit = StepExecution.objects.get(run_id=run.pk)
    assert (visit.event, visit.seq, visit.outcome) == (StepExecution.Event.MOVED, 1, "skipped")
    assert visit.why == [{"rule": "step_removed", "to": run.step_id}]


def test_a_removed_last_step_completes_its_runs(live: Pipeline) -> None:
    run = a_waiting_run(live, "offer", due=NOON + timedelta(days=1), dedup="0" * 12 + "5" + "0" * 19)
    change(live, email("hello"), email("tips", delay=DAY))
    run.refresh_from_db()
    assert (run.status, run.reason) == (RunStatus.COMPLETED, "step_removed")
    assert (run.finished_at, run.next_step_at, run.dedup) == (NOON, None, None)


def test_a_kept_key_of_reentry_survives_the_removal_of_a_step(live: Pipeline) -> None:
    run = a_waiting_run(live, "offer", dedup="0" * 12 + "8" + "0" * 19)
    change(live, email("hello"), email("tips", delay=DAY))
    run.refresh_from_db()
    assert (run.status, run.dedup is not None) == (RunStatus.COMPLETED, True)


def test_the_successor_follows_the_edges_of_the_old_version() -> None:
    team = a_team()
    document = a_document(email("a", next="c"), email("b"), email("c"), email("d"))
    pipeline = import_document(team=team, document=document, activate=True)
    run = a_waiting_run(pipeline, "a")
    change(pipeline, email("b"), email("c"), email("d"))
    run.refresh_from_db()
    assert run.step is not None and run.step.key == "c"


def test_a_run_inside_a_step_is_left_to_finish_it(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips", status=RunStatus.RUNNING)
    resumed = a_waiting_run(live, "tips", phase=RunPhase.RESUME)
    old = live.current_version
    change(live, email("hello"))
    for each in (run, resumed):
        each.refresh_from_db()
        assert each.step is not None
        assert (each.step.key, each.version) == ("tips", old)


def test_a_pinned_pipeline_moves_nobody(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips", due=NOON + timedelta(hours=2))
    old = live.current_version
    change(live, email("hello"), settings={"versioning": "pin"})
    run.refresh_from_db()
    assert run.step is not None
    assert (run.step.key, run.version, run.next_step_at) == ("tips", old, NOON + timedelta(hours=2))


def test_publishing_costs_the_same_with_one_run_and_with_fifty(
    live: Pipeline, django_assert_max_num_queries: Any
) -> None:
    for _ in range(50):
        a_waiting_run(live, "tips")
    live.auto_publish = False
    update_document(pipeline=live, document=a_document(email("hello"), email("offer", delay=60)))
    with django_assert_max_num_queries(32):
        publish(pipeline=live, now=NOON)
    assert PipelineRun.objects.filter(step__key="offer").count() == 50
