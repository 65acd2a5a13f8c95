"""Variables keep their types as long as a run lives: who writes something else fails, and says what was expected."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.models import PipelineRun, RunContext, StepExecution
from pipelines.operations import InvalidDocument, import_document, validate_document
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, document
from tests.pipelines.engine.conftest import Run
from tests.pipelines.simulation.conftest import Play

__all__ = ["play"]
from tests.pipelines.simulation.conftest import play

VARIABLES = [
    {"name": "score", "type": "number", "default": 1},
    {"name": "day", "type": "date"},
    {"name": "note", "type": "string"},
    {"name": "sure", "type": "boolean"},
]
INNER = [{"name": "score", "type": "number", "required": True}]
WRONG = "with.score: must be a number, got text"


def enter(team: Team) -> PipelineRun:
    with pretend(NOON):
        Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    return PipelineRun.objects.get(parent_id=None, pipeline__key="welcome")


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ({"type": "set_variable", "with": {"score": "{{ contact.first_name }}"}}, WRONG),
        ({"type": "set_variable", "with": {"values": {"score": "= contact.first_name"}}}, "with.values.score: must be"),
        ({"type": "wait", "set": {"score": "= contact.first_name"}}, "set.score: must be a number, got text"),
        ({"type": "wait", "set": {"sure": "= contact.id"}}, "set.sure: must be true or false, got a number"),
    ],
    ids=["set_variable", "values", "set", "set of a boolean"],
)
def test_a_value_of_another_type_fails_the_step_in_the_engine_as_in_a_simulation(
    team: Team, run_at: Run, play: Play, step: dict[str, Any], error: str
) -> None:
    active(team, [step, {"type": "wait"}], variables=VARIABLES)
    run = enter(team)
    run_at(NOON)
    run.refresh_from_db()
    row = StepExecution.objects.get(run_id=run.pk)
    assert run.status == RunStatus.FAILED and (row.error or "").startswith(error)
    report = play([step, {"type": "wait"}], more={"variables": VARIABLES}, subject={"first_name": "Ann"})
    assert report["status"] == "failed" and report["errors"][0]["message"] == row.error


def test_the_error_path_is_followed_and_the_variable_keeps_what_it_held(team: Team, run_at: Run) -> None:
    steps = [
        {"key": "write", "type": "set_variable", "with": {"score": "= contact.first_name"}, "on": {"error": "after"}},
        {"key": "never", "type": "set_variable", "with": {"note": "never"}},
        {"key": "after", "type": "set_variable", "with": {"score": "= score + 1"}},
    ]
    active(team, steps, variables=VARIABLES)
    run = enter(team)
    run_at(NOON)
    assert RunContext.objects.get(run=run).vars == {"score": 2}


def test_what_calculates_alike_is_kept_as_the_type_says(team: Team, run_at: Run) -> None:
    """Times become days, spans seconds; what is missing fits every type."""
    values = {
        "day": "= now",
        "score": "= hours(1)",
        "note": "= date('2027-01-01T00:00:00Z')",
        "sure": "= contact.owner",
    }
    active(
        team, [{"type": "set_variable", "with": values}, {"type": "wait", "set": {"day": "= day"}}], variables=VARIABLES
    )
    run = enter(team)
    run_at(NOON)
    run.refresh_from_db()
    kept = RunContext.objects.get(run=run).vars
    assert run.status == RunStatus.COMPLETED
    assert kept == {"day": "2027-03-01", "score": 3600.0, "note": "2027-01-01T00:00:00+00:00", "sure": None}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("= contact.first_name", "score: must be a number, got text"),
        ("= contact.owner", "score: 'inner' needs a value for it"),
    ],
    ids=["another type", "missing"],
)
def test_a_called_pipeline_is_held_to_its_variables(team: Team, run_at: Run, given: str, says: str) -> None:
    active(team, [{"type": "wait"}], key="inner", triggers=[], variables=INNER)
    active(team, [{"type": "call", "with": {"pipeline": "inner", "set": {"score": given}}}])
    run = enter(team)
    run_at(NOON)
    assert StepExecution.objects.get(run_id=run.pk).error == f"with.set.{says}"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({}, ""),
        ({"score": None}, ""),
        ({"score": "many"}, ".score"),
        ({"score": "Hi {{ contact.first_name }}"}, ".score"),
    ],
    ids=["missing", "nothing", "text", "template"],
)
@pytest.mark.parametrize(("kind", "part"), [("call", "set"), ("enroll", "variables")])
def test_what_another_pipeline_cannot_take_is_refused_before(
    team: Team, kind: str, part: str, given: dict[str, Any], path: str
) -> None:
    active(team, [{"type": "wait"}], key="inner", triggers=[], variables=INNER)
    step = {"type": kind, "with": {"pipeline": "inner", part: given}}
    problems = [each.path for each in validate_document(document([step]), team) if each.severity == "error"]
    assert problems == [f"steps[0].with.{part}{path}"]


@pytest.mark.parametrize(
    "value",
    ["two", "Hello {{ contact.first_name }}", "= note", "= vars.note", "{{ vars.note }}", "= lower(contact.email)",
     "= 1 > 2", "= 'a' + 'b'", "= [1]", "= note or 'x'", "= sure if contact.id else not sure"],
)  # fmt: skip
@pytest.mark.parametrize("by", ["set_variable", "set", "trigger"])
def test_what_can_never_fit_is_refused_before_anybody_enters(team: Team, value: str, by: str) -> None:
    step: dict[str, Any] = {"type": "wait"}
    triggers: list[dict[str, Any]] = []
    match by:
        case "set_variable":
            step, path = {"type": "set_variable", "with": {"score": value}}, "steps[0].with.score"
        case "set":
            step["set"], path = {"score": value}, "steps[0].set.score"
        case _:
            triggers, path = [{"type": "manual", "set": {"score": value}}], "triggers[0].set.score"
    given = document([step], variables=VARIABLES, triggers=triggers)
    with pytest.raises(InvalidDocument, match="must be a number"):
        import_document(team=team, document=given)
    assert next((problem.path, problem.severity) for problem in validate_document(given, team)) == (path, "error")


@pytest.mark.parametrize(
    "value",
    [3, "= score + 1", "= contact.custom.score", "{{ contact.custom.score }}", "= score or 2", "= number(note)", None,
     "= len(note) if sure else abs(score)", "= days(2)", "= contact.id + 1"],
)  # fmt: skip
def test_what_may_fit_is_let_in(team: Team, value: Any) -> None:
    given = document([{"type": "set_variable", "with": {"score": value}}], variables=VARIABLES, triggers=[])
    assert [problem for problem in validate_document(given, team) if problem.severity == "error"] == []
