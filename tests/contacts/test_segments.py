"""Segments through HTTP and the admin."""

from typing import Any

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
