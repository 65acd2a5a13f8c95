"""Segments through HTTP and the admin."""

from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contacts.models import Company, Contact, Segment, SegmentMembership
from contacts.operations import merge_contacts
from contacts.segments import add_members
from crm.models import Team
from crm.teams import create_team
from tests.api import Api
from tests.contacts.conftest import SignIn


def made(api: Api, **values: Any) -> int:
    answer = api.post("segments/", {"key": "vip", "name": "Important", **values})
    assert answer.status_code == 201, answer.content
    return int(answer.json()["id"])


def test_a_segment_has_members_of_several_kinds_each_once(api: Api, team: Team) -> None:
    pk = made(api)
    people = [Contact.objects.create(team=team, first_name=f"c{number}").pk for number in range(3)]
    company = Company.objects.create(team=team, name="Acme").pk
    path = f"segments/{pk}/change-members/"
    assert api.post(path, {"add": people}).json() == {"added": 3, "removed": 0}
    assert api.post(path, {"add": people[:1], "remove": people[2:]}).json() == {"added": 0, "removed": 1}
    assert api.post(path, {"type": "contacts.company", "add": [company]}).json() == {"added": 1, "removed": 0}
    found = [
        (row["subject"]["type"], row["subject"]["id"]) for row in api.get(f"segments/{pk}/members/").json()["results"]
    ]
    assert found == [("contacts.contact", people[0]), ("contacts.contact", people[1]), ("contacts.company", company)]
    assert api.get(f"segments/{pk}/").json()["count"] == 3
    Contact.objects.get(pk=people[0]).delete()
    assert api.get("segments/", key="vip").json()["results"][0]["count"] == 2


def test_records_of_another_team_and_keys_that_cannot_be_typed_are_refused(api: Api) -> None:
    pk = made(api)
    foreign = Contact.objects.create(team=create_team(name="Other", slug="other"), first_name="X").pk
    answer = api.post(f"segments/{pk}/change-members/", {"add": [foreign]})
    assert answer.status_code == 400 and answer.json()["errors"][0]["path"] == "add[0]"
    assert api.post(f"segments/{pk}/change-members/", {"type": "auth.user", "add": [1]}).status_code == 400
    assert api.post("segments/", {"key": "VIP 1", "name": "x"}).status_code == 400
    assert api.post("segments/", {"key": "vip", "name": "again"}).status_code == 400
    assert not SegmentMembership.objects.exists()


def test_a_merged_contact_is_in_the_segments_of_both(team: Team) -> None:
    keep, other = (Contact.objects.create(team=team, first_name=name) for name in "ab")
    first, second = (Segment.objects.create(team=team, key=key, name=key) for key in ("one", "two"))
    add_members(segment=first, model=Contact, ids=[keep.pk, other.pk])
    add_members(segment=second, model=Contact, ids=[other.pk])
    merge_contacts(keep=keep, others=[other], by=None)
    assert sorted(SegmentMembership.objects.values_list("segment__key", "subject_id")) == [
        ("one", keep.pk), ("two", keep.pk),
    ]  # fmt: skip


def test_people_see_and_keep_segments_in_the_admin(team: Team, sign_in: SignIn) -> None:
    client = sign_in()
    ann = Contact.objects.create(team=team, first_name="Ann")
    client.post("/admin/contacts/segment/add/", {"name": "Important", "key": "vip", "kept_by": "static"})
    segment = Segment.objects.get()
    add_members(segment=segment, model=Contact, ids=[ann.pk])
    listed = client.get("/admin/contacts/segment/").content.decode()
    assert "Important" in listed and f"segment__id__exact={segment.pk}" in listed
    page = client.get("/admin/contacts/segmentmembership/", {"segment__id__exact": segment.pk}).content.decode()
    assert "Ann" in page and f"/admin/contacts/contact/{ann.pk}/change/" in page


def test_the_page_of_a_segment_leads_to_its_members(team: Team, sign_in: SignIn) -> None:
    client, other = sign_in(), create_team(name="Other", slug="other")
    ann, bob, foreign = (Contact.objects.create(team=each, first_name="Ann") for each in (team, team, other))
    Company.objects.create(pk=bob.pk, team=team, name="Same number")
    segment, theirs = (Segment.objects.create(team=each, key="vip", name="Important") for each in (team, other))
    add_members(segment=segment, model=Contact, ids=[ann.pk])
    add_members(segment=segment, model=Company, ids=[bob.pk])
    add_members(segment=theirs, model=Contact, ids=[foreign.pk])
    page = client.get(f"/admin/contacts/segment/{segment.pk}/change/").content.decode()
    for path in (f"contact/?segment={segment.pk}", f"segmentmembership/?segment__id__exact={segment.pk}"):
        assert f"/admin/contacts/{path}" in page
    assert listed(client, segment.pk) == [ann.pk]
    assert listed(client, theirs.pk) == []


def listed(client: Client, segment: int) -> list[int]:
    rows = client.get("/admin/contacts/contact/", {"segment": segment}).context["cl"].queryset
    return [row.pk for row in rows]


def test_lists_of_the_api_are_narrowed_by_a_segment(api: Api, team: Team) -> None:
    other = create_team(name="Other", slug="other")
    people = [Contact.objects.create(team=team, first_name=f"c{number}").pk for number in range(3)]
    company = Company.objects.create(team=team, name="Acme")
    segment, theirs = (
        Segment.objects.create(team=each, key=key, name="x") for each, key in ((team, "a"), (other, "b"))
    )
    add_members(segment=segment, model=Contact, ids=people[:2])
    add_members(segment=segment, model=Company, ids=[company.pk])

    def found(path: str, key: str) -> list[int]:
        return sorted(row["id"] for row in api.get(path, segment=key).json()["results"])

    assert found("contacts/", "a") == people[:2] and found("companies/", "a") == [company.pk]
    assert found("contacts/", theirs.key) == found("deals/", "a") == found("contacts/", "nonsense") == []


def test_members_cost_the_same_however_many(team: Team, sign_in: SignIn, api: Api) -> None:
    client = sign_in()
    segment = Segment.objects.create(team=team, key="vip", name="Important")

    def cost(size: int) -> list[int]:
        rows = [Contact.objects.create(team=team, first_name="x").pk for _ in range(size)]
        add_members(segment=segment, model=Contact, ids=rows)
        counts = []
        for ask in (
            lambda: client.get("/admin/contacts/contact/", {"segment": segment.pk}),
            lambda: client.get(f"/admin/contacts/segment/{segment.pk}/change/"),
            lambda: api.get("contacts/", segment="vip"),
        ):
            ask()
            with CaptureQueriesContext(connection) as queries:
                assert ask().status_code == 200
            counts.append(len(queries))
        return counts

    assert cost(2) == cost(30)
