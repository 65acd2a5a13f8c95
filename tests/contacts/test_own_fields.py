"""Fields that a team defines for contacts, companies and deals: what a definition may say, and values held to it."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from contacts.models import Contact, Deal, FieldDefinition
from contacts.own_fields import all_definitions, checked_custom, definitions, misfits
from contacts.record_fields import LABELS, TYPES, InvalidValues
from crm.models import Team

PLAN: dict[str, Any] = {"key": "plan", "label": "Plan", "type": "select", "options": ["free", "pro"], "required": True}
SEATS: dict[str, Any] = {"key": "seats", "label": "Seats", "type": "integer"}


def define(team: Team, field: dict[str, Any], model: str = "contacts.contact") -> FieldDefinition:
    return FieldDefinition.objects.create(team=team, model=model, **field)


def test_definitions_come_in_their_order_by_one_query(team: Team, django_assert_num_queries: Any) -> None:
    define(team, {**SEATS, "position": 2})
    define(team, {**PLAN, "position": 1})
    define(team, SEATS, model="contacts.deal")
    with django_assert_num_queries(1):
        found = definitions(team=team, model=Contact)
    assert [each["key"] for each in found] == ["plan", "seats"] and found[0]["options"] == ["free", "pro"]
    assert [each["key"] for each in definitions(team=team, model=Deal)] == ["seats"]
    with django_assert_num_queries(0):
        assert definitions(team=team, model="contacts.activity") == ()
    assert set(all_definitions(teams=[team], labels=["contacts.deal", "contacts.company"])) == {
        (team.pk, "contacts.deal")
    }


def test_a_key_is_defined_once_for_a_model(team: Team) -> None:
    define(team, SEATS)
    with pytest.raises(IntegrityError), transaction.atomic():
        define(team, SEATS)
    with pytest.raises(IntegrityError), transaction.atomic():
        define(team, PLAN, model="crm.team")
    define(team, SEATS, model="contacts.company")


@pytest.mark.parametrize(
    "field",
    [
        {**SEATS, "key": "Seats"},
        {**SEATS, "key": "email"},
        {**SEATS, "key": "company_id"},
        {**SEATS, "key": "tags"},
        {**SEATS, "key": "id"},
        {**SEATS, "options": ["a"]},
        {**PLAN, "options": []},
        {**PLAN, "options": [1]},
    ],
)
def test_a_definition_that_values_could_not_be_held_to_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FieldDefinition(model="contacts.contact", **field).clean()


def test_values_of_defined_fields_are_held_to_their_types_and_others_are_free() -> None:
    fields = [PLAN, SEATS]
    given = {"plan": "pro", "seats": "12", "note": ["free", 1]}
    assert checked_custom(fields=fields, values=given) == {"plan": "pro", "seats": 12, "note": ["free", 1]}
    assert checked_custom(fields=fields, values={"seats": "", "note": None}) == {"seats": None, "note": None}
    with pytest.raises(InvalidValues) as refused:
        checked_custom(fields=fields, values={"plan": "gold", "seats": [3]})
    assert [key for key, _ in refused.value.problems] == ["plan", "seats"]
    assert "gold" not in str(refused.value)


def test_a_required_field_is_asked_of_new_records_and_never_emptied() -> None:
    assert checked_custom(fields=[PLAN, SEATS], values={"seats": 1}) == {"seats": 1}
    with pytest.raises(InvalidValues):
        checked_custom(fields=[PLAN, SEATS], values={"seats": 1}, complete=True)
    with pytest.raises(InvalidValues):
        checked_custom(fields=[PLAN], values={"plan": None})


def test_values_that_would_not_fit_are_counted() -> None:
    assert misfits(field=SEATS, values=[1, "2", "many", None, [3]]) == 2
    assert misfits(field=PLAN, values=[None, "free"]) == 0


def test_every_type_has_a_word_for_people() -> None:
    assert list(LABELS) == list(TYPES)
