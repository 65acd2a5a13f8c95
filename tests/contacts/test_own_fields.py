"""Fields that a team defines for contacts, companies and deals: what a definition may say, and values held to it."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact, Deal, FieldDefinition
from contacts.own_fields import all_definitions, checked_custom, definitions, misfits
from contacts.record_fields import LABELS, TYPES, InvalidValues
from crm.models import Team
from tests.api import Api

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


def test_a_team_defines_fields_through_the_api(api: Api, team: Team) -> None:
    made = api.post("fields/", {"model": "contacts.contact", "position": 1, **PLAN})
    assert made.status_code == 201 and made.json()["options"] == ["free", "pro"], made.content
    path = f"fields/{made.json()['id']}/"
    assert api.post("fields/", {"model": "contacts.contact", **PLAN}).status_code == 400
    refused = api.post("fields/", {"model": "contacts.contact", "key": "email", "label": "Mail", "type": "text"})
    assert [each["path"] for each in refused.json()["errors"]] == ["key"]
    assert api.patch(path, {"key": "tariff"}).status_code == 400
    assert api.patch(path, {"options": []}).json()["errors"][0]["path"] == "options"
    assert api.patch(path, {"label": "Tariff", "options": ["free", "pro", "max"]}).json()["label"] == "Tariff"
    assert [each["key"] for each in api.get("fields/", model="contacts.contact").json()["results"]] == ["plan"]
    assert Api(team, role="manager").post("fields/", {"model": "contacts.deal", **SEATS}).status_code == 403
    assert api.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("place", "model", "named"),
    [
        ("contacts", "contacts.contact", {"email": "ada@example.org"}),
        ("companies", "contacts.company", {"name": "Acme"}),
        ("deals", "contacts.deal", {"title": "Tea"}),
    ],
)
def test_the_api_holds_values_to_their_definitions(
    api: Api, team: Team, place: str, model: str, named: dict[str, str]
) -> None:
    define(team, PLAN, model)
    define(team, SEATS, model)
    lacking = api.post(f"{place}/", named)
    assert [each["path"] for each in lacking.json()["errors"]] == ["custom.plan"], lacking.content
    wrong = api.post(f"{place}/", {**named, "custom": {"plan": "gold", "seats": "x"}})
    assert {each["path"] for each in wrong.json()["errors"]} == {"custom.plan", "custom.seats"}
    made = api.post(f"{place}/", {**named, "custom": {"plan": "pro", "seats": "3", "note": "free"}}).json()
    assert made["custom"] == {"plan": "pro", "seats": 3, "note": "free"}
    path = f"{place}/{made['id']}/"
    changed = api.patch(path, {"custom": {"seats": None, "hat": 58}}).json()
    assert changed["custom"] == {"plan": "pro", "note": "free", "hat": 58}
    assert api.patch(path, {"custom": {"plan": None}}).status_code == 400


def test_contacts_in_bulk_are_held_to_definitions_read_once(api: Api, team: Team) -> None:
    define(team, SEATS)
    items = [{"email": f"a{n}@example.org", "custom": {"seats": str(n)}} for n in range(4)]
    with CaptureQueriesContext(connection) as few:
        assert api.post("contacts/bulk/", {"items": items[:1]}).status_code == 201
    with CaptureQueriesContext(connection) as many:
        assert api.post("contacts/bulk/", {"items": items[1:]}).status_code == 201
    assert len(many) <= len(few)
    bad = [{"email": "b@example.org", "custom": {"seats": "x"}}, {"email": "c@example.org"}]
    answer = api.post("contacts/bulk/", {"items": bad, "on_error": "skip"}).json()
    assert answer["created"] == 1 and answer["errors"][0]["path"] == "items[0].custom.seats"
