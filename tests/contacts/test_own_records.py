"""Records of types that a team defines, through HTTP and the admin."""

import json
from typing import Any

import pytest

from contacts.models import Record, RecordType
from contacts.record_fields import InvalidValues, checked, definition_problems
from crm.models import Team
from crm.teams import create_team
from tests.api import Api
from tests.contacts.conftest import SignIn

PRODUCT = [
    {"key": "name", "label": "Name", "type": "text", "required": True},
    {"key": "quantity", "label": "Quantity", "type": "integer"},
    {"key": "active", "label": "Active", "type": "boolean"},
    {"key": "size", "label": "Size", "type": "select", "options": ["s", "m"]},
]


@pytest.fixture
def product(team: Team) -> RecordType:
    return RecordType.objects.create(team=team, key="product", label="Product", fields=PRODUCT)


def test_a_team_defines_a_type_and_keeps_its_records(api: Api, team: Team) -> None:
    answer = api.post("record-types/", {"key": "product", "label": "Product", "fields": PRODUCT})
    assert answer.status_code == 201, answer.content
    made = api.post("records/product/", {"values": {"name": "Tea", "quantity": "12"}})
    assert made.status_code == 201 and made.json()["type"] == "product"
    assert made.json()["values"] == {"name": "Tea", "quantity": 12}
    path = f"records/product/{made.json()['id']}/"
    assert api.patch(path, {"values": {"quantity": 3}}).json()["values"] == {"name": "Tea", "quantity": 3}
    assert api.get("records/product/").json()["results"] == api.get("records/", type="product").json()["results"]
    assert api.post("records/", {"type": "product", "values": {"name": "Mate"}}).status_code == 201
    found = api.get("records/product/", **{"values[name]": "Mate"}).json()["results"]
    assert [each["values"]["name"] for each in found] == ["Mate"]
    assert api.delete(path).status_code == 204 and Record.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, "values.name"),
        ({"name": "Tea", "quantity": 1.5}, "values.quantity"),
        ({"name": "Tea", "color": "green"}, "values.color"),
        ({"name": "Tea", "size": "xl"}, "values.size"),
        ({"name": "Tea", "active": "perhaps"}, "values.active"),
        ({"name": {"a": 1}}, "values.name"),
        ("Tea", "values"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_their_path(
    api: Api, product: RecordType, values: Any, path: str
) -> None:
    answer = api.post("records/product/", {"values": values})
    assert answer.status_code == 400
    assert [error["path"] for error in answer.json()["errors"]] == [path]


def test_the_types_of_another_team_are_not_there(api: Api, team: Team) -> None:
    other = create_team(name="Other", slug="other")
    RecordType.objects.create(team=other, key="secret", label="Secret", fields=PRODUCT)
    assert api.get("records/secret/").status_code == 404
    assert api.post("records/secret/", {"values": {"name": "x"}}).status_code == 400
    assert api.post("record-types/", {"key": "secret", "label": "Ours", "fields": []}).status_code == 201


@pytest.mark.parametrize(
    "field",
    [
        {"key": "Name", "type": "text"},
        {"key": "id", "type": "text"},
        {"key": "a", "type": "money"},
        {"key": "a", "type": "select"},
        {"key": "a", "type": "text", "options": ["x"]},
        {"key": "a", "type": "text", "color": "red"},
        {"key": "a", "type": "text", "required": "yes"},
        "a",
    ],
    ids=str,
)
def test_fields_that_cannot_be_kept_are_refused(api: Api, field: Any) -> None:
    assert definition_problems([field])
    assert api.post("record-types/", {"key": "t", "label": "T", "fields": [field]}).status_code == 400


def test_every_kind_of_field_takes_its_values_and_nothing_else() -> None:
    good: dict[str, Any] = {
        "text": "x", "textarea": "x\ny", "number": 1.5, "integer": 7, "boolean": False, "date": "2027-03-01",
        "datetime": "2027-03-01T12:00:00+00:00", "select": "a", "email": "ann@example.org", "url": "https://example.org",
    }  # fmt: skip
    for name, value in good.items():
        options = {"options": ["a"]} if name == "select" else {}
        fields = [{"key": "f", "type": name, **options}]
        assert checked(fields, {"f": value}) == {"f": value}, name
        with pytest.raises(InvalidValues):
            checked(fields, {"f": ["no"]})


def test_the_admin_holds_records_to_their_type(team: Team, product: RecordType, sign_in: SignIn) -> None:
    client = sign_in()
    wrong = client.post("/admin/contacts/record/add/", {"type": product.pk, "values": '{"quantity": 1}'})
    assert wrong.status_code == 200 and "name: A value is needed." in wrong.content.decode()
    client.post("/admin/contacts/record/add/", {"type": product.pk, "values": json.dumps({"name": "Tea"})})
    record = Record.objects.get()
    assert record.values == {"name": "Tea"} and record.team == team
    assert "Tea" in client.get("/admin/contacts/record/", {"q": "Tea"}).content.decode()
    client.post(f"/admin/contacts/record/{record.pk}/change/", {"values": json.dumps({"name": "Mate"})})
    record.refresh_from_db()
    assert record.values == {"name": "Mate"}
    assert "1" in client.get("/admin/contacts/recordtype/").content.decode()


def test_a_record_has_a_field_for_each_of_its_types_and_what_is_wrong_stands_beside_it(
    team: Team, product: RecordType, sign_in: SignIn
) -> None:
    client = sign_in()
    page = client.get("/admin/contacts/record/add/", {"type": product.pk}).content.decode()
    assert all(f'name="own_{key}"' in page for key in ("name", "quantity", "active", "size"))
    typed = {"type": product.pk, "values": "{}", "own_quantity": "12", "own_active": "true", "own_size": "m"}
    wrong = client.post("/admin/contacts/record/add/", typed)
    assert wrong.context["adminform"].form.errors == {"own_name": ["A value is needed."]}
    client.post("/admin/contacts/record/add/", {**typed, "own_name": "Tea"})
    record = Record.objects.get()
    assert record.values == {"name": "Tea", "quantity": 12, "active": True, "size": "m"}

    Record.objects.update(values={**record.values, "once": "a field of old"})
    address = f"/admin/contacts/record/{record.pk}/change/"
    same = json.dumps({**record.values, "once": "a field of old"})
    client.post(
        address, {"values": same, "own_name": "Mate", "own_quantity": "", "own_active": "false", "own_size": ""}
    )
    record.refresh_from_db()
    assert record.values == {
        "name": "Mate", "quantity": None, "active": False, "size": None, "once": "a field of old",
    }  # fmt: skip
