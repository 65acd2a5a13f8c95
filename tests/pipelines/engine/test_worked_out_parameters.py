"""Parameters that a run works out as something its action cannot use: it says which, and nobody else is held up."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.models import PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active
from tests.pipelines.engine.conftest import Run

KINDS: dict[str, dict[str, Any]] = {
    "call": {"pipeline": "welcome"},
    "create_record": {"model": "contacts.company"},
    "find_records": {"model": "contacts.deal"},
    "human_task": {"title": "Call"},
    "create_task": {"title": "Call"},
    "send_email": {"subject": "Hi", "text": "Hello"},
    "call_api": {"url": "https://example.org/"},
}


def begun(team: Team, run_at: Run, kind: str, given: dict[str, Any], value: Any, **more: Any) -> PipelineRun:
    variables = [{"name": "x", "type": "any", "default": value}, {"name": "seen", "type": "string", "default": ""}]
    active(team, [{"key": "it", "type": kind, "with": given, **more}], variables=variables)
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    run_at(NOON)
    return PipelineRun.objects.get(parent=None)


def said(run: PipelineRun) -> str | None:
    visit = StepExecution.objects.filter(run_id=run.pk).exclude(error=None).get()
    return visit.error


@pytest.mark.parametrize(
    ("kind", "name", "value", "sentence"),
    [
        ("call", "set", "abc", "set: must be an object"),
        ("create_record", "values", "abc", "values: must be an object"),
        ("create_record", "values", None, "values: must be an object"),
        ("find_records", "limit", "many", "limit: must be a whole number"),
        ("find_records", "limit", -1, "limit: must be at least 1"),
        ("human_task", "form", 5, "form: must be a list"),
        ("human_task", "outcomes", "yes", "outcomes: must be a list"),
        ("send_email", "headers", [1], "headers: must be an object"),
        ("call_api", "headers", 5, "headers: must be an object"),
        ("end", "status", "won", "status: must be one of completed, failed, cancelled"),
        ("end", "status", {"a": 1}, "status: must be one of completed, failed, cancelled"),
        ("human_task", "priority", "soon", "priority: must be one of low, medium, high, urgent"),
        ("create_task", "priority", 5, "priority: must be one of low, medium, high, urgent"),
    ],
)
def test_a_value_of_another_type_is_told_by_the_name_of_its_parameter(
    team: Team, run_at: Run, kind: str, name: str, value: Any, sentence: str
) -> None:
    run = begun(team, run_at, kind, {**KINDS.get(kind, {}), name: "= x"}, value)
    assert (run.status, said(run)) == (RunStatus.FAILED, sentence)


@pytest.mark.parametrize(
    ("part", "value", "sentence"),
    [("since", "abc", 'since: "abc" is not a duration'), ("match", 5, "match: must be an object")],
)
def test_so_is_one_of_an_event(team: Team, run_at: Run, part: str, value: Any, sentence: str) -> None:
    run = begun(team, run_at, "wait_for", {"events": [{"event": "paid", part: "= x"}]}, value)
    assert run.status == RunStatus.FAILED
    assert (said(run) or "").startswith(sentence)


@pytest.mark.parametrize("share", ["12.5", 12.5, "", None])
def test_a_number_may_be_written_by_a_template(team: Team, run_at: Run, share: Any) -> None:
    given = {"variants": [{"name": "a"}, {"name": "b"}], "holdout": "= x"}
    run = begun(team, run_at, "split", given, share, on={"a": "end", "b": "end", "holdout": "end"})
    assert run.status == RunStatus.COMPLETED


@pytest.mark.parametrize(("kind", "name"), [("call", "set"), ("find_records", "limit"), ("end", "status")])
def test_what_may_be_left_out_may_be_missing(team: Team, run_at: Run, kind: str, name: str) -> None:
    active(team, [{"type": "wait", "delay": "1h"}], key="other", triggers=[{"type": "manual"}])
    given = {**KINDS.get(kind, {}), name: "= x"} | ({"pipeline": "other"} if kind == "call" else {})
    assert begun(team, run_at, kind, given, None).status in (RunStatus.COMPLETED, RunStatus.WAITING)


def test_the_error_path_is_followed_and_whoever_fits_goes_on(team: Team, run_at: Run) -> None:
    find = {"key": "it", "type": "find_records", "with": {"model": "contacts.deal", "limit": "= contact.job_title"}}
    kept = {"key": "told", "type": "update_record", "with": {"values": {"lead_source": "{{ steps.it.error.code }}"}}}
    active(team, [{**find, "on": {"error": "told"}, "next": "end"}, kept])
    for title in ("many", "", "5", "0"):
        Contact.objects.create(team=team, first_name="Ann", job_title=title)
    run_at(NOON)
    assert set(PipelineRun.objects.values_list("status", flat=True)) == {RunStatus.COMPLETED}
    sources = dict(Contact.objects.values_list("job_title", "lead_source"))
    assert sources == {"many": "validation", "": "", "5": "", "0": "validation"}
