"""Who is inside a step when a version is published goes on by it at once, with all that its steps read."""

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from contacts.models import Contact
from crm.models import MessageTemplate, Team
from pipelines.engine.events import Fact, publish_all
from pipelines.models import PipelineRun, RunContext
from pipelines.states import RunStatus
from tests.pipelines.engine.building import active, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.repeating import Step, said, sent, state

HOLD: Step = {"key": "hold", "type": "wait_for", "with": {"events": [{"event": "go"}]}}
PASS: Step = {"key": "pass", "type": "condition", "if": "contact.first_name == 'Ann'"}
TRIGGERS = [{"type": "event", "event": "begin"}]


@pytest.fixture
def inside(team: Team, run_at: Run) -> PipelineRun:
    """A run in a step that waits, of a version that reads nothing but its contact."""
    active(team, [HOLD, PASS], triggers=TRIGGERS)
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    tell(team, "begin", {"plan": "gold"})
    run_at(later(minutes=0))
    return PipelineRun.objects.get()


def tell(team: Team, event: str, payload: dict[str, Any]) -> None:
    kind = ContentType.objects.get_for_model(Contact).pk
    publish_all([Fact(team.pk, event, kind, Contact.objects.get().pk, payload)])


def go(team: Team, run_at: Run, *steps: Step, **more: Any) -> None:
    active(team, [HOLD, PASS, *steps], triggers=TRIGGERS, **more)
    tell(team, "go", {})
    run_at(later(minutes=1))


def test_a_pipeline_that_only_the_new_version_calls(team: Team, run_at: Run, inside: PipelineRun) -> None:
    active(team, [email("called")], key="other", triggers=[])
    go(team, run_at, {"key": "sub", "type": "call", "with": {"pipeline": "other"}})
    assert (state(inside), said(inside), sent()) == (RunStatus.COMPLETED, [], ["called"])


def test_a_template_that_only_the_new_version_sends(team: Team, run_at: Run, inside: PipelineRun) -> None:
    MessageTemplate.objects.create(
        team=team, key="plan", name="Plan", subject="Hi", text="You have {{ trigger.plan }}."
    )
    go(team, run_at, {"type": "send_email", "with": {"template": "plan"}})
    assert (state(inside), said(inside), sent()) == (RunStatus.COMPLETED, [], ["You have gold."])


def test_what_the_run_remembers_is_read_and_kept(team: Team, run_at: Run, inside: PipelineRun) -> None:
    look = {"key": "look", "type": "set_variable", "with": {"seen": "{{ trigger.plan }}"}}
    go(team, run_at, look, variables=[{"name": "seen", "type": "string"}])
    assert state(inside) == RunStatus.COMPLETED
    assert RunContext.objects.values_list("trigger", "vars").get() == ({"plan": "gold"}, {"seen": "gold"})
