"""Fields that a team defined, in the lists of the admin: filters of their kind, and the first as columns."""

from typing import Any

import pytest
from django.test import Client

from contacts.models import Contact, FieldDefinition, Record, RecordType
from crm.models import Team
from tests.contacts.admin.test_costs import cost
from tests.contacts.conftest import SignIn

FIELDS: list[dict[str, Any]] = [
    {"key": "plan", "label": "Plan", "type": "select", "options": ["basic", "pro"]},
    {"key": "seats", "label": "Seats", "type": "integer"},
    {"key": "renewal", "label": "Renewal", "type": "date"},
    {"key": "vip", "label": "VIP", "type": "boolean"},
    {"key": "contains", "label": "Remarks", "type": "text"},
]
PEOPLE: dict[str, dict[str, Any]] = {
    "Ann": {"plan": "pro", "seats": 1200, "renewal": "2027-03-01", "vip": True, "contains": "Likes tea"},
    "Bob": {"plan": "basic", "seats": 5, "renewal": "2027-04-01", "vip": False},
    # From before the definitions.
    "Cy": {"plan": 7, "seats": "1200", "renewal": "soon", "vip": "true", "contains": ["tea"]},
}


def define(team: Team, model: str) -> None:
    for position, field in enumerate(FIELDS):
        FieldDefinition.objects.create(team=team, model=model, position=position, **field)


def found(client: Client, path: str) -> list[str]:
    return sorted(str(row) for row in client.get(path).context["cl"].result_list)


def test_a_list_is_narrowed_by_defined_fields_and_shows_the_first(sign_in: SignIn, team: Team) -> None:
    define(team, "contacts.contact")
    define(Team.objects.create(name="B", slug="b"), "contacts.deal")
    for name, custom in PEOPLE.items():
        Contact.objects.create(team=team, first_name=name, custom=custom)
    client, page = sign_in(), "/admin/contacts/contact/"
    shown = client.get(page).content.decode()
    assert "column-own_plan" in shown and "1,200" in shown and "column-own_renewal" not in shown
    for query, names in {
        "own_plan=pro": ["Ann"],
        "own_plan=gold": ["Ann", "Bob", "Cy"],
        "own_seats_from=5&own_seats_to=100": ["Bob"],
        "own_seats_from=6": ["Ann"],
        "own_seats_from=many": [],
        "own_renewal_from=2027-03-02": ["Bob"],
        "own_renewal_to=2027-03-01": ["Ann"],
        "own_vip=true": ["Ann"],
        "own_vip=false": ["Bob"],
        "own_contains=TEA&own_plan=pro": ["Ann"],
        "own_plan=pro&_facets=True": ["Ann"],
    }.items():
        assert found(client, f"{page}?{query}") == names, query
    # What one team defines is neither shown nor asked in another.
    assert "Renewal" not in client.get("/admin/contacts/deal/").content.decode()
    assert client.get("/admin/contacts/deal/?own_plan=pro").status_code == 400


def test_own_records_are_narrowed_once_their_type_is_chosen(sign_in: SignIn, team: Team) -> None:
    kind = RecordType.objects.create(team=team, key="account", label="Account", fields=FIELDS)
    for name in ("Ann", "Bob"):
        Record.objects.create(team=team, type=kind, values=PEOPLE[name])
    client, page = sign_in(), "/admin/contacts/record/"
    assert "column-own_plan" not in client.get(page).content.decode()
    chosen = f"{page}?type__id__exact={kind.pk}"
    assert "column-own_seats" in client.get(chosen).content.decode()
    assert found(client, f"{chosen}&own_seats_from=100") == ["pro"]


@pytest.mark.parametrize("model", ["contact", "company", "deal"])
def test_defined_fields_cost_a_list_one_statement(sign_in: SignIn, team: Team, model: str) -> None:
    client, path = sign_in(), f"/admin/contacts/{model}/"
    kind: Any = FieldDefinition.Model(f"contacts.{model}")
    name = {"contact": "first_name", "company": "name", "deal": "title"}[model]
    rows: Any = FieldDefinition._meta.apps.get_model(kind.value)
    rows.objects.create(team=team, **{name: "x"}, custom=PEOPLE["Ann"])
    before = cost(client, path)
    define(team, kind.value)
    one = cost(client, path)
    for _ in range(49):
        rows.objects.create(team=team, **{name: "x"}, custom=PEOPLE["Ann"])
    assert cost(client, path) == one == before
