"""Activating, pausing, resuming, archiving, copying and deleting pipelines."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from crm.models import AuditEntry
from pipelines.models import Pipeline, PipelineRun, Trigger
from pipelines.operations import (
    InvalidDocument,
    PipelineExists,
    Refused,
    activate,
    archive,
    delete_pipeline,
    duplicate,
    export_document,
    import_document,
    pause,
    resume,
    set_trigger_enabled,
)
from pipelines.states import RunStatus
from tests.pipelines.operations.builders import NOON, a_document, a_team, a_waiting_run, email

pytestmark = pytest.mark.django_db
Status = Pipeline.Status


@pytest.fixture
def live() -> Pipeline:
    pipeline = import_document(team=a_team(), document=a_document())
    activate(pipeline=pipeline, now=NOON)
    return pipeline


def stored(pipeline: Pipeline) -> Pipeline:
    return Pipeline.objects.get(pk=pipeline.pk)


def test_an_imported_pipeline_is_a_draft_until_it_is_activated() -> None:
    pipeline = import_document(team=a_team(), document=a_document())
    assert (stored(pipeline).status, stored(pipeline).current_version) == (Status.DRAFT, None)
    activate(pipeline=pipeline)
    version = stored(pipeline).current_version
    assert stored(pipeline).status == Status.ACTIVE and version is not None and version.number == 1


def test_importing_over_an_active_pipeline_publishes_it(live: Pipeline) -> None:
    import_document(team=live.team, document=a_document(email("hello")))
    version = stored(live).current_version
    assert version is not None and version.number == 2


def test_importing_can_refuse_to_replace(live: Pipeline) -> None:
    with pytest.raises(PipelineExists):
        import_document(team=live.team, document=a_document(), replace=False)


def test_a_pipeline_without_steps_cannot_be_activated() -> None:
    pipeline = Pipeline.objects.create(team=a_team(), key="empty", name="Empty")
    with pytest.raises(InvalidDocument):
        activate(pipeline=pipeline)
    assert stored(pipeline).status == Status.DRAFT


def test_a_pause_touches_no_run_and_resuming_leaves_due_times(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips", due=NOON + timedelta(hours=1))
    pause(pipeline=live, now=NOON)
    assert stored(live).paused_at == NOON
    resume(pipeline=live, now=NOON + timedelta(days=3))
    run.refresh_from_db()
    assert run.next_step_at == NOON + timedelta(hours=1)
    assert (stored(live).status, stored(live).paused_at) == (Status.ACTIVE, None)


def test_resuming_with_shift_adds_the_time_of_the_pause_to_everyone(
    live: Pipeline, django_assert_max_num_queries: Any
) -> None:
    runs = [a_waiting_run(live, "tips", due=NOON + timedelta(hours=n)) for n in range(20)]
    pause(pipeline=live, now=NOON)
    with django_assert_max_num_queries(9):
        resume(pipeline=live, shift=True, now=NOON + timedelta(days=3))
    due = list(PipelineRun.objects.order_by("pk").values_list("next_step_at", flat=True))
    assert due == [NOON + timedelta(days=3, hours=n) for n in range(len(runs))]


def test_only_an_active_pipeline_can_be_paused() -> None:
    pipeline = import_document(team=a_team(), document=a_document())
    with pytest.raises(Refused, match="This one is draft"):
        pause(pipeline=pipeline)


def test_archiving_with_live_runs_asks_what_becomes_of_them(live: Pipeline) -> None:
    a_waiting_run(live, "tips")
    with pytest.raises(Refused, match="runs=cancel or runs=finish"):
        archive(pipeline=live)
    assert stored(live).status == Status.ACTIVE


def test_archiving_with_finish_lets_runs_go_on(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips")
    archive(pipeline=live, runs="finish")
    run.refresh_from_db()
    assert (stored(live).status, run.status) == (Status.ARCHIVED, RunStatus.PENDING)


def test_archiving_with_cancel_ends_the_runs(live: Pipeline) -> None:
    run = a_waiting_run(live, "tips")
    archive(pipeline=live, runs="cancel")
    run.refresh_from_db()
    assert (run.status, run.reason) == (RunStatus.CANCELLED, "pipeline_archived")


def test_an_archived_pipeline_stays_archived(live: Pipeline) -> None:
    archive(pipeline=live)
    with pytest.raises(Refused):
        activate(pipeline=live)
    with pytest.raises(Refused):
        import_document(team=live.team, document=a_document(email("x")))


def test_a_pipeline_that_never_ran_can_be_deleted(live: Pipeline) -> None:
    delete_pipeline(pipeline=live)
    assert not Pipeline.objects.exists()
    assert AuditEntry.objects.filter(action="pipeline.delete").exists()


def test_a_pipeline_that_ran_is_never_deleted(live: Pipeline) -> None:
    a_waiting_run(live, "tips")
    with pytest.raises(Refused, match="archive it instead"):
        delete_pipeline(pipeline=live)
    assert stored(live).status == Status.ACTIVE


def test_a_copy_is_a_draft_of_the_same_definition_under_its_own_key(live: Pipeline) -> None:
    copy, again = duplicate(pipeline=live), duplicate(pipeline=live)
    assert (copy.key, again.key, stored(copy).status) == (
        "welcome_copy",
        "welcome_copy_2",
        Status.DRAFT,
    )
    original = export_document(pipeline=live).replace('"welcome"', '"welcome_copy"')
    assert export_document(pipeline=copy) == original.replace('"Welcome"', '"Copy of Welcome"')


def test_switching_a_trigger_off_is_audited_and_counts_its_revision(live: Pipeline) -> None:
    trigger = Trigger.objects.get()
    assert trigger.armed_at is not None
    set_trigger_enabled(trigger=trigger, enabled=False, by=User.objects.create_user("ann"))
    now = Trigger.objects.get()
    assert (now.enabled, now.revision, now.armed_at) == (False, 1, None)
    assert AuditEntry.objects.filter(action="pipeline.trigger_disable", actor__username="ann").exists()
