"""Before a pipeline is published that starts one which takes nobody in, one hears of it; and it is so."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations import archive, pause, validate_document
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, document, email
from tests.pipelines.engine.conftest import Run


@pytest.mark.parametrize("kind", ["enroll", "call"])
@pytest.mark.parametrize("status", ["active", "draft", "paused", "archived"])
def test_a_step_that_starts_a_pipeline_which_takes_nobody_in_is_warned_about(
    team: Team, run_at: Run, kind: str, status: str
) -> None:
    other = active(team, [email()], key="other", triggers=[])
    if status == "draft":
        Pipeline.objects.update(status=Pipeline.Status.DRAFT)
    elif status != "active":
        {"paused": pause, "archived": archive}[status](pipeline=other)
    step = {"type": kind, "with": {"pipeline": "other"}}
    found = [(each.path, each.severity, each.message) for each in validate_document(document([step]), team)]
    doubtful = [each for each in found if each[0] == "steps[0].with.pipeline"]
    active(team, [step])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    failed = PipelineRun.objects.filter(pipeline__key="welcome", status=RunStatus.FAILED).exists()
    assert failed == bool(doubtful) == (status not in {"call": ("active", "paused"), "enroll": ("active",)}[kind])
    if doubtful:
        told = {"draft": "is not active yet", "paused": "is paused", "archived": "is archived"}[status]
        assert doubtful[0][1] == "warning" and told in doubtful[0][2]


def test_a_pipeline_that_calls_itself_or_comes_with_the_other_is_not_resting(team: Team) -> None:
    steps: list[dict[str, Any]] = [{"type": "enroll", "with": {"pipeline": key}} for key in ("welcome", "other")]
    found = validate_document(document(steps), team, beside=["other"])
    assert [each for each in found if "pipeline" in each.path] == []
