"""A pipeline promises something, and is not published when it does not keep it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from crm.models import Team
from pipelines.definition.document import Problem
from pipelines.models import Pipeline, PipelineVersion
from pipelines.operations import (
    InvalidDocument,
    activate,
    choose_winner,
    gates,
    import_document,
    publish,
    update_document,
)  # fmt: skip
from pipelines.operations.refusals import PipelineChanged
from pipelines.simulation.expect import play_expectations, unmet
from tests.api import Api
from tests.pipelines.commands.test_pipelines import run, written
from tests.pipelines.engine.building import document, email

STEPS = [
    {"key": "hello", **email("Hello {{ contact.first_name }}")},
    {"key": "check", "type": "condition", "delay": "1d", "if": "contact.lifecycle_stage == 'customer'",
     "on": {"true": "thank", "false": "end"}},
    {"key": "thank", **email("Thanks", subject="Thanks")},
]  # fmt: skip


def promising(*then: dict[str, Any], **given: Any) -> dict[str, Any]:
    story = {"name": "A customer", "given": {"subject": {"first_name": "Ann", "email": "a@x.org",
             "lifecycle_stage": "customer"}, **given}, "then": list(then)}  # fmt: skip
    return document(STEPS, meta={"expect": [story]})


KEPT: list[dict[str, Any]] = [
    {"step": "hello"},
    {"step": "hello", "at": 0},
    {"step": "check", "outcome": "true", "at": "1d"},
    {"step": "thank", "visits": 1},
    {"message": "hello", "contains": "Hello Ann"},
    {"message": "thank", "subject": "Thanks", "to": "a@x.org", "at": "1d"},
    {"status": "completed", "reason": "end"},
    {"condition": "contact.email == 'a@x.org' and status == 'completed'"},
]


@pytest.mark.parametrize("promise", KEPT, ids=str)
def test_a_promise_that_is_kept(team: Team, promise: dict[str, Any]) -> None:
    (story,) = play_expectations(team=team, document=promising(promise))
    assert story.met, story.checks


@pytest.mark.parametrize(
    ("promise", "path"),
    [
        ({"step": "thank", "visits": 0}, "visits"),
        ({"step": "check", "outcome": "false"}, "outcome"),
        ({"step": "check", "at": "2d"}, "at"),
        ({"step": "check", "visit": 2, "at": "2d"}, ""),
        ({"step": "nowhere"}, ""),
        ({"message": "check"}, ""),
        ({"message": "hello", "contains": "Hello Zoe"}, "contains"),
        ({"message": "hello", "to": "z@x.org"}, "to"),
        ({"status": "failed"}, "status"),
        ({"reason": "won"}, "reason"),
        ({"condition": "contact.email == 'z@x.org'"}, "condition"),
    ],
    ids=str,
)
def test_a_promise_that_is_broken_says_where_and_what_came_instead(
    team: Team, promise: dict[str, Any], path: str
) -> None:
    problems = unmet(promising(promise), team)
    assert [each.path for each in problems] == [f"meta.expect[0].then[0]{'.' + path if path else ''}"]
    assert problems[0].severity == "error" and len(problems[0].message) > 15


@pytest.mark.parametrize(
    ("expect", "path"),
    [
        ({}, "meta.expect"),
        ([1], "meta.expect[0]"),
        ([{"given": {}, "then": [{"dream": 1}]}], "meta.expect[0].then[0]"),
        ([{"given": {"wishes": 1}, "then": []}], "meta.expect[0].given.wishes"),
        ([{"given": {"stubs": {"nope": {}}}, "then": []}], "meta.expect[0].given.stubs.nope"),
        ([{"given": {}, "then": [{"step": "hello", "at": "soon"}]}], "meta.expect[0].then[0].at"),
        ([{"given": {}, "then": [{"step": "hello", "colour": 1}]}], "meta.expect[0].then[0].colour"),
        ([{"given": {}, "then": [], "else": []}], "meta.expect[0].else"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_promise_nobody_can_read_is_a_problem_with_its_path(team: Team, expect: Any, path: str) -> None:
    if not expect:
        expect = {"given": 1}
    assert [each.path for each in unmet(document(STEPS, meta={"expect": expect}), team)] == [path]


def test_a_broken_promise_refuses_publishing_unless_forced(team: Team) -> None:
    broken = promising({"status": "failed"})
    with pytest.raises(InvalidDocument, match=r"meta\.expect\[0\]\.then\[0\]\.status"):
        import_document(team=team, document=broken, activate=True)
    pipeline = import_document(team=team, document=broken)
    with pytest.raises(InvalidDocument):
        publish(pipeline=pipeline)
    assert publish(pipeline=pipeline, force=True).number == 1


def test_the_api_refuses_and_can_be_told_to_publish_anyway(team: Team) -> None:
    api = Api(team)
    import_document(team=team, document=promising({"step": "hello", "at": "1h"}))
    refused = api.post("pipelines/welcome/publish/")
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["path"] == "meta.expect[0].then[0].at"
    assert api.post("pipelines/welcome/publish/", {"force": True}).status_code == 200


def test_the_command_plays_expectations_and_ends_with_a_status(team: Team, tmp_path: Any) -> None:
    good = written(tmp_path, promising(*KEPT), "good.json")
    bad = written(tmp_path, promising({"status": "failed"}), "bad.json")
    assert run("simulate", good, "--team", "acme")[:2] == (0, f"{good}:\n  ✓ A customer\n")
    status, told, _ = run("simulate", bad, "--team", "acme")
    assert status == 1 and "✗ A customer" in told and "meta.expect[0].then[0].status" in told
    status, told, _ = run("simulate", bad, "--team", "acme", "--json")
    assert status == 1 and '"met": false' in told


def test_the_command_shows_a_timetable_and_a_funnel(team: Team, tmp_path: Any) -> None:
    import_document(team=team, document=document(STEPS))
    status, told, _ = run("simulate", "welcome", "--team", "acme", "--subject", '{"email": "z@x.org"}')
    assert status == 0
    assert "hello" in told and "1 day" in told and "z@x.org: Hi (sent)" in told and "completed (end)" in told
    Api(team).post("contacts/", {"email": "c@x.org"})
    status, told, _ = run("simulate", "welcome", "--team", "acme", "--audience", "10")
    assert status == 0 and "1 of 1 enter." in told


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", ["publish", "activate", "update", "import", "winner"])
def test_promises_are_played_while_nobody_waits_for_the_pipeline(act: str) -> None:
    team = Team.objects.create(name="Acme", slug="acme")
    split = {"key": "test", "type": "split", "with": {"variants": [{"name": "a"}, {"name": "b"}]}}
    steps = [split, *STEPS] if act == "winner" else STEPS
    pipeline = import_document(team=team, document=document(steps), activate=act in ("update", "winner"))
    changed = document(STEPS, name="Another")
    inside: list[bool] = []
    with asking(lambda: inside.append(connection.in_atomic_block)):
        match act:
            case "publish":
                publish(pipeline=pipeline)
            case "activate":
                activate(pipeline=pipeline)
            case "update":
                update_document(pipeline=pipeline, document=changed)
            case "import":
                import_document(team=team, document=changed, activate=True)
            case "winner":
                choose_winner(pipeline=pipeline, step="test", variant="a")
    assert inside == [False]


def test_a_pipeline_that_changes_while_its_promises_are_played_is_not_published(team: Team) -> None:
    pipeline = import_document(team=team, document=document(STEPS))

    def meanwhile() -> None:
        update_document(pipeline=Pipeline.objects.get(), document=document([*STEPS, {"key": "more", "type": "wait"}]))

    with asking(meanwhile), pytest.raises(PipelineChanged):
        publish(pipeline=pipeline)
    assert not PipelineVersion.objects.exists()
    assert publish(pipeline=Pipeline.objects.get()).number == 1


@contextmanager
def asking(work: Callable[[], object]) -> Iterator[None]:
    """Do this whenever what a pipeline promises is asked for."""

    def gate(*_: object) -> list[Problem]:
        work()
        return []

    gates.register_gate(gate)
    try:
        yield
    finally:
        gates.forget_gate(gate)


def test_a_condition_reads_defaults_outputs_that_no_step_reads_and_the_subject_by_its_alias(team: Team) -> None:
    find = {"key": "lookup", "type": "find_records", "with": {"model": "contacts.contact"}}
    condition = "lead.email == 'a@x.org' and rounds == 3 and vars.rounds == 3 and steps.lookup.count == 1"
    given = promising({"condition": condition})
    given |= {"subject": {"model": "contacts.contact", "as": "lead"}, "steps": [find]}
    given["variables"] = [{"name": "rounds", "type": "number", "default": 3}]
    (story,) = play_expectations(team=team, document=given)
    assert story.met, story.checks


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("email == 'a@x.org'", "unknown name 'email'; did you mean 'contact.email'? (line 1, column 1)"),
        ("status == 'x' or steps.helo.x", "there is no step 'helo'; did you mean 'hello'? (line 1, column 18)"),
        ("vars.x == 1", "there is no variable 'x' (line 1, column 1)"),
    ],
)
def test_a_condition_with_a_name_that_means_nothing_is_no_promise(team: Team, condition: str, sentence: str) -> None:
    (problem,) = unmet(promising({"condition": condition}), team)
    assert (problem.path, problem.message) == ("meta.expect[0].then[0].condition", sentence)
