"""Fields that a team defines, as people define them and fill them in."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Company, Contact, Deal, FieldDefinition
from crm.models import AuditEntry, Role, Team
from tests.contacts.conftest import FORM, SignIn

PAGE = "/admin/contacts/fielddefinition/"
NEW: dict[str, Any] = {
    "model": "contacts.contact", "label": "Favorite color", "key": "", "type": "select",
    "options": "red\n\n blue \nred", "position": "1",
}  # fmt: skip


def test_a_field_is_defined_with_its_options_one_on_each_line(sign_in: SignIn, team: Team) -> None:
    client = sign_in(Role.ADMIN)
    assert b"Fields" in client.get("/admin/").content and b"A field gives values" in client.get(PAGE).content
    assert client.post(f"{PAGE}add/", NEW).status_code == 302
    field = FieldDefinition.objects.get(team=team)
    assert (field.key, field.options, field.model) == ("favorite_color", ["red", "blue"], "contacts.contact")
    assert AuditEntry.objects.filter(action="fields.added").exists()
    again = client.post(f"{PAGE}add/", NEW)
    assert b"There is a field of this key already." in again.content
    empty = client.post(f"{PAGE}add/", {**NEW, "label": "Size", "options": ""})
    assert empty.context["adminform"].form.errors["options"] == ["A select needs a list of texts."]
    many = client.post(f"{PAGE}add/", {**NEW, "label": "Size", "options": "\n".join(map(str, range(501)))})
    assert many.context["adminform"].form.errors["options"] == ["At most 500 options."]
    long = client.post(f"{PAGE}add/", {**NEW, "label": "Size", "options": "x" * 201})
    assert long.context["adminform"].form.errors["options"] == ["An option has at most 200 characters."]
    assert client.post(f"{PAGE}add/", {**NEW, "label": "Seats", "type": "integer"}).status_code == 302
    assert FieldDefinition.objects.get(key="seats").options == []
    assert sign_in(Role.MANAGER).get(f"{PAGE}add/").status_code == 403


def test_a_changed_type_tells_how_many_values_do_not_fit(sign_in: SignIn, team: Team) -> None:
    for seats in ("12", "many", 3, None):
        Contact.objects.create(team=team, first_name="Ann", custom={"seats": seats})
    Company.objects.create(team=team, name="Acme", custom={"seats": "many"})
    field = FieldDefinition.objects.create(team=team, model="contacts.contact", key="seats", label="Seats")
    client = sign_in()
    page = f"{PAGE}{field.pk}/"
    with CaptureQueriesContext(connection) as asked:
        answer = client.post(f"{page}change/", {"label": "Seats", "type": "integer", "position": 0}, follow=True)
    said = [query["sql"] for query in asked]
    counting = next(number for number, sql in enumerate(said) if "seats" in sql and 'FROM "contacts_contact"' in sql)
    opened, ended = (sum(sql.startswith(word) for sql in said[:counting]) for word in ("SAVEPOINT", "RELEASE"))
    assert opened == ended > 0, "values are counted when what was saved is committed"
    assert "1 value that is there already does not fit this field." in answer.content.decode()
    assert Contact.objects.filter(custom__seats="many").count() == 1
    answer = client.post(f"{page}change/", {"label": "Chairs", "type": "integer", "position": 0}, follow=True)
    assert "not fit" not in answer.content.decode()


def test_deleting_a_field_asks_first_and_leaves_the_values(sign_in: SignIn, team: Team) -> None:
    Contact.objects.create(team=team, first_name="Ann", custom={"seats": 4})
    field = FieldDefinition.objects.create(team=team, model="contacts.contact", key="seats", label="Seats")
    client = sign_in()
    asked = client.get(f"{PAGE}{field.pk}/delete/").content.decode()
    assert "the values stay where they are" in asked and "1 record keeps its value" in asked
    assert client.post(f"{PAGE}{field.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not FieldDefinition.objects.exists() and Contact.objects.get().custom == {"seats": 4}


COMPANY = dict.fromkeys(("name", "industry", "domain", "website", "phone", "owner", "address", "custom"), "")
DEAL = {**dict.fromkeys(("contact", "company", "owner", "amount", "expected_close", "custom"), ""), "stage": "new"}
FIELDS: tuple[dict[str, Any], ...] = (
    {"key": "plan", "label": "Plan", "type": "select", "options": ["free", "pro"], "required": True},
    {"key": "seats", "label": "Seats", "type": "integer"},
    {"key": "vip", "label": "Is VIP", "type": "boolean"},
)


@pytest.mark.parametrize(
    ("model", "form"),
    [
        (Contact, {**FORM, "first_name": "Ann"}),
        (Company, {**COMPANY, "name": "Acme"}),
        (Deal, {**DEAL, "title": "Tea", "currency": "EUR"}),
    ],
)
def test_each_defined_field_has_an_input_of_its_own(
    sign_in: SignIn, team: Team, model: Any, form: dict[str, Any]
) -> None:
    for field in FIELDS:
        FieldDefinition.objects.create(team=team, model=model._meta.label_lower, **field)
    client = sign_in()
    page = f"/admin/contacts/{model._meta.model_name}/"
    assert b"Is VIP" in client.get(f"{page}add/").content
    lacking = client.post(f"{page}add/", {**form, "own_seats": "x", "own_vip": "false"})
    assert set(lacking.context["adminform"].form.errors) == {"own_seats", "own_plan"}
    given = {**form, "own_plan": "pro", "own_seats": "3", "own_vip": "false", "custom": '{"note": "free"}'}
    assert client.post(f"{page}add/", given).status_code == 302
    record = model.objects.get()
    assert record.custom == {"plan": "pro", "seats": 3, "vip": False, "note": "free"}
    shown = client.get(f"{page}{record.pk}/change/").context["adminform"].form
    assert json.loads(shown["custom"].value()) == {"note": "free"} and shown["own_vip"].value() == "false"
    changed = {**given, "own_seats": "", "own_vip": "", "custom": '{"note": "free", "plan": "pro"}'}
    twice = client.post(f"{page}{record.pk}/change/", changed)
    assert "above" in twice.context["adminform"].form.errors["custom"][0]
    assert client.post(f"{page}{record.pk}/change/", {**changed, "custom": ""}).status_code == 302
    record.refresh_from_db()
    assert record.custom == {"plan": "pro"}
    read = sign_in(Role.VIEWER).get(f"{page}{record.pk}/change/").content.decode()
    assert "Is VIP" in read and "Seats" in read and 'name="own_plan"' not in read


def test_who_may_only_look_reads_values_whole_and_as_lists_say_them(sign_in: SignIn, team: Team) -> None:
    for key, kind in {"note": "textarea", "renewal": "date"}.items():
        FieldDefinition.objects.create(team=team, model="contacts.contact", key=key, label=key, type=kind)
    held = {"note": "long " * 100 + "end.", "renewal": "2027-03-01"}
    contact = Contact.objects.create(team=team, first_name="Ann", custom=held)
    read = sign_in(Role.VIEWER).get(f"/admin/contacts/contact/{contact.pk}/change/").content.decode()
    # The same stands below as JSON.
    assert f">{held['note']}<" in read and "1 Mar 2027" in read


@pytest.mark.parametrize("page", ["", "add/", "{pk}/change/"])
def test_a_page_reads_the_definitions_once(sign_in: SignIn, team: Team, page: str) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="plan", label="Plan", type="text")
    contact = Contact.objects.create(team=team, first_name="Ann")
    client = sign_in()
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/admin/contacts/contact/{page.format(pk=contact.pk)}").status_code == 200
    assert sum("contacts_fielddefinition" in each["sql"] for each in queries) == 1


def test_a_value_from_before_its_definition_stays_until_somebody_writes_another(sign_in: SignIn, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann", custom={"seats": "many"})
    for field in FIELDS:
        FieldDefinition.objects.create(team=team, model="contacts.contact", **field)
    client, page = sign_in(), f"/admin/contacts/contact/{contact.pk}/change/"
    assert "does not fit" in client.get(page).content.decode()
    assert client.post(page, {**FORM, "first_name": "Ann", "own_seats": "many", "own_vip": "true"}).status_code == 302
    contact.refresh_from_db()
    assert contact.custom == {"seats": "many", "vip": True}
    wrong = client.post(page, {**FORM, "first_name": "Ann", "own_seats": "more"})
    assert "own_seats" in wrong.context["adminform"].form.errors
