"""Contacts, companies and deals through HTTP."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact, Deal, FieldDefinition, Record, RecordType
from crm.models import Team
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import active, email


def live(contact: int) -> set[str]:
    runs = PipelineRun.objects.filter(subject_id=contact, status__lt=RunStatus.COMPLETED.value)
    return set(runs.values_list("pipeline__key", flat=True))


def made(api: Api, **values: Any) -> dict[str, Any]:
    answer = api.post("contacts/", {"first_name": "Ann", **values})
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def test_a_contact_is_made_changed_and_read(api: Api) -> None:
    contact = made(api, email="Ann@Example.org", tags=["vip"], custom={"shoe": 38})
    path = f"contacts/{contact['id']}/"
    changed = api.patch(path, {"lifecycle_stage": "customer", "custom": {"hat": 58}}).json()
    assert (changed["lifecycle_stage"], changed["custom"], changed["tags"]) == (
        "customer", {"shoe": 38, "hat": 58}, ["vip"],
    )  # fmt: skip
    assert [row["id"] for row in api.get("contacts/", email="ann@example.org").json()["results"]] == [contact["id"]]
    assert [row["id"] for row in api.get("contacts/", search="ann vip").json()["results"]] == [contact["id"]]
    assert api.get("contacts/", stage="lead").json()["results"] == []
    assert api.delete(path).status_code == 204 and api.get(path).status_code == 404


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"email": "nobody"}, "email"),
        ({"first_name": ""}, ""),
        ({"first_name": "A", "lifecycle_stage": "king"}, "lifecycle_stage"),
        ({"first_name": "A", "company": 999_999}, "company"),
        ({"first_name": "A", "pipelines": ["nothing"]}, "pipelines[0]"),
    ],
)
def test_bad_values_are_refused_with_their_path(api: Api, values: dict[str, Any], path: str) -> None:
    answer = api.post("contacts/", values)
    assert answer.status_code == 400
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert not Contact.objects.exists()


def test_pipelines_are_assigned_by_key_or_id(api: Api, manual: Pipeline, team: Team) -> None:
    active(team, [{"type": "wait", "delay": "1d"}], key="other", triggers=[{"type": "manual"}])
    contact = made(api, pipelines=["by_hand"])
    assert (contact["pipelines"], live(contact["id"])) == ([manual.pk], {"by_hand"})
    api.patch(f"contacts/{contact['id']}/", {"pipelines": [manual.pk, "other"]})
    assert live(contact["id"]) == {"by_hand", "other"}
    api.patch(f"contacts/{contact['id']}/", {"pipelines": ["other"]})
    assert live(contact["id"]) == {"other"}
    api.patch(f"contacts/{contact['id']}/", {"first_name": "Anna"})
    assert live(contact["id"]) == {"other"}


def test_pipelines_chosen_at_creation_come_besides_those_that_start_by_themselves(
    api: Api, manual: Pipeline, team: Team
) -> None:
    active(team, [email(delay=60)], key="welcome")
    assert live(made(api, pipelines=["by_hand"])["id"]) == {"welcome", "by_hand"}
    assert live(made(api, pipelines=["welcome"])["id"]) == {"welcome"}
    assert live(made(api, pipelines=[])["id"]) == {"welcome"}


def test_many_contacts_are_made_as_one_batch(api: Api, team: Team) -> None:
    active(team, [email(delay=60)], key="welcome")
    items = [{"first_name": f"C{n}", "email": f"c{n}@example.org"} for n in range(30)]
    answer = api.post("contacts/bulk/", {"items": items})
    assert (answer.status_code, answer.json()["created"]) == (201, 30)
    assert PipelineRun.objects.count() == 30
    bad = api.post("contacts/bulk/", {"items": [*items[:2], {"email": "nobody"}]})
    assert bad.status_code == 400 and bad.json()["errors"][0]["path"] == "items[2].email"
    assert Contact.objects.count() == 30
    some = api.post("contacts/bulk/", {"items": [{"first_name": "Ok"}, {"email": "nobody"}], "on_error": "skip"})
    assert some.json()["created"] == 1 and some.json()["errors"][0]["path"] == "items[1].email"


def test_the_same_request_makes_one_contact(api: Api) -> None:
    for _ in range(3):
        assert api.post("contacts/", {"first_name": "Ann"}, Idempotency_Key="once").status_code == 201
    assert Contact.objects.count() == 1


def test_duplicates_are_grouped_and_merged(api: Api) -> None:
    first, second = made(api, email="a@x.org"), made(api, email="A@x.org", phone="1")
    (group,) = api.get("contacts/duplicates/").json()["results"]
    assert group["count"] == 2
    merged = api.post(f"contacts/{first['id']}/merge/", {"others": [second["id"]]}).json()
    assert (merged["id"], merged["phone"]) == (first["id"], "1")
    assert Contact.objects.count() == 1
    entries = api.get(f"contacts/{first['id']}/timeline/").json()["results"]
    assert any("Merged" in entry["text"] for entry in entries)


def test_deals_and_companies_stay_inside_the_team(api: Api) -> None:
    company = api.post("companies/", {"name": "Acme"}).json()
    deal = api.post("deals/", {"title": "Chairs", "company": company["id"], "amount": "1200.50"})
    assert deal.json()["amount"] == "1200.50"
    stranger = Api(Team.objects.create(name="B", slug="b"))
    refused = stranger.post("deals/", {"title": "x", "company": company["id"]})
    unknown = stranger.post("deals/", {"title": "x", "company": 999_999})
    assert refused.status_code == unknown.status_code == 400
    assert stranger.get(f"deals/{deal.json()['id']}/").status_code == 404
    assert Deal.objects.count() == 1


@pytest.mark.parametrize("query", [{"nothing": "1"}, {"ordering": "custom"}, {"stage": "king"}, {"page_size": "x"}])
def test_what_is_not_offered_is_refused(api: Api, query: dict[str, str]) -> None:
    assert api.get("contacts/", **query).status_code == 400


def names(api: Api, path: str, **query: str) -> list[str]:
    return sorted(each["name"] for each in api.get(path, **query).json()["results"])


def test_lists_are_narrowed_by_the_teams_own_fields(api: Api) -> None:
    for name, custom in (
        ("Ada", {"plan": "pro", "seats": 5, "vip": True, "contains": "x"}),
        ("Bob", {"plan": "pro", "seats": 7}),
        ("Cy", {"plan": "free", "seats": "5"}),
    ):
        made(api, first_name=name, custom=custom)
        api.post("companies/", {"name": name, "custom": custom})
    for path in ("contacts/", "companies/"):
        assert names(api, path, **{"custom[plan]": "pro"}) == ["Ada", "Bob"]
        assert names(api, path, **{"custom[plan]": "pro", "custom[seats]": "7"}) == ["Bob"]
        # A number or the text of one, whatever was written.
        assert names(api, path, **{"custom[seats]": "5"}) == ["Ada", "Cy"]
        assert names(api, path, **{"custom[vip]": "true"}) == ["Ada"]
        assert names(api, path, **{"custom[contains]": "x"}) == ["Ada"]
        assert names(api, path, **{"custom[nobody]": "x"}) == []
        assert api.get(path, **{"custom[Not a key]": "x"}).status_code == 400
        assert api.get(path, **{"custom[plan]": "x\x00"}).status_code == 400


def test_defined_numbers_and_dates_have_ranges(api: Api, team: Team) -> None:
    for name, custom in (
        ("Ada", {"seats": 5, "renewal": "2027-03-01", "called": "2027-03-01T23:00:00+00:00"}),
        ("Bob", {"seats": 10.5, "renewal": "2027-03-02", "called": "2027-03-02T00:10:00+00:00"}),
        # From before the definition, and none of the type: never inside a range.
        ("Cy", {"seats": "9", "renewal": 20270302, "called": "later"}),
        ("Di", {"seats": True, "renewal": ["2027-03-01"]}),
        ("Eve", {}),
    ):
        Deal.objects.create(team=team, title=name, custom=custom)
    for position, (key, type) in enumerate({"seats": "number", "renewal": "date", "called": "datetime"}.items()):
        FieldDefinition.objects.create(
            team=team, model="contacts.deal", key=key, label=key, type=type, position=position
        )
    FieldDefinition.objects.create(team=team, model="contacts.deal", key="plan", label="Plan", type="text")

    def found(**query: str) -> list[str]:
        answer = api.get("deals/", **query)
        return sorted(each["title"] for each in answer.json()["results"]) if answer.status_code == 200 else ["refused"]

    assert found(**{"custom[seats][gte]": "5"}) == ["Ada", "Bob"]
    assert found(**{"custom[seats][gt]": "5", "custom[seats][lt]": "10.6"}) == ["Bob"]
    assert found(**{"custom[seats][lte]": "9"}) == ["Ada"]
    assert found(**{"custom[renewal][lt]": "2027-03-02"}) == ["Ada"]
    assert found(**{"custom[renewal][gte]": "2027-03-01"}) == ["Ada", "Bob"]
    assert found(**{"custom[called][lte]": "2027-03-01"}) == ["Ada"]
    for refused in ({"custom[seats][gte]": "many"}, {"custom[renewal][lt]": "soon"}, {"custom[plan][lt]": "x"}):
        assert found(**refused) == ["refused"]
    assert found(**{"custom[nobody][lt]": "1"}) == found(**{"custom[seats][near]": "1"}) == ["refused"]


def test_numbers_of_own_records_have_ranges(api: Api, team: Team) -> None:
    fields = [{"key": "quantity", "label": "Quantity", "type": "integer"}]
    kind = RecordType.objects.create(team=team, key="product", label="Product", fields=fields)
    for quantity in (3, 12):
        Record.objects.create(team=team, type=kind, values={"quantity": quantity})
    for path in ("records/", "records/product/"):
        rows = api.get(path, **{"values[quantity][gte]": "10"}).json()["results"]
        assert [row["values"]["quantity"] for row in rows] == [12], path


def test_pages_follow_each_other_without_gaps(api: Api, team: Team) -> None:
    Contact.objects.bulk_create([Contact(team=team, first_name=f"C{n}") for n in range(25)])
    seen: list[int] = []
    path = "contacts/?page_size=10"
    while path:
        page = api.get(path).json()
        seen += [row["id"] for row in page["results"]]
        path = (page["next"] or "").partition("/api/v1/")[2]
    assert len(seen) == len(set(seen)) == 25


def test_a_list_costs_the_same_with_two_and_with_fifty(api: Api, team: Team) -> None:
    costs = []
    for count in (2, 50):
        Contact.objects.all().delete()
        for number in range(count):
            Contact.objects.create(team=team, first_name=f"C{number}")
        api.get("contacts/")
        with CaptureQueriesContext(connection) as queries:
            api.get("contacts/")
        costs.append(len(queries))
    assert costs[0] == costs[1]


@pytest.mark.parametrize("phone", ["call me", "+49 151 CALL", "12+34567", "+", "1" * 30])
def test_what_is_no_number_is_refused_by_its_field(api: Api, phone: str) -> None:
    answer = api.post("contacts/", {"first_name": "Ann", "phone": phone})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["path"] == "phone" and "is no phone number: write it with its country" in error["message"]


@pytest.mark.parametrize("phone", ["+49 (0)30 1234-567", "030/123456 ext. 12", "555.0100 x9", "110", ""])
def test_numbers_are_kept_as_people_write_them(api: Api, phone: str) -> None:
    assert api.post("contacts/", {"first_name": "Ann", "phone": phone}).json()["phone"] == phone


def test_a_number_that_stood_there_before_stands_in_nobodys_way(api: Api, team: Team) -> None:
    ann = Contact.objects.create(team=team, first_name="Ann", phone="ask Bob")
    body = {"first_name": "Anna", "phone": "ask Bob"}
    assert api.patch(f"contacts/{ann.pk}/", body).status_code == 200
