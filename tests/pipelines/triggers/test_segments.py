"""Segments with rules: members come and go with the contacts, each step of it an event, once."""

import json
from typing import Any

import pytest
from django.test import Client

from contacts.models import Company, Contact, Segment, SegmentMembership
from contacts.operations import bulk_tag, bulk_update_contacts, merge_contacts, update_contact
from contacts.segments import add_members, keep_rule, remove_members
from crm.models import Member, Team
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.segments.refreshing import refresh_changed, refresh_whole
from pipelines.engine.segments.rule import contact_kind
from pipelines.models import Event, PipelineRun
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run

HOLD = [{"key": "hold", "type": "wait", "delay": "30d"}]
CUSTOMERS = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}


def ruled(team: Team, where: Any = CUSTOMERS, *, key: str = "customers") -> Segment:
    return keep_rule(Segment.objects.create(team=team, key=key, name=key.title(), where=where), now=NOON)


def ann(team: Team, **values: Any) -> Contact:
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", **values)


def members(segment: Segment) -> list[int]:
    return sorted(SegmentMembership.objects.filter(segment=segment).values_list("subject_id", flat=True))


def told(contact: Contact) -> list[tuple[str, str]]:
    rows = Event.objects.filter(type__startswith="segment_", subject_id=contact.pk).order_by("pk")
    return [(row.type.removeprefix("segment_"), row.payload["segment"]) for row in rows]


def test_contacts_enter_and_leave_as_they_change_and_start_a_pipeline_once(team: Team, run_at: Run) -> None:
    early, late = ann(team, lifecycle_stage="customer"), ann(team)
    segment = ruled(team)
    pipeline = active(team, HOLD, triggers=[{"type": "segment", "segment": "customers"}])
    run_at(NOON)
    assert members(segment) == [early.pk]
    update_contact(contact=late, values={"lifecycle_stage": "customer"})
    run_at(later(minutes=1))
    run_at(later(minutes=2))
    assert members(segment) == [early.pk, late.pk]
    update_contact(contact=late, values={"lifecycle_stage": "former"})
    run_at(later(minutes=3))
    update_contact(contact=late, values={"lifecycle_stage": "customer"})
    run_at(later(minutes=4))
    assert told(late) == [("entered", "customers"), ("left", "customers"), ("entered", "customers")]
    runs = PipelineRun.objects.filter(pipeline=pipeline).order_by("pk")
    assert [run.subject_id for run in runs] == [early.pk, late.pk]


def test_who_comes_back_begins_again_where_the_trigger_says_so(team: Team, run_at: Run) -> None:
    segment, contact = ruled(team), ann(team)
    again = {"type": "segment", "segment": "customers", "reentry": {"release": "on_leave"}}
    pipeline = active(team, [{"type": "wait", "delay": "1m"}], triggers=[again])
    for minute, stage in enumerate(["customer", "former", "customer"]):
        update_contact(contact=contact, values={"lifecycle_stage": stage})
        run_at(later(hours=minute))
        run_at(later(hours=minute, minutes=30))
    assert PipelineRun.objects.filter(pipeline=pipeline).count() == 2 and members(segment) == [contact.pk]


@pytest.mark.parametrize("by", ["bulk", "import of a company", "tag", "custom value of a step"])
def test_whoever_changes_a_contact_membership_follows(team: Team, run_at: Run, by: str) -> None:
    company = Company.objects.create(team=team, name="Acme")
    contact = ann(team, company=company)
    where = {"any": [CUSTOMERS, {"field": "contact.company.industry", "operator": "equals", "value": "Food"},
                     {"field": "contact.tags", "operator": "contains", "value": "VIP"},
                     {"field": "contact.plan", "operator": "equals", "value": "pro"}]}  # fmt: skip
    segment = ruled(team, where)
    run_at(NOON)
    assert members(segment) == []
    match by:
        case "bulk":
            bulk_update_contacts(team=team, ids=[contact.pk], values={"lifecycle_stage": "customer"})
        case "tag":
            bulk_tag(team=team, ids=[contact.pk], names=["VIP"])
        case "import of a company":
            Company.objects.filter(pk=company.pk).update(industry="Food")
        case _:
            step = [{"type": "update_record", "with": {"values": {"plan": "pro"}}}]
            active(team, step, triggers=[{"type": "event", "event": "go"}])
            publish_all([Fact(team.pk, "go", contact_kind().content_type_id, contact.pk)])
    run_at(later(minutes=1))
    assert members(segment) == [contact.pk] and told(contact) == [("entered", "customers")]


def test_days_that_pass_and_events_move_people_too(team: Team, run_at: Run) -> None:
    quiet = ruled(
        team, {"field": "contact.last_interaction", "operator": "not_within_last", "value": "30d"}, key="quiet"
    )
    fans = ruled(team, {"field": 'contact.did["page.seen"].times', "operator": "greater_than", "value": 1}, key="fans")
    contact = ann(team, last_interaction=NOON)
    run_at(NOON)
    assert (members(quiet), members(fans)) == ([], [])
    publish_all([Fact(team.pk, "page.seen", contact_kind().content_type_id, contact.pk) for _ in range(2)])
    run_at(later(days=29))
    assert (members(quiet), members(fans)) == ([], [contact.pk])
    run_at(later(days=30, hours=1))
    assert members(quiet) == [contact.pk]


def test_a_new_rule_is_followed_by_those_who_met_the_old_one(team: Team, run_at: Run) -> None:
    old, new = ann(team, lifecycle_stage="customer"), ann(team, lead_source="fair")
    segment = ruled(team)
    run_at(NOON)
    segment.where = {"field": "contact.name", "operator": "equals", "value": "Ann"}
    segment.save()
    keep_rule(segment, now=later(minutes=1))
    Contact.objects.filter(pk=old.pk).update(first_name="Bob")
    run_at(later(minutes=2))
    assert members(segment) == [new.pk]
    assert (told(old), told(new)) == ([("entered", "customers"), ("left", "customers")], [("entered", "customers")])


def test_lists_tell_as_well_and_nobody_enters_twice(team: Team, run_at: Run) -> None:
    segment, contact = Segment.objects.create(team=team, key="vip", name="VIP"), ann(team)
    pipeline = active(team, HOLD, triggers=[{"type": "segment", "segment": "vip"}])
    for _ in range(2):
        add_members(segment=segment, model=Contact, ids=[contact.pk])
    run_at(NOON)
    remove_members(segment=segment, model=Contact, ids=[contact.pk, 999])
    assert told(contact) == [("entered", "vip"), ("left", "vip")]
    assert PipelineRun.objects.get(pipeline=pipeline).subject_id == contact.pk
    other = ann(team)
    add_members(segment=segment, model=Contact, ids=[other.pk])
    merge_contacts(keep=contact, others=[other], by=None)
    assert told(contact)[2:] == [("entered", "vip")] and members(segment) == [contact.pk]


def test_pipelines_that_start_each_other_through_segments_come_to_an_end(team: Team, run_at: Run) -> None:
    ruled(team)
    back = {"lifecycle_stage": "lead"}
    active(team, [{"type": "update_record", "with": {"values": back}}], key="out",
           triggers=[{"type": "segment", "segment": "customers", "reentry": "always"}])  # fmt: skip
    active(team, [{"type": "update_record", "with": {"values": {"lifecycle_stage": "customer"}}}], key="back_in",
           triggers=[{"type": "event", "event": "segment_left", "reentry": "always"}])  # fmt: skip
    ann(team, lifecycle_stage="customer")
    for minute in range(12):
        run_at(later(minutes=minute))
    assert PipelineRun.objects.count() == 9


def test_a_change_costs_the_same_with_one_segment_and_with_thirty_and_other_teams_cost_nothing(
    team: Team, run_at: Run, django_assert_max_num_queries: Any
) -> None:
    other = Team.objects.create(name="Other", slug="other")
    foreign = ruled(other, True)
    refresh_whole(now=NOON)
    for number in range(30):
        ruled(team, {"field": "contact.tags", "operator": "contains", "value": f"t{number}"}, key=f"s{number}")
        refresh_whole(now=NOON)
        if number in (0, 29):
            for _ in range(1 + number):
                ann(team)
            with django_assert_max_num_queries(11):
                assert refresh_changed(now=NOON).worked
    with django_assert_max_num_queries(6):
        assert not refresh_changed(now=NOON).worked
    assert members(foreign) == []


def test_rules_are_kept_and_tried_through_the_api(team: Team, run_at: Run) -> None:
    api = Api(team)
    ann(team, lifecycle_stage="customer"), ann(team)
    other = Team.objects.create(name="Other", slug="other")
    ann(other, lifecycle_stage="customer")
    assert api.post("segments/preview/", {"where": CUSTOMERS}).json()["count"] == 1
    slow = {"field": "contact.name", "operator": "equals", "value": "Ann"}
    assert api.post("segments/preview/", {"where": slow}).json()["count"] == 2
    answer = api.post("segments/preview/", {"where": {"field": "contakt.x", "operator": "is_empty"}})
    assert answer.status_code == 400 and "unknown name" in answer.json()["errors"][0]["message"]
    never = {"all": [CUSTOMERS, {"field": "contact.did.email_clicked.times", "operator": "equals", "value": "often"}]}
    told = api.post("segments/preview/", {"where": never}).json()
    assert told["count"] == 0
    assert told["warnings"] == [
        "all[1].value: contact.did.email_clicked.times is a number and 'often' is a text: this is never true"
    ]
    made = api.post("segments/", {"key": "customers", "name": "Customers", "where": CUSTOMERS}).json()
    assert made["kind"] == "dynamic"
    run_at(later(days=1))
    found = api.get(f"segments/{made['id']}/").json()
    assert found["count"] == 1 and found["looked_at"]
    refused = api.post(f"segments/{made['id']}/change-members/", {"add": []})
    assert refused.status_code == 400 and "rule" in refused.content.decode()
    assert api.patch(f"segments/{made['id']}/", {"where": None}).status_code == 400
    assert api.patch(f"segments/{made['id']}/", {"where": {"not": CUSTOMERS}}).status_code == 200
    run_at(later(days=2))
    assert api.get(f"segments/{made['id']}/").json()["count"] == 1


def test_a_rule_is_written_in_the_admin_with_who_meets_it(
    team: Team, run_at: Run, client: Client, admin_user: Any
) -> None:
    Member.objects.create(team=team, user=admin_user, role="owner")
    admin_user.is_superuser = False
    admin_user.save()
    client.force_login(admin_user)
    ann(team, lifecycle_stage="customer")
    page = client.get("/admin/contacts/segment/add/").content.decode()
    assert "Contacts who meet a rule" in page and "contact.did.email_clicked.times" in page
    shown = client.post("/admin/contacts/segment/preview/", {"where": json.dumps(CUSTOMERS)}).json()
    assert shown["count"] == 1 and shown["people"][0]["email"] == "ann@example.org"
    assert "problem" in client.post("/admin/contacts/segment/preview/", {"where": "{"}).json()
    form = {"name": "Customers", "key": "customers", "kept_by": "dynamic", "where": ""}
    assert "Say who belongs" in client.post("/admin/contacts/segment/add/", form).content.decode()
    client.post("/admin/contacts/segment/add/", {**form, "where": json.dumps(CUSTOMERS)})
    segment = Segment.objects.get()
    run_at(later(days=1))
    assert segment.is_dynamic and len(members(segment)) == 1
    assert "Rule" in client.get("/admin/contacts/segment/").content.decode()
    page = client.get(f"/admin/contacts/segment/{segment.pk}/change/").content.decode()
    assert "lifecycle_stage" in page and 'name="kept_by"' not in page
    client.post("/admin/contacts/segment/add/", {"name": "VIP", "key": "vip", "kept_by": "static", "where": "{}"})
    assert not Segment.objects.get(key="vip").is_dynamic
