"""Comparisons that can never hold and sums that can only fail are told at publish, by the types of what they read."""

from typing import Any

import pytest

from contacts.models import FieldDefinition, RecordType
from crm.models import Team
from pipelines.definition.document import Problem
from pipelines.operations.checking import validate_document

pytestmark = pytest.mark.django_db
VARIABLES = [{"name": "rounds", "type": "number", "default": 1}, {"name": "since", "type": "date", "default": None}]


@pytest.fixture
def team() -> Team:
    team = Team.objects.create(name="Acme", slug="acme")
    fields = [
        {"key": "quantity", "label": "Quantity", "type": "integer"},
        {"key": "name", "label": "Name", "type": "text"},
        {"key": "due", "label": "Due", "type": "date"},
        {"key": "state", "label": "State", "type": "select", "options": ["open", "sold"]},
    ]
    RecordType.objects.create(team=team, key="product", label="Product", fields=fields)
    return team


def define(team: Team, *, model: str = "contacts.deal", **given: Any) -> None:
    """A field that the team defines."""
    FieldDefinition.objects.create(team=team, model=model, **given)


def told(team: Team, step: dict[str, Any], *, subject: str = "contacts.deal", **more: Any) -> list[Problem]:
    """What is said about a document with this one step."""
    document = {
        "format": "crm.pipeline/1",
        "key": "p",
        "name": "P",
        "subject": subject,
        "variables": VARIABLES,
        "steps": [step],
        **more,
    }
    return validate_document(document, team)


def asked(team: Team, condition: Any, *, subject: str = "contacts.deal") -> list[Problem]:
    """What is said about a condition of a step."""
    return told(team, {"type": "end", "if": condition, "with": {}}, subject=subject)


NEVER: list[tuple[str, str]] = [
    ('deal.amount > "a lot"', "deal.amount is a number and 'a lot' is a text: this is never true (line 1, column 1)"),
    ('(deal.title == "a" or\n "x" in deal.created_at)', "nothing: this is never true (line 2, column 2)"),
    ("deal.amount == deal.contact.email", "deal.contact.email is a text: they are never equal"),
    ("deal.owner.manager.email == 5", "deal.owner.manager.email is a text and 5 is a number"),
    ('deal.amount != ""', "they always differ"),
    ("deal.expected_close < 5", "deal.expected_close is a date and 5 is a number"),
    ('deal.expected_close < "soon"', "'soon' is a text"),
    ('deal.stage == "wonn"', "'wonn' is none of the values of deal.stage, which are new, qualified, proposal"),
    ('deal.stage in ["win", "wonn"]', "'win' is none of the values"),
    ("deal.company.name > 3", "deal.company.name is a text and 3 is a number"),
    ('deal.company == "Acme"', "deal.company is an object and 'Acme' is a text"),
    ("deal.created_at.startswith('2027')", "deal.created_at is a date, not a text"),
    ('rounds == "three"', "rounds is a number and 'three' is a text"),
    ("deal.created_at - now > 3", "deal.created_at - now is a duration and 3 is a number"),
    ("lower(deal.title) == 3", "lower(deal.title) is a text and 3 is a number"),
]  # fmt: skip
FAILING: list[tuple[str, str]] = [
    ("deal.title * 2 > 1", "which cannot be calculated with: this always fails (line 1, column 1)"),
    ("deal.title + 1 == 'x1'", "deal.title is a text and 1 is a number, which cannot be calculated with each other"),
    ("deal.created_at + 3 < now", "deal.created_at is a date, to which only a duration such as days(3) can be added"),
    ("lower(deal.amount) == 'x'", "deal.amount is a number, which is not a text: this always fails"),
    ("days(deal.title) > hours(2)", "deal.title is a text, which is not a number of them"),
    ("deal.title + days(1) > now or len(deal.amount)", "deal.amount is a number, which has no length"),
    ("-deal.title == 1", "deal.title is a text, which has no opposite"),
]  # fmt: skip
FINE = [
    "deal.amount > 0.5 and deal.amount == 3",
    "deal.amount == null or not deal.amount",
    'deal.created_at > "2026-01-01" and deal.expected_close <= now',
    'deal.expected_close == "2026-01-01"',
    "deal.created_at - deal.expected_close > days(3)",
    "deal.expected_close - days(3) < now",
    'deal.stage == "won" or deal.stage == ""',
    'lower(deal.stage) == "Whatever"',
    "deal.contact.email == deal.company.name",
    'deal.plan > 3 and deal.plan == "pro" and deal.custom.plan in ["a", 1]',
    "deal.amount / 2 + rounds * 3 > number(deal.plan)",
    'since > "2026-01-01" and since < now and now - since > days(1)',
    "default(deal.amount, 0) >= rounds",
    '(deal.title if deal.amount > 3 else "none") == "none"',
    "deal.company == null and not is_empty(deal.contact)",
    '"vip" in deal.tags and "x" in deal.title',
    "trigger.changes.amount == 'x' and steps.step_1.error > 'x'",
    "min(deal.amount, 3) < sum([deal.amount, 2])",
    "deal['title'] == 'x' and deal.contact.email.lower().endswith('.org')",
]


def test_comparisons_that_never_hold_are_told_with_their_place(team: Team) -> None:
    for source, sentence in NEVER:
        problems = asked(team, source)
        assert [(each.path, each.severity) for each in problems] == [("steps[0].if", "warning")], source
        assert sentence in problems[0].message


def test_sums_that_can_only_fail_are_errors(team: Team) -> None:
    for source, sentence in FAILING:
        problems = asked(team, source)
        assert [(each.path, each.severity) for each in problems] == [("steps[0].if", "error")], source
        assert sentence in problems[0].message


def test_what_may_hold_is_not_complained_about(team: Team) -> None:
    complained = {source: found for source in FINE if (found := asked(team, source))}
    assert complained == {}


CLAUSES: list[tuple[tuple[str, str, Any], str, str]] = [
    (("deal.amount", "greater_than", "a lot"), ".value", "this is never true"),
    (("deal.created_at", "contains", "x"), ".value", "which contains nothing"),
    (("deal.title", "is_true", None), ".operator", "deal.title is a text, which is neither true nor false"),
    (("deal.amount", "starts_with", "1"), ".value", "deal.amount is a number, not a text"),
    (("deal.amount", "not_equals", "x"), ".value", "this is always true"),
    (("deal.amount", "between", [1, "x"]), ".value", "'x' is a text"),
    (("deal.stage", "in_list", ["won", "wonn"]), ".value[1]", "'wonn' is none of the values of deal.stage"),
    (("deal.stage", "changed_to", "wonn"), ".value", "'wonn' is none of the values of deal.stage"),
    (("deal.amount", "within_last", "3d"), ".value", "deal.amount is a number, not a date"),
    (("deal.created_at", "equals", "= deal.amount"), ".value", "deal.amount is a number"),
    (("deal.amount", "equals", "{{ deal.title }}"), ".value", "deal.title is a text"),
    (("deal.amount * 2", "equals", "x"), ".value", "deal.amount * 2 is a number"),
]  # fmt: skip


MAY_HOLD: list[tuple[str, str, Any]] = [
    ("deal.amount", "equals", 3),
    ("deal.amount", "between", [1, 2.5]),
    ("deal.created_at", "after", "2026-01-01"),
    ("deal.created_at", "greater_than", "2026-01-01T00:00:00Z"),
    ("deal.expected_close", "not_within_last", "30d"),
    ("deal.stage", "in_list", ["won", "lost"]),
    ("deal.stage", "starts_with", "w"),
    ("deal.amount", "changed_to", "3.00"),
    ("deal.title", "equals", "Order {{ deal.id }}"),
    ("deal.amount", "is_empty", None),
    ("deal.custom.seats", "greater_than", 10),
]


def row(field: str, operator: str, value: Any) -> dict[str, Any]:
    """A clause; operators that take nothing are given None."""
    return {"field": field, "operator": operator} | ({} if value is None else {"value": value})


def test_clauses_that_never_hold_are_told_where_they_stand(team: Team) -> None:
    for clause, inside, sentence in CLAUSES:
        problems = asked(team, {"any": [row(*clause), {"not": row("deal.title", "is_empty", None)}]})
        places = [(each.path, each.severity) for each in problems]
        assert places == [(f"steps[0].if.any[0]{inside}", "warning")], clause
        assert sentence in problems[0].message


def test_clauses_that_may_hold_are_not_complained_about(team: Team) -> None:
    assert asked(team, [row(*clause) for clause in MAY_HOLD]) == []


def test_templates_are_held_to_what_templates_can_compare(team: Team) -> None:
    text = (
        "{% if deal.created_at > '2026-01-01' %}new{% endif %}\n"
        "{% if deal.amount == 'x' %}x{% endif %}{{ deal.amount | date }}\n"
        "{% case deal.stage %}{% when 'won' %}!{% when 'wonn' %}?{% endcase %}\n"
        "{% for deal in trigger.found %}{{ deal.amount | date }}{% endfor %}{{ deal.created_at | date }}\n"
        "{{ deal.amount | money }}{{ deal.created_at | money }}"
    )
    step = {"type": "create_task", "with": {"title": text}}
    found = {(each.path, each.message, each.severity) for each in told(team, step) if "(line" in each.message}
    assert {(message[-18:], severity) for _, message, severity in found} == {
        ("(line 1, column 7)", "error"),
        ("(line 2, column 7)", "warning"),
        ("line 2, column 43)", "error"),
        ("line 3, column 47)", "warning"),
        ("line 5, column 29)", "error"),
    }
    assert {path for path, _, _ in found} == {"steps[0].with.title"}


def test_fields_of_own_records_have_the_types_of_their_definition(team: Team) -> None:
    subject = "records.product"
    never = 'product.quantity == "x" or product.state == "gone" or product.due > "soon" or product.created_at == 3'
    assert len(asked(team, never, subject=subject)) == 4
    fine = 'product.quantity > 3 and product.state == "sold" and product.due < now and "2027" in product.due'
    assert asked(team, fine, subject=subject) == []
    (failing,) = asked(team, "product.name * 2 == 4", subject=subject)
    assert failing.severity == "error"


def test_a_search_is_held_to_the_fields_of_the_records_it_looks_for(team: Team) -> None:
    where = [
        {"field": "quantity", "operator": "equals", "value": "x"},
        {"field": "amount", "operator": "equals", "value": "x"},
    ]
    find = {"type": "find_records", "key": "find", "with": {"model": "records.product", "where": where}}
    (problem,) = [each for each in told(team, find) if "never true" in each.message]
    assert problem.path == "steps[0].with.where[0].value"


def test_a_variable_is_not_given_a_field_of_another_type(team: Team) -> None:
    (problem,) = told(team, {"type": "end", "with": {}, "set": {"rounds": "= deal.title"}}, subject="contacts.deal")
    assert (problem.path, problem.severity) == ("steps[0].set.rounds", "warning")
    assert "deal.title is a text" in problem.message
    assert (
        told(team, {"type": "end", "with": {}, "set": {"rounds": "= deal.amount", "since": "= deal.created_at"}}) == []
    )


def test_goals_exits_and_triggers_are_looked_at_too(team: Team) -> None:
    rule = {"where": "deal.amount > 'x'"}
    more: dict[str, Any] = {
        "triggers": [{"type": "updated", "model": "contacts.deal", "where": "deal.amount > 'x'"}],
        "exit": [{"event": "bye", **rule}],
    }
    paths = {each.path for each in told(team, {"type": "end", "with": {}}, **more) if "never true" in each.message}
    assert paths == {"triggers[0].where", "exit[0].where"}


def test_fields_that_the_team_defined_have_their_types_and_options(team: Team) -> None:
    define(team, key="seats", label="Seats", type="integer")
    define(team, key="plan", label="Plan", type="select", options=["basic", "pro"])
    define(team, key="renewal", label="Renewal", type="date")
    never = 'deal.seats == "x" or deal.custom.seats > "x" or deal.plan == "prro" or deal.renewal == "soon"'
    assert [each.severity for each in asked(team, never)] == ["warning"] * 4
    # A value from before the definition may be of another type: nothing about these fields is an error.
    assert [each.severity for each in asked(team, "deal.plan * 2 == 4")] == ["warning"]
    fine = 'deal.seats > 3 and deal.custom.plan == "pro" and deal.renewal < now and deal.renewal > "2026-01-01"'
    assert asked(team, fine) == []


def test_the_device_that_registers_itself_is_a_field_of_every_contact(team: Team) -> None:
    define(team, key="plan", label="Plan", type="text", model="contacts.contact")
    reads = "contact.device_token or contact.custom.device_token"
    assert asked(team, reads, subject="contacts.contact") == []
    define(team, key="plan", label="Plan", type="text")
    assert len(asked(team, "deal.device_token")) == 1


def test_a_team_that_defines_its_fields_hears_of_others(team: Team) -> None:
    reads = "deal.sets > 3 or deal.custom.elsewhere or deal.title or deal.custom.seats or deal.noted"
    assert [each.message for each in asked(team, reads)] == []
    define(team, key="seats", label="Seats", type="integer")
    define(team, key="plan", label="Plan", type="text", model="contacts.contact")
    write = {"type": "update_record", "with": {"values": {"noted": True}}}
    document = {"if": reads, **write}
    assert {each.message for each in told(team, document)} == {
        "deal has no field 'sets', and your team has not defined one; did you mean 'seats'? (line 1, column 1)",
        "deal has no field 'elsewhere', and your team has not defined one (line 1, column 18)",
    }
