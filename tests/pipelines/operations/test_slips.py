"""Names that mean nothing where they stand are refused or warned about, with the name that was meant."""

from typing import Any

import pytest

from contacts.models import FieldDefinition, RecordType
from crm.models import Team
from pipelines.definition.document import Problem
from pipelines.operations.checking import validate_document

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    team = Team.objects.create(name="Acme", slug="acme")
    fields = [{"key": "quantity", "label": "Quantity", "type": "integer"}]
    RecordType.objects.create(team=team, key="product", label="Product", fields=fields)
    return team


def told(team: Team, *steps: dict[str, Any], subject: Any = "contacts.contact", **more: Any) -> list[Problem]:
    """What is said about a document with these steps."""
    document = {"format": "crm.pipeline/1", "key": "p", "name": "P", "subject": subject, "steps": list(steps), **more}
    return validate_document(document, team)


def sentences(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(each.path, each.message) for each in problems]


END: dict[str, Any] = {"type": "end", "with": {}}
FIND: dict[str, Any] = {"type": "find_records", "key": "lookup", "with": {"model": "contacts.deal"}}
ROW = {"field": "first_name", "operator": "equals", "value": "first_name"}
MEANT: list[tuple[str, dict[str, Any], str, str]] = [
    ("an expression", {**END, "if": "(now == now and\n email == 'x')"}, "if", "'contact.email'? (line 2, column 2)"),
    ("a clause", {**END, "if": {"any": [ROW]}}, "if.any[0].field", "'contact.first_name'? (line 1, column 1)"),
    (
        "a value of a clause",
        {**END, "if": [{"field": "now", "operator": "equals", "value": "= created_at"}]},
        "if[0].value",
        "'contact.created_at'? (line 1, column 3)",
    ),
    (
        "a template",
        {"type": "create_task", "with": {"title": "Call\n{{ first_name }}"}},
        "with.title",
        "'contact.first_name'? (line 2, column 4)",
    ),
    (
        "a message",
        {"type": "send_email", "message": "Dear {{ firstName | upcase }}"},
        "message",
        "'contact.first_name'? (line 1, column 9)",
    ),
    (
        "a parameter deep inside",
        {"type": "call_api", "with": {"url": "https://a.example", "body": {"who": [{"mail": "{{ emial }}"}]}}},
        "with.body.who[0].mail",
        "'contact.email'? (line 1, column 4)",
    ),
    ("a relation", {**END, "if": "company.name == 'x'"}, "if", "'contact.company.name'? (line 1, column 1)"),
    ("a custom value", {**END, "if": "custom.plan == 'x'"}, "if", "'contact.custom.plan'? (line 1, column 1)"),
    ("a delay", {**END, "delay": {"until": "= created_at"}}, "delay.until", "'contact.created_at'? (line 1, column 3)"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "inside", "ending"), [row[1:] for row in MEANT], ids=[row[0] for row in MEANT])
def test_a_field_without_its_record_is_refused_with_the_name_that_was_meant(
    team: Team, step: dict[str, Any], inside: str, ending: str
) -> None:
    (problem,) = [each for each in told(team, step) if each.severity == "error"]
    assert problem.path == f"steps[0].{inside}"
    assert problem.message.startswith("unknown name '") and problem.message.endswith(f"; did you mean {ending}")


def test_a_text_full_of_unknown_names_is_answered_in_time_with_the_first_of_them_explained(team: Team) -> None:
    text = " ".join(f"{{{{ strange_{number} }}}}" for number in range(600))
    found = [each.message for each in told(team, {"type": "create_task", "with": {"title": text}})]
    assert len(found) == 600
    assert sum(message.endswith(")") for message in found) == 20


def test_every_place_that_reads_an_unknown_name_is_told(team: Team) -> None:
    step = {"type": "create_task", "with": {"title": "{{ first_name }}", "description": "{{ first_name }}"}}
    assert {each.path for each in told(team, step)} == {"steps[0].with.title", "steps[0].with.description"}


def test_own_fields_deals_own_records_and_aliases_have_their_hints_too(team: Team) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.deal", key="seats", label="Seats", type="integer")
    wanted = {
        ("contacts.deal", "amount"): "'deal.amount'",
        ("contacts.deal", "seats"): "'deal.seats'",
        ("contacts.company", "industri"): "'company.industry'",
        ("records.product", "quantity"): "'product.quantity'",
        ("lead", "email"): "'lead.email'",
    }
    for (model, name), meant in wanted.items():
        subject = {"model": "contacts.contact", "as": "lead"} if model == "lead" else model
        (problem,) = told(team, {**END, "if": f"{name} == 3"}, subject=subject)
        assert f"unknown name '{name}'; did you mean {meant}?" in problem.message


def test_outputs_and_variables_have_their_hints_too(team: Team) -> None:
    more = {"variables": [{"name": "rounds", "type": "number", "default": 1}]}
    problems = told(team, FIND, {**END, "if": "lookup.count > 0 or runds > 1 or contct.email"}, **more)
    assert [each.message for each in problems if each.severity == "error"] == [
        "unknown name 'contct'; did you mean 'contact'? (line 1, column 34)",
        "unknown name 'lookup'; did you mean 'steps.lookup.count'? (line 1, column 1)",
        "unknown name 'runds'; did you mean 'vars.rounds'? (line 1, column 21)",
    ]


def test_a_name_that_is_like_none_is_told_which_there_are(team: Team) -> None:
    (problem,) = told(team, {**END, "if": "zzz"})
    assert "unknown name 'zzz'; there are contact, now, pipeline, run, steps, subject, team" in problem.message


def test_triggers_goals_and_exits_have_their_hints_too(team: Team) -> None:
    more: dict[str, Any] = {
        "triggers": [{"type": "created", "model": "contacts.contact", "where": "email != ''"}],
        "exit": [{"event": "bye", "where": {"field": "email", "operator": "is_empty"}}],
        "goals": [{"key": "sold", "event": "sold", "value": "= amount"}],
    }
    found = sentences(told(team, END, **more))
    hint = "unknown name 'email'; did you mean 'contact.email'? (line 1, column 1)"
    assert ("triggers[0].where", hint) in found and ("exit[0].where.field", hint) in found
    assert any(path == "goals[0].value" and "unknown name 'amount'" in message for path, message in found)


def update(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "update_record", "with": {"values": values, **more}}


def create(model: str, values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "create_record", "with": {"model": model, "values": values}}


def test_a_mistyped_field_that_a_step_writes_is_told_with_the_one_that_was_meant(team: Team) -> None:
    (problem,) = told(team, update({"frist_name": "Ann", "welcome_sent": True, "custom.anything": 1}))
    assert (problem.path, problem.severity) == ("steps[0].with.values.frist_name", "warning")
    assert problem.message == (
        "contact has no field 'frist_name' unless you added one; did you mean 'first_name'? "
        "Otherwise it becomes a custom value"
    )


def test_where_a_team_defined_its_fields_every_other_name_is_told_unless_it_says_custom(team: Team) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="plan", label="Plan", type="text")
    found = told(team, update({"custom.plann": "pro", "custom.noted": 1, "plan": "pro", "welcome_sent": True}))
    assert {each.severity for each in found} == {"warning"}
    assert sentences(found) == [
        (
            "steps[0].with.values.custom.plann",
            "contact has no field 'plann' unless you added one; did you mean 'plan'? "
            "Otherwise it becomes a custom value",
        ),
        (
            "steps[0].with.values.welcome_sent",
            "contact has no field 'welcome_sent', and your team has not defined one: it becomes a custom value",
        ),
    ]


@pytest.mark.parametrize(
    ("step", "path", "sentence"),
    [
        (update({"nme": "x"}, record="{{ contact.company }}"), "nme", "company has no field 'nme'"),
        (update({"titel": "x"}, record="{{ trigger.id }}", model="contacts.deal"), "titel", "did you mean 'title'?"),
        (create("contacts.deal", {"title": "x", "amuont": 3}), "amuont", "did you mean 'amount'?"),
    ],
    ids=["a relation", "an id and its kind", "a new record"],
)
def test_what_is_written_is_held_to_the_record_it_is_written_to(
    team: Team, step: dict[str, Any], path: str, sentence: str
) -> None:
    (problem,) = told(team, step)
    assert (problem.path, problem.severity) == (f"steps[0].with.values.{path}", "warning")
    assert sentence in problem.message


FAILING: list[tuple[str, dict[str, Any], str, str]] = [
    ("task", create("crm.task", {"title": "x", "asignee": "a"}), ".asignee", "did you mean 'assignee'?"),
    ("read only", update({"created_at": "2027-01-01"}), ".created_at", "cannot be changed by a pipeline"),
    ("choice", update({"lifecycle_stage": "custmer"}), ".lifecycle_stage", "lifecycle_stage: "),
    ("no day there is", update({"last_interaction": "0001-01-01T00:00:00+10:00"}), ".last_interaction",
     "last_interaction: date value out of range"),
    ("nothing to call it", create("contacts.deal", {"amount": 3}), "", "a new deal needs title"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "inside", "sentence"), [row[1:] for row in FAILING], ids=[row[0] for row in FAILING])
def test_what_a_record_can_only_refuse_is_refused_at_publish(
    team: Team, step: dict[str, Any], inside: str, sentence: str
) -> None:
    (problem,) = told(team, step)
    assert (problem.path, problem.severity) == (f"steps[0].with.values{inside}", "error")
    assert sentence in problem.message


def test_a_name_that_is_written_and_read_is_meant(team: Team) -> None:
    assert told(team, update({"phones": "= (contact.phones or 0) + 1"})) == []


def test_what_a_definition_refuses_is_warned_of_for_it_may_change(team: Team) -> None:
    FieldDefinition.objects.create(
        team=team, model="contacts.contact", key="plan", label="Plan", type="select", options=["basic", "pro"]
    )
    (problem,) = told(team, update({"plan": "prro"}))
    assert (problem.path, problem.severity) == ("steps[0].with.values.plan", "warning")
    assert problem.message == "plan: Choose one of basic, pro: the step fails"
    (named, unfit) = told(team, create("records.product", {"quantiy": 3, "quantity": "many"}))
    assert named.message == "product has no field 'quantiy'; did you mean 'quantity'? Otherwise the step fails"
    assert (unfit.path, unfit.severity) == ("steps[0].with.values.quantity", "warning")
    assert told(team, update({"plan": "pro"}), update({"plan": "{{ trigger.plan }}"})) == []


SEARCHES: list[tuple[str, Any, str, str, str]] = [
    ("a clause", [{"field": "amuont", "operator": "is_empty"}], "where[0].field", "'amount'?", "warning"),
    ("an expression", "title == 'x' and stgae == 'won'", "where", "'stage'? (line 1, column 18)", "warning"),
    ("by the record", "record.amuont > 3", "where", "'amount'?", "warning"),
    ("the name of the kind", "deal.amount > 3", "where", "unknown name 'deal'; did you mean 'record.amount'?", "error"),
    ("a relation", "company.nme == 'x'", "where", "'name'?", "warning"),
]


@pytest.mark.parametrize(
    ("where", "path", "ending", "severity"), [row[1:] for row in SEARCHES], ids=[row[0] for row in SEARCHES]
)
def test_a_search_by_a_field_that_nobody_has_is_told(
    team: Team, where: Any, path: str, ending: str, severity: str
) -> None:
    step = {"type": "find_records", "key": "find", "with": {"model": "contacts.deal", "where": where}}
    (problem,) = told(team, step, {**END, "if": "steps.find.count > 0"})
    assert (problem.path, problem.severity) == (f"steps[0].with.{path}", severity)
    assert ending in problem.message


def test_a_search_may_read_the_context_and_what_records_hold_of_their_own(team: Team) -> None:
    where = "amount > rounds and email_of_mine == contact.email and custom.seats > 3 and item.id == contact.id"
    find = {
        "type": "find_records",
        "key": "find",
        "with": {"model": "contacts.deal", "where": where, "order": "-amount"},
    }
    loop = {"type": "loop", "key": "all", "with": {"over": "= [1]", "as": "item", "steps": [find]}}
    more = {"variables": [{"name": "rounds", "type": "number", "default": 1}]}
    read = {**END, "if": "steps.all.items"}
    assert told(team, loop, read, **more) == []


def test_own_records_are_searched_by_what_their_type_defines(team: Team) -> None:
    find = {"type": "find_records", "key": "find", "with": {"model": "records.product", "where": "quantiy < 3"}}
    (problem,) = told(team, find, {**END, "if": "steps.find.count > 0"})
    assert (problem.path, problem.severity) == ("steps[0].with.where", "warning")
    assert "product has no field 'quantiy'; did you mean 'quantity'?" in problem.message


def test_fields_below_the_subject_are_told_with_line_and_column_everywhere(team: Team) -> None:
    clause = {"field": "frist_name", "operator": "changed"}
    more: dict[str, Any] = {
        "triggers": [{"type": "updated", "model": "contacts.contact", "where": {"all": [clause]}}],
        "exit": [{"event": "bye", "where": "subject.emial == 'x'"}],
    }
    step = {"type": "create_task", "with": {"title": "Call", "description": "Dear\n {{ contact.frist_name }}"}}
    slips = "contact has no field 'frist_name' unless you added one; did you mean 'first_name'?"
    assert set(sentences(told(team, step, **more))) == {
        ("steps[0].with.description", f"{slips} (line 2, column 5)"),
        ("triggers[0].where.all[0].field", slips),
        (
            "exit[0].where",
            "contact has no field 'emial' unless you added one; did you mean 'email'? (line 1, column 1)",
        ),
    }


def test_fields_of_own_records_are_those_of_their_type(team: Team) -> None:
    (problem,) = told(team, {**END, "if": "product.quantiy > 3 and product.quantity"}, subject="records.product")
    assert problem.severity == "warning"
    assert problem.message == "product has no field 'quantiy'; did you mean 'quantity'? (line 1, column 1)"


def test_the_manager_of_an_owner_is_known_with_what_it_has(team: Team) -> None:
    fine = ["owner.manager", "owner.manager.email", "owner.manager.first_name", "owner.manager.model"]
    assert (
        told(team, {"type": "create_task", "with": {"title": "".join(f"{{{{ contact.{each} }}}}" for each in fine)}})
        == []
    )
    slips = {"owner.manger": "manager", "owner.manager.emial": "email", "owner.manager.frist_name": "first_name"}
    for name, meant in slips.items():
        (problem,) = told(team, {"type": "notify", "with": {"title": "Late", "to": f"{{{{ contact.{name} }}}}"}})
        assert (problem.path, problem.severity) == ("steps[0].with.to", "warning")
        assert f"did you mean '{meant}'?" in problem.message


def test_when_a_task_is_due_is_read_before_anybody_gets_one(team: Team) -> None:
    late = {"type": "create_task", "key": "call", "with": {"title": "Call", "due": "3 fortnights"}}
    assert sentences(told(team, late)) == [
        ("steps[0].with.due", '"3 fortnights" is not a duration: write "3d", "1h30m", "PT4H" or seconds')
    ]
    for due in ("3d", 3600, "", "{{ contact.custom.days }}"):
        found = told(team, {**late, "with": {"title": "Call", "due": due}})
        assert not [each for each in found if each.path.endswith(".due") and each.severity == "error"]
