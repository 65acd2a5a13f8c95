"""Old versions go when nobody needs them, and never before."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import ProtectedError

from pipelines.doctor.findings import Clocks
from pipelines.doctor.versions import held_versions, unreadable_versions
from pipelines.models import Pipeline, PipelineRun, PipelineVersion
from pipelines.operations import Refused, activate, import_document, prune, publish, update_document
from pipelines.operations.pruning import remove_version
from pipelines.states import RunStatus
from tests.pipelines.operations.builders import NOON, a_document, a_team, a_waiting_run, email

pytestmark = pytest.mark.django_db
AGE = timedelta(0)
LATER = NOON + timedelta(days=3_650)


@pytest.fixture
def aged() -> Pipeline:
    """Five versions; a run that waits holds the first, one that ended holds the second."""
    pipeline = import_document(team=a_team(), document=a_document(email("hello")))
    activate(pipeline=pipeline, now=NOON)
    a_waiting_run(pipeline, "hello")
    for number in range(2, 6):
        pipeline.auto_publish = False
        update_document(pipeline=pipeline, document=a_document(email("hello", name=f"Number {number}")))
        publish(pipeline=pipeline, policy="pin", now=NOON)
        if number == 2:
            a_waiting_run(pipeline, "hello", status=RunStatus.COMPLETED, next_step_at=None, finished_at=NOON)
    return pipeline


def numbers(pipeline: Pipeline) -> list[int]:
    return list(pipeline.versions.order_by("number").values_list("number", flat=True))


def test_versions_without_runs_go_and_the_rest_stays(aged: Pipeline) -> None:
    assert prune(pipeline=aged, keep=1, older_than=AGE, now=LATER) == [3, 4]
    assert numbers(aged) == [1, 2, 5]
    assert prune(pipeline=aged, keep=1, older_than=AGE, now=LATER) == []


def test_the_newest_and_the_young_are_kept(aged: Pipeline) -> None:
    assert prune(pipeline=aged, keep=2, older_than=AGE, now=LATER) == [3]
    assert prune(pipeline=aged, keep=1, older_than=timedelta(days=36_500), now=LATER) == []


def test_a_version_that_a_run_holds_cannot_be_removed_by_hand_either(aged: Pipeline) -> None:
    held, free = aged.versions.get(number=1), aged.versions.get(number=3)
    with pytest.raises(Refused, match="1 runs are on it or ended on it"):
        remove_version(pipeline=aged, version=held)
    with pytest.raises(ProtectedError):
        held.delete()
    with pytest.raises(Refused, match="current version"):
        remove_version(pipeline=aged, version=aged.versions.get(number=5))
    remove_version(pipeline=aged, version=free)
    assert numbers(aged) == [1, 2, 4, 5]


def test_the_command_says_what_it_removed(aged: Pipeline) -> None:
    out = StringIO()
    PipelineVersion.objects.update(published_at=NOON - timedelta(days=9_000))
    call_command("pipelines", "prune", "--team", "sales", "--keep", "1", stdout=out)
    assert out.getvalue() == "welcome: removed version 3, 4\n"
    call_command("pipelines", "prune", "--team", "sales", stdout=(again := StringIO()))
    assert again.getvalue() == "Nothing to remove.\n"


def test_the_doctor_finds_runs_that_were_left_behind(aged: Pipeline) -> None:
    clocks = Clocks(now=LATER, real_now=LATER, minutes=10)
    (found,) = held_versions(clocks)
    assert found.count == 1 and found.ids == (PipelineRun.objects.earliest("id").pk,)
    assert unreadable_versions(clocks) == []
