"""The compiled form of a pipeline and where its steps lead."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.definition.layout import places
from pipelines.definition.program import Program, ProgramError, Step, compile_program


def example(name: str) -> Any:
    return json.loads(Path(__file__).with_name("examples").joinpath(f"{name}.json").read_text())


def compiled(document: dict[str, Any]) -> Program:
    ids = {place.key: 100 + place.index for place in places(document)}
    return Program.load(json.loads(json.dumps(compile_program(document, step_ids=ids))))


def document(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": "crm.pipeline/1", "key": "k", "name": "N", "steps": list(steps)} | more


def test_a_program_keeps_the_lasting_identity_of_its_steps() -> None:
    program = compiled(example("user_onboarding"))

    assert [(step.id, step.key, step.number) for step in program.steps] == [
        (100, "step_1", 1),
        (101, "step_2", 2),
        (102, "step_3", 3),
        (103, "step_4", 4),
    ]
    assert program.first is program.by_key["step_1"] is program.by_id[100]
    assert [step.delay.seconds for step in program.steps] == [0, 300, 3_600, 86_400]
    assert program.alias == "user"


@pytest.mark.parametrize(
    ("outcome", "target"),
    [
        ("good", "b"),
        ("left", "c"),
        ("stop", "end"),
        ("broken", "fail"),
        ("other", "c"),
        ("plain", "c"),
        ("error", "fail"),
        ("skipped", "c"),
    ],
)
def test_an_outcome_leads_where_the_document_says(outcome: str, target: str) -> None:
    on = {"good": "b", "left": "next", "stop": "end", "broken": "fail", "plain": "next"}
    program = compiled(
        document(
            {"key": "a", "type": "wait", "on": on, "next": "c"},
            {"key": "b", "type": "wait"},
            {"key": "c", "type": "wait"},
        )
    )

    found = program.target(program.by_key["a"], outcome)

    assert (found.key if isinstance(found, Step) else found) == target


@pytest.mark.parametrize(
    ("step", "outcome", "target"),
    [
        ("a", "next", "b"),
        ("a", "error", "b"),
        ("b", "next", "end"),
        ("b", "error", "a"),
        ("c", "next", "end"),
        ("c", "error", "fail"),
    ],
)
def test_without_a_word_a_run_goes_to_the_following_step(step: str, outcome: str, target: str) -> None:
    program = compiled(
        document(
            {"key": "a", "type": "wait", "on": {"error": "next"}},
            {"key": "b", "type": "wait", "on": {"error": "a"}, "next": "end"},
            {"key": "c", "type": "wait"},
        )
    )

    found = program.target(program.by_key[step], outcome)

    assert (found.key if isinstance(found, Step) else found) == target


def test_a_program_knows_what_its_steps_read() -> None:
    program = compiled(example("lead_nurture_sequence"))

    assert program.subject_paths == {
        ("email",),
        ("first_name",),
        ("company", "name"),
        ("last_interaction",),
        ("owner",),
    }
    assert program.reads_steps == {"schedule_call"}


def test_the_subject_is_read_by_each_of_its_names() -> None:
    program = compiled(
        document(
            {
                "type": "wait",
                "delay": {"at": "09:00", "tz": "subject"},
                "if": "lead.score > 1",
                "message": "{{ contact.name }}{{ subject.phone }}",
                "with": {"all": "{{ lead }}", "count": "= vars.n + m"},
            },
            subject={"model": "contacts.contact", "as": "lead"},
            variables=[{"name": "n", "type": "number"}, {"name": "m", "type": "number"}],
        )
    )

    assert program.subject_paths == {("timezone",), ("score",), ("name",), ("phone",), ()}
    assert program.reads_vars == {"n", "m"}


def test_code_reads_everything_and_its_source_is_no_template() -> None:
    program = compiled(
        document(
            {"key": "a", "type": "wait"},
            {"key": "b", "type": "code", "with": {"source": "x = '{{ y'", "limit": "= 1 + 1"}},
        )
    )

    assert program.reads_steps == {"a", "b"}
    assert program.subject_paths == {()}
    assert program.by_key["b"].params.evaluate({}) == {"source": "x = '{{ y'", "limit": 2}


def test_a_step_is_ready_to_run() -> None:
    program = compiled(example("lead_nurture_sequence"))
    mail, check = program.by_key["welcome_email"], program.by_key["check_engagement"]
    lead = {"email": "ann@example.org", "first_name": "Ann", "company": {"name": "Acme"}}

    assert mail.params.evaluate({"lead": lead})["variables"] == {
        "firstName": "Ann",
        "companyName": "Acme",
    }
    assert (mail.retry[0].max, mail.retry[0].delay, mail.retry[0].backoff) == (3, 60, 2)
    assert check.guard is not None
    assert not check.guard.evaluate({"lead": {}, "now": "2026-01-01"}).met
    assert dict(check.on) == {"true": "send_followup", "false": "create_task"}
    answers = {"steps": {"schedule_call": {"agenda": "Prices"}}}
    assert program.by_key["schedule_call"].assign["agenda"].evaluate(answers) == "Prices"


def test_a_switch_has_its_cases_compiled() -> None:
    program = compiled(example("opportunity_pipeline"))

    cases = program.by_key["route_next_action"].cases

    assert [name for name, _ in cases] == ["demo", "proposal"]
    assert cases[0][1].evaluate({"next_action": "schedule_demo"}).met


def test_retries_of_the_settings_hold_where_a_step_has_none() -> None:
    program = compiled(
        document(
            {"key": "a", "type": "wait"},
            {"key": "b", "type": "wait", "retry": []},
            {"key": "c", "type": "wait", "retry": {"max": 9}},
            settings={"retry": {"max": 2}, "step_timeout": "5m"},
        )
    )

    assert [[rule.max for rule in step.retry] for step in program.steps] == [[2], [], [9]]
    assert program.settings["step_timeout"] == 300


def test_a_program_cannot_be_changed() -> None:
    program = compiled(example("user_onboarding"))

    with pytest.raises(AttributeError):
        program.first.key = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        program.first.on["x"] = "y"  # type: ignore[index]


def test_a_step_without_identity_or_another_format_is_refused() -> None:
    with pytest.raises(ProgramError, match="step_2, step_3, step_4"):
        compile_program(example("user_onboarding"), step_ids={"step_1": 1})
    with pytest.raises(ProgramError, match="format 2"):
        Program.load({"format": 2})
