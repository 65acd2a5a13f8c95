"""Values for variables that a pipeline does not declare are refused where somebody hears it, else noted, never lost."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from contacts.models import Contact
from crm.models import Team
from pipelines.definition.document import Problem
from pipelines.models import PipelineRun, RunContext, StepExecution
from pipelines.operations import import_document
from pipelines.operations.checking import validate_document
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, document
from tests.pipelines.engine.conftest import Run

pytestmark = pytest.mark.django_db
WAIT = [{"type": "wait", "delay": "30d"}]
DECLARED = [{"name": "first", "type": "string"}, {"name": "second", "type": "number"}]
SAYS = "'frist' is no variable of this pipeline; did you mean 'first'? It declares first, second"


@pytest.fixture
def api(team: Team) -> Api:
    return Api(team)


@pytest.fixture
def ann(team: Team) -> Contact:
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")


def errors(team: Team, step: dict[str, Any], **more: Any) -> list[Problem]:
    return [each for each in validate_document(document([step], **more), team) if each.severity == "error"]


@pytest.mark.parametrize("way", ["enroll", "trigger"])
def test_the_api_refuses_a_value_for_no_variable_with_its_path_and_the_names_there_are(
    team: Team, api: Api, ann: Contact, way: str
) -> None:
    active(team, WAIT, triggers=[{"type": "manual"}], variables=DECLARED)
    who: dict[str, Any] = {"subjects": [ann.pk]} if way == "enroll" else {"subject": ann.pk}
    answer = api.post(f"pipelines/welcome/{way}/", {**who, "variables": {"frist": "x", "second": 1}})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"path": "variables.frist", "message": SAYS}]
    assert not PipelineRun.objects.exists()
    assert api.post(f"pipelines/welcome/{way}/", {**who, "variables": {"first": "x"}}).status_code == 200


def test_a_pipeline_without_variables_says_so(team: Team, api: Api, ann: Contact) -> None:
    active(team, WAIT, triggers=[{"type": "manual"}])
    answer = api.post("pipelines/welcome/enroll/", {"subjects": [ann.pk], "variables": {"x": 1}})
    assert answer.json()["errors"][0]["message"] == "'x' is no variable of this pipeline; it declares none"


def test_simulations_and_promises_refuse_it_with_their_path(team: Team, api: Api, tmp_path: Path) -> None:
    active(team, WAIT, triggers=[{"type": "manual"}], variables=DECLARED)
    answer = api.post("pipelines/welcome/simulate/", {"variables": {"frist": "x"}})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"path": "variables.frist", "message": SAYS}]
    story = tmp_path / "story.json"
    story.write_text('{"variables": {"frist": "x"}}')
    said = StringIO()
    with pytest.raises(SystemExit):
        call_command("pipelines", "simulate", "welcome", team=team.slug, scenario=story, stdout=said)
    assert f"variables.frist: {SAYS}" in said.getvalue()
    meta = {"expect": [{"given": {"variables": {"frist": "x"}}, "then": [{"status": "completed"}]}]}
    promised = {"document": document(WAIT, variables=DECLARED, meta=meta), "expect": True}
    (problem,) = api.post("pipelines/simulate/", promised).json()["errors"]
    assert problem == {"path": "meta.expect[0].given.variables.frist", "message": SAYS}


@pytest.mark.parametrize(("kind", "part"), [("call", "set"), ("enroll", "variables")])
def test_a_step_that_hands_over_a_value_for_no_variable_is_refused_before_anybody_enters(
    team: Team, kind: str, part: str
) -> None:
    active(team, WAIT, key="inner", triggers=[], variables=DECLARED)
    (problem,) = errors(team, {"type": kind, "with": {"pipeline": "inner", part: {"frist": "x", "second": 2}}})
    assert problem.path == f"steps[0].with.{part}.frist"
    assert problem.message == "'frist' is no variable of 'inner'; did you mean 'first'? It declares first, second"
    assert errors(team, {"type": kind, "with": {"pipeline": "inner", part: {"first": "x"}}}) == []


def test_a_pipeline_that_calls_itself_is_held_to_its_own_variables(team: Team) -> None:
    (problem,) = errors(team, {"type": "call", "with": {"pipeline": "welcome", "set": {"n": 1}}}, variables=DECLARED)
    assert problem.path == "steps[0].with.set.n"


def test_a_called_pipeline_may_read_what_it_is_called_with_as_its_trigger(
    team: Team, ann: Contact, run_at: Run
) -> None:
    keep = {"type": "set_variable", "with": {"values": {"first": "{{ trigger.frist }}"}}}
    active(team, [keep, *WAIT], key="inner", triggers=[], variables=DECLARED)
    call = {"type": "call", "with": {"pipeline": "inner", "set": {"frist": "kept"}}}
    assert errors(team, call) == []
    active(team, [call], triggers=[{"type": "manual"}])
    Api(team).post("pipelines/welcome/enroll/", {"subjects": [ann.pk]})
    run_at(NOON)
    assert RunContext.objects.get(run__pipeline__key="inner").vars["first"] == "kept"


def test_a_variable_that_went_meanwhile_keeps_nobody_out_and_is_noted(team: Team, ann: Contact, run_at: Run) -> None:
    active(team, WAIT, key="inner", triggers=[{"type": "manual"}], variables=DECLARED)
    hand = {"type": "enroll", "with": {"pipeline": "inner", "variables": {"first": "x", "second": 2}}}
    active(team, [{"key": "hand", **hand}, *WAIT], triggers=[{"type": "manual"}])
    import_document(team=team, document=document(WAIT, key="inner", triggers=[], variables=DECLARED[:1]))
    (started,) = Api(team).post("pipelines/welcome/enroll/", {"subjects": [ann.pk]}).json()["runs"]
    run_at(NOON)
    inner = PipelineRun.objects.get(pipeline__key="inner")
    assert inner.status == RunStatus.PENDING and inner.context.vars == {"first": "x"}
    note = StepExecution.objects.get(run_id=started, event=StepExecution.Event.NOTE)
    assert (note.seq, note.error) == (
        1, "with.variables.second: 'second' is no variable of 'inner'; it declares first; it was left out",
    )  # fmt: skip
    done = StepExecution.objects.get(run_id=started, event=StepExecution.Event.COMPLETED)
    assert (done.step_id, done.seq) == (note.step_id, note.seq)
