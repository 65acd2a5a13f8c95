"""Rows ⇄ document: a pipeline that goes out and comes back is the same, byte for byte."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.models import MessageTemplate
from pipelines.definition.document import dumps
from pipelines.documents import document_of, normal
from pipelines.models import Pipeline, PipelineStep, Trigger
from pipelines.operations import (
    InvalidDocument,
    export_document,
    import_document,
    publish,
    validate_document,
)
from tests.pipelines.operations.builders import a_document, a_team, email

pytestmark = pytest.mark.django_db

EXAMPLES = sorted(Path(__file__).with_name("examples").glob("*.json"))

FULL = a_document(
    email(
        "hello",
        number=10,
        name="Hello",
        delay={"for": 600, "from": "start"},
        notes="Checked by Legal",
        position=[10, 20.5],
        delivery="at_least_once",
        retry={"max": 2, "delay": "1m", "backoff": 2},
        on={"error": "next", "skipped": "end"},
        **{"if": {"field": "contact.email", "operator": "is_not_empty"}, "with": {"topic": "news"}},
    ),
    {
        "key": "fork",
        "type": "condition",
        "if": "score > 3",
        "on": {"true": "hello", "false": "end"},
    },
    {"key": "score_it", "type": "set_variable", "delay": "2d", "with": {"values": {"score": 4}}},
    {"type": "wait", "delay": {"at": "09:00", "days": ["mon"], "tz": "Europe/Paris"}, "number": 40},
    description="All of it",
    subject={"model": "contacts.contact", "as": "person"},
    variables=[{"name": "score", "type": "number", "default": 0}],
    triggers=[
        {
            "type": "created",
            "model": "contacts.contact",
            "automatic": True,
            "where": "person.email",
        },
        {"type": "created", "model": "contacts.contact", "enabled": False, "reentry": "once"},
        {"key": "hand", "type": "manual", "misfire": "skip", "set": {"score": 1}},
    ],
    exit=[{"event": "unsubscribed", "status": "cancelled"}],
    goals=[{"key": "bought", "event": "order_paid", "exit": True}],
    settings={"timezone": "Europe/Paris", "versioning": "pin", "step_timeout": "1m"},
    meta={"owner": "growth"},
)


def test_a_full_document_comes_back_byte_for_byte() -> None:
    document = {**FULL, "steps": [dict(step) for step in FULL["steps"]]}
    document["steps"][0]["if"] = {"field": "person.email", "operator": "is_not_empty"}
    pipeline = import_document(team=a_team(), document=document)
    assert export_document(pipeline=Pipeline.objects.get(pk=pipeline.pk)) == dumps(normal(document))


def test_importing_the_export_changes_no_row() -> None:
    pipeline = import_document(team=a_team(), document=a_document())
    before = list(PipelineStep.objects.values().order_by("id")), list(Trigger.objects.values())
    import_document(team=pipeline.team, document=json.loads(export_document(pipeline=pipeline)))
    assert (
        list(PipelineStep.objects.values().order_by("id")),
        list(Trigger.objects.values()),
    ) == before


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_each_example_that_validates_comes_back_byte_for_byte(path: Path) -> None:
    document = json.loads(path.read_text())
    team = a_team()
    for step in document["steps"]:
        key = step.get("with", {}).get("template")
        if key:
            MessageTemplate.objects.get_or_create(team=team, key=key, defaults={"subject": "Hi", "text": "Hi"})
    problems = validate_document(document, team)
    if any(problem.severity == "error" for problem in problems):
        with pytest.raises(InvalidDocument):
            import_document(team=team, document=document)
        return
    pipeline = import_document(team=team, document=document)
    assert export_document(pipeline=pipeline) == dumps(normal(document))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00{}%="), min_size=1, max_size=30)
steps = st.fixed_dictionaries(
    {"type": st.just("send_email"), "message": texts.filter(str.strip)},
    optional={
        "name": texts,
        "delay": st.one_of(
            st.integers(0, 10**8),
            st.floats(0.5, 1e6),
            st.sampled_from(["3d", "1h30m", "PT4H"]),
            st.fixed_dictionaries({"for": st.integers(0, 10**6)}, optional={"from": st.just("start")}),
        ),
        "notes": texts,
        "timeout": st.integers(1, 10**6),
        "await": st.sampled_from(["done", "queued"]),
        "delivery": st.sampled_from(["at_least_once", "at_most_once"]),
        "next": st.sampled_from(["end", "next", "fail"]),
        "if": st.booleans(),
        "position": st.tuples(st.integers(0, 999), st.integers(0, 999)).map(list),
        "on": st.dictionaries(st.sampled_from(["error", "skipped", "next"]), st.sampled_from(["next", "end", "fail"])),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(steps, min_size=1, max_size=4), meta=st.dictionaries(texts, texts, max_size=3))
def test_any_valid_document_comes_back_byte_for_byte(found: list[dict[str, Any]], meta: dict[str, Any]) -> None:
    Pipeline.objects.all().delete()
    team = _team_once()
    document = a_document(*found, meta=meta)
    if any(problem.severity == "error" for problem in validate_document(document, team)):
        return
    pipeline = import_document(team=team, document=document)
    assert export_document(pipeline=Pipeline.objects.get(pk=pipeline.pk)) == dumps(normal(document))


def _team_once() -> Any:
    from crm.models import Team

    return Team.objects.filter(slug="sales").first() or a_team()


def test_a_step_that_was_published_is_archived_and_comes_back_with_its_id() -> None:
    team = a_team()
    pipeline = import_document(team=team, document=a_document(email("a"), email("b")))
    publish(pipeline=pipeline)
    gone = PipelineStep.objects.get(key="b")
    import_document(team=team, document=a_document(email("a")))
    archived = PipelineStep.objects.get(pk=gone.pk)
    assert archived.archived_at is not None and archived.number == -gone.pk
    import_document(team=team, document=a_document(email("b"), email("a")))
    back = PipelineStep.objects.get(pk=gone.pk)
    assert (back.archived_at, back.number) == (None, 1)


def test_a_step_that_was_never_published_is_deleted() -> None:
    team = a_team()
    import_document(team=team, document=a_document(email("a"), email("b")))
    pipeline = import_document(team=team, document=a_document(email("a")))
    assert list(pipeline.steps.values_list("key", flat=True)) == ["a"]


def test_steps_made_in_a_form_get_lasting_keys_when_they_are_published() -> None:
    team = a_team()
    pipeline = import_document(team=team, document=a_document(email("step_2")))
    PipelineStep.objects.filter(pipeline=pipeline).update(number=1)
    PipelineStep.objects.create(pipeline=pipeline, number=2, action_type="send_email", name="Été 2", message="Hi")
    publish(pipeline=pipeline)
    keys = list(pipeline.steps.order_by("number").values_list("key", flat=True))
    assert keys == ["step_2", "ete_2"]
    pipeline.steps.filter(key="ete_2").update(number=7)
    assert [step["key"] for step in document_of(pipeline)["steps"]] == ["step_2", "ete_2"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": "nul \x00"}, "name"),
        ({"steps": [email("a", notes="half \ud800")]}, "steps[0].notes"),
        ({"steps": [email("a", name="x" * 201)]}, "steps[0].name"),
        ({"steps": [email("a", number=2**40)]}, "steps[0].number"),
        ({"triggers": [{"type": "cron", "cron": "x" * 200}]}, "triggers[0].cron"),
        ({"steps": [email("a", **{"with": {"template": "nowhere"}})]}, "steps[0].with.template"),
        ({"steps": [{"type": "send_email"}]}, "steps[0].message"),
        ({"steps": [{"type": "notify", "with": {"to": "x@example.org"}}]}, "steps[0].with.to"),
        ({"subject": "contacts.activity"}, "subject"),
        (
            {"triggers": [{"type": "created", "model": "contacts.deal", "automatic": True}]},
            "triggers[0].model",
        ),
    ],
)
def test_what_a_team_cannot_store_or_reach_is_told_with_its_path(change: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        import_document(team=a_team(), document=a_document(**change))
    assert path in [problem.path for problem in refused.value.errors]
    assert not Pipeline.objects.exists()


def test_a_template_of_another_team_is_not_found() -> None:
    MessageTemplate.objects.create(team=a_team("other"), key="hello", subject="Hi", text="Hi")
    document = a_document(email("a", **{"with": {"template": "hello"}}))
    with pytest.raises(InvalidDocument, match="no message template 'hello'"):
        import_document(team=a_team(), document=document)


@pytest.mark.parametrize(
    ("step", "path", "meant"),
    [
        ({"type": "send_email", "with": {"subject": "Hi", "text": "{{ contact.frist_name }}"}}, "with.text",
         "first_name"),
        ({"type": "wait", "if": {"field": "subject.lifecycle_stag", "operator": "is_empty"}}, "if.field",
             "lifecycle_stage"),
        ({"type": "create_task", "with": {"title": "{{ contact.company.domian }}"}}, "with.title", "domain"),
        ({"type": "wait", "if": "contact.score > 3 and contact.custom.frist_name == 1"}, "", ""),
        ({"type": "update_record", "with": {"values": {"phones": "= (contact.phones or 0) + 1"}}}, "", ""),
    ],
    ids=["in a mail", "in a condition", "of a company", "fields of one's own", "a field that is written"],
)  # fmt: skip
def test_a_field_that_looks_like_a_slip_is_warned_of(step: dict[str, Any], path: str, meant: str) -> None:
    team = a_team()
    given = {"format": "crm.pipeline/1", "key": "k", "name": "K", "subject": "contacts.contact", "steps": [step]}
    told = [(each.path, each.severity, meant in each.message) for each in validate_document(given, team)]
    assert told == ([(f"steps[0].{path}", "warning", True)] if path else [])
