"""Records of types that a team defines, through HTTP and the admin."""

import json
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Record, RecordType
from contacts.record_fields import InvalidValues, checked, definition_problems
from crm.models import Team
from crm.teams import create_team
from tests.api import Api
from tests.contacts.conftest import SignIn

PRODUCT: list[dict[str, Any]] = [
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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([str(number) for number in range(501)], "At most 500 options."),
        (["a", "x" * 201], "An option has at most 200 characters."),
    ],
    ids=["many", "long"],
)
def test_a_choice_of_an_own_type_has_the_limits_of_all_choices(
    api: Api, team: Team, sign_in: SignIn, options: list[str], told: str
) -> None:
    field = {"key": "size", "label": "Size", "type": "select"}
    refused = api.post("record-types/", {"key": "t", "label": "T", "fields": [{**field, "options": options}]})
    assert refused.status_code == 400 and told in refused.content.decode()
    assert api.post("fields/", {"model": "contacts.deal", **field, "options": options}).status_code == 400
    typed = {**_table(a={**field, "options": "\n".join(options)}), "key": "t"}
    page = sign_in().post("/admin/contacts/recordtype/add/", typed)
    assert f"Field 1, options: {told}" in page.content.decode()
    allowed = ["x" * 200, *(str(number) for number in range(499))]
    assert (
        api.post("record-types/", {"key": "t", "label": "T", "fields": [{**field, "options": allowed}]}).status_code
        == 201
    )


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


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("date", "2027-03-015", None),
        ("date", "2027-03-01 nonsense", None),
        ("date", 20270301, None),
        ("date", " 2027-03-01 ", "2027-03-01"),
        ("date", "2027-03-01T23:30:00+02:00", "2027-03-01"),
        ("number", "0." + "1" * 58 + "x", None),
        ("number", "1" + "0" * 60, None),
        ("datetime", "2027-03-01T12:00:00.000000+00:00:00.000001 or so", None),
        ("datetime", "2027-03-01T12:00:00.000000+00:00" + " " * 8 + "nonsense", None),
        ("datetime", "2027-03-01T12:00", "2027-03-01T12:00:00+00:00"),
        ("datetime", datetime(2027, 3, 1, 12), "2027-03-01T12:00:00+00:00"),
        ("datetime", "2027-03-01T12:00:00Z", "2027-03-01T12:00:00+00:00"),
    ],
)
def test_a_value_is_kept_as_it_is_meant_or_refused_and_never_cut(kind: str, given: Any, kept: str | None) -> None:
    fields = [{"key": "f", "type": kind}]
    if kept is None:
        with pytest.raises(InvalidValues):
            checked(fields, {"f": given})
    else:
        assert checked(fields, {"f": given}) == {"f": kept}


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


def test_the_page_of_a_new_record_reads_its_type_once(product: RecordType, sign_in: SignIn) -> None:
    client = sign_in()
    with CaptureQueriesContext(connection) as seen:
        client.get("/admin/contacts/record/add/", {"type": product.pk})
    of_type = [query["sql"] for query in seen if 'FROM "contacts_recordtype"' in query["sql"]]
    # The second lists the types to choose from.
    assert len(of_type) == 2, of_type


def _table(**fields: dict[str, str]) -> dict[str, Any]:
    """A form of a type as the browser sends it: `fields` by their place, each by its parts."""
    rows = {f"fields-{mark}-{part}": value for mark, each in fields.items() for part, value in each.items()}
    return {"label": "Product", "fields": "[]", "fields-shown": "[]", "fields-row": list(fields), **rows}


def _shown(answer: Any) -> dict[str, Any]:
    """What the table of fields of a page shows."""
    bound = answer.context["adminform"].form["fields"]
    shown: dict[str, Any] = bound.field.widget.get_context("fields", bound.value(), {})["widget"]
    return shown


def test_a_type_is_defined_in_a_table_without_json(team: Team, sign_in: SignIn) -> None:
    client = sign_in()
    name = {"label": " Name ", "key": "name", "type": "text", "required": "yes"}
    size = {"label": "Size", "key": "size", "type": "select", "options": "s\r\n\r\n m "}
    typed = {**_table(b=size, a=name, c={"key": "", "type": "text"}), "key": "product"}
    assert client.post("/admin/contacts/recordtype/add/", typed).status_code == 302
    assert RecordType.objects.get().fields == [
        {"key": "size", "label": "Size", "type": "select", "options": ["s", "m"]},
        {"key": "name", "label": "Name", "type": "text", "required": True},
    ]


def test_what_is_wrong_in_a_table_of_fields_stands_at_its_row_and_nothing_typed_is_lost(
    team: Team, sign_in: SignIn
) -> None:
    client = sign_in()
    good, bad = {"label": "Name", "key": "name", "type": "text"}, {"label": "Größe", "key": "Size", "type": "select"}
    wrong = client.post("/admin/contacts/recordtype/add/", {**_table(a=good, b=bad), "key": "product"})
    rows = _shown(wrong)["rows"]
    assert [row["wrong"] for row in rows] == [set(), {"key", "options"}] and rows[1]["label"] == "Größe"
    assert rows[1]["problems"][0].startswith("Key: Use lower-case letters")
    assert "Field 2, options: A select needs a list of texts." in wrong.content.decode()
    broken = client.post("/admin/contacts/recordtype/add/", {**_table(a=good), "key": "product", "fields": '[{"key"'})
    assert "This is not JSON: " in broken.content.decode() and "[{&quot;key&quot;" in broken.content.decode()
    # What could not be read is never taken for "no fields", whatever else is sent.
    again = {**_table(), "key": "product", "fields": '[{"key"', "fields-shown": ""}
    assert client.post("/admin/contacts/recordtype/add/", again).status_code == 200
    assert not RecordType.objects.exists()


def test_fields_may_still_be_written_as_json_which_decides_when_it_was_changed(
    team: Team, product: RecordType, sign_in: SignIn
) -> None:
    address = f"/admin/contacts/recordtype/{product.pk}/change/"
    client = sign_in()
    shown = json.dumps(PRODUCT)
    rows = {"fields-row": ["0"], "fields-0-key": "only", "fields-0-type": "text"}
    more = [*PRODUCT, {"key": "color", "type": "text"}]
    client.post(address, {"label": "Product", "fields": json.dumps(more, indent=4), "fields-shown": shown, **rows})
    product.refresh_from_db()
    assert product.fields == more
    client.post(address, {"label": "Product", "fields": json.dumps(more), "fields-shown": json.dumps(more), **rows})
    product.refresh_from_db()
    assert product.fields == [{"key": "only", "type": "text"}]


def test_a_change_of_fields_that_records_have_values_in_asks_first_and_says_how_many(
    team: Team, product: RecordType, sign_in: SignIn
) -> None:
    for values in (
        {"name": "Tea", "size": "s", "quantity": 3},
        {"name": "Mate", "size": "m"},
        {"name": "Cup", "size": None},
    ):
        Record.objects.create(team=team, type=product, values=values)
    other = RecordType.objects.create(team=team, key="other", label="Other", fields=PRODUCT)
    Record.objects.create(team=team, type=other, values={"name": "x", "size": "m", "quantity": 1})
    now: list[dict[str, Any]] = [
        PRODUCT[0],
        {"key": "quantity", "label": "Quantity", "type": "date"},
        {"key": "size", "label": "Size", "type": "select", "options": ["s", "l"], "required": True},
    ]
    client, address = sign_in(), f"/admin/contacts/recordtype/{product.pk}/change/"
    typed = {"label": "Goods", "fields": json.dumps(now)}
    asked = client.post(address, typed)
    widget = _shown(asked)
    assert [sentence.split(",")[0] for sentence in widget["warnings"]] == [
        "1 record has a value in “quantity”", "1 record has “m” in “size”", "1 record has no value in “size”",
    ]  # fmt: skip
    product.refresh_from_db()
    assert product.label == "Product" and product.fields == PRODUCT
    # Nothing is in "active", so taking it away alone is asked by nobody.
    without = [field for field in PRODUCT if field["key"] != "active"]
    client.post(address, {"label": "Product", "fields": json.dumps(without)})
    product.refresh_from_db()
    assert product.fields == without
    assert client.post(address, {**typed, "fields-agreed": "something else"}).status_code == 200
    Record.objects.create(team=team, type=product, values={"name": "Pot", "quantity": 9})
    assert (
        "2 records have a value in “quantity”"
        in client.post(address, {**typed, "fields-agreed": widget["agreement"]}).content.decode()
    )
    agreed = _shown(client.post(address, typed))["agreement"]
    client.post(address, {**typed, "fields-agreed": agreed})
    product.refresh_from_db()
    assert product.fields == now
    assert Record.objects.filter(type=product, values__quantity=3).exists()


def test_who_may_look_only_reads_the_fields_as_a_list(team: Team, product: RecordType, sign_in: SignIn) -> None:
    page = sign_in("viewer").get(f"/admin/contacts/recordtype/{product.pk}/change/").content.decode()
    assert "<strong>Size</strong>: size, choice: s, m" in page and "data-field-table" not in page
