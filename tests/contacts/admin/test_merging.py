"""Finding contacts that are one person, and making one of them."""

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.erasing import erase_contact
from contacts.models import Contact, Deal
from contacts.operations import merge_contacts
from crm.consent import Act, subscribe, unsubscribe
from crm.devices import register_device
from crm.models import AuditEntry, ConsentEntry, Device, Message, OptIn, Suppression, Task, Team, Topic
from crm.opt_in import say
from crm.suppression import suppressed
from pipelines.models import PipelineRun
from tests.contacts.conftest import SignIn
from tests.pipelines.engine.building import NOON, active

DUPLICATES = "/admin/contacts/contact/duplicates/"
MERGE = "/admin/contacts/contact/merge/"


@pytest.fixture
def pair(team: Team) -> tuple[Contact, Contact]:
    """Two contacts with one address, of which the second holds everything."""
    active(team, [{"type": "wait", "delay": "1d"}], key="welcome")
    keep = Contact.objects.create(team=team, first_name="Ann", email="same@example.org", custom={"plan": "pro"})
    other = Contact.objects.create(team=team, first_name="Anna", email="Same@example.org", phone="+49 30 1")
    Task.objects.create(team=team, title="Call", subject=other)
    Message.objects.create(team=team, recipient="same@example.org", subject="Hi", about=other, created_at=NOON)
    Deal.objects.create(team=team, title="Big one", contact=other)
    return keep, other


def test_the_merge_page_says_what_will_be_and_changes_nothing(sign_in: SignIn, pair: tuple[Contact, Contact]) -> None:
    keep, other = pair
    client = sign_in()
    assert "same@example.org" in client.get(DUPLICATES).content.decode()
    page = client.get(MERGE, {"id": [keep.pk, other.pk]})
    assert page.context["keep"] == keep
    rows = {row["label"]: (row["value"], row["taken"], row["lost"]) for row in page.context["rows"]}
    assert rows["First name"] == ("Ann", "", "Anna")
    assert rows["Phone"] == ("+49 30 1", f"from number {other.pk}", "")
    assert dict(page.context["moves"]) == {"Runs": 1, "Deals": 1, "Messages": 1, "Tasks": 1, "Devices": 0, "Notes": 0}
    turned = client.get(MERGE, {"id": [keep.pk, other.pk], "keep": [other.pk]})
    assert turned.context["keep"] == other
    assert Contact.objects.count() == 2


def test_merging_moves_everything_and_shows_the_one_that_stays(sign_in: SignIn, pair: tuple[Contact, Contact]) -> None:
    keep, other = pair
    answer = sign_in().post(MERGE, {"id": [keep.pk, other.pk], "keep": keep.pk, "merge": "1"}, follow=True)
    page = answer.content.decode()
    assert answer.redirect_chain[-1][0] == f"/admin/contacts/contact/{keep.pk}/change/"
    for word in ("Big one", "Call", "Hi", "Merged Anna", "2 contacts are one now"):
        assert word in page
    merged = Contact.objects.get()
    assert (merged.pk, merged.first_name, merged.phone, merged.custom) == (keep.pk, "Ann", "+49 30 1", {"plan": "pro"})
    assert set(PipelineRun.objects.values_list("subject_id", flat=True)) == {keep.pk}
    assert AuditEntry.objects.get(action="contacts.merged").details["others"] == [other.pk]


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_merging_is_for_leaders(sign_in: SignIn, pair: tuple[Contact, Contact], role: str) -> None:
    client, ids = sign_in(role), [contact.pk for contact in pair]
    assert client.get(MERGE, {"id": ids}).status_code == 403
    assert client.post(MERGE, {"id": ids, "merge": "1"}).status_code == 403
    assert client.get(DUPLICATES).status_code in (302, 403)
    assert Contact.objects.count() == 2


def test_a_contact_of_another_team_is_not_merged(sign_in: SignIn, pair: tuple[Contact, Contact]) -> None:
    theirs = Contact.objects.create(team=Team.objects.create(name="B", slug="b"), email="same@example.org", phone="666")
    client = sign_in()
    ids = [pair[0].pk, theirs.pk]
    assert client.get(MERGE, {"id": ids})["Location"] == DUPLICATES
    client.post(MERGE, {"id": ids, "keep": theirs.pk, "merge": "1"})
    assert Contact.objects.count() == 3
    assert "666" not in client.get(DUPLICATES).content.decode()


@pytest.mark.parametrize("ids", [[], ["1"], ["x", "y"], ["9" * 30, "1"]])
def test_nonsense_leads_back_to_the_duplicates(sign_in: SignIn, team: Team, ids: Any) -> None:
    client = sign_in()
    assert client.get(MERGE, {"id": ids})["Location"] == DUPLICATES
    assert client.post(MERGE, {"id": ids, "merge": "1"})["Location"] == DUPLICATES


@pytest.fixture
def two_ways(team: Team) -> tuple[Contact, Contact]:
    """One person with two addresses and two numbers."""
    Topic.objects.create(team=team, key="news", name="News")
    keep = Contact.objects.create(team=team, email="ann@example.org", phone="+4915100000001")
    other = Contact.objects.create(team=team, email="Anna@old.example.org", phone="+49 151 00000002")
    return keep, other


def test_what_was_refused_with_the_address_that_goes_is_refused_with_the_one_that_stays(
    team: Team, two_ways: tuple[Contact, Contact]
) -> None:
    keep, other = two_ways
    act = Act(NOON, "preferences page", by_reader=True)
    subscribe(team_id=team.pk, address=keep.email, topic="news", act=act)
    unsubscribe(team_id=team.pk, address=other.email, topic="news", act=act)
    Suppression.objects.create(team=team, address=other.email.lower(), topic="bounces", reason="bounced")
    merge_contacts(keep=keep, others=[other])
    kept = list(Suppression.objects.filter(address=keep.email).values_list("topic", "reason"))
    assert kept == [("news", "unsubscribed")]
    last = ConsentEntry.objects.filter(address=keep.email).latest("pk")
    assert (last.kind, last.topic, last.how) == ("unsubscribed", "news", "merged contacts")
    assert "as with the address that was not kept: News." in keep.activities.get().text


def test_what_an_erased_person_refused_comes_along_when_they_are_back_and_merged(
    team: Team, two_ways: tuple[Contact, Contact]
) -> None:
    keep, other = two_ways
    unsubscribe(team_id=team.pk, address=other.email, topic="news", act=Act(NOON, "page", by_reader=True))
    erase_contact(contact=other)
    back = Contact.objects.create(team=team, email="anna@old.example.org")
    merge_contacts(keep=keep, others=[back])
    assert suppressed(team_id=team.pk, addresses=[keep.email], topic="news") == {keep.email: "unsubscribed"}


def test_consent_with_the_address_that_goes_is_none_with_the_one_that_stays(
    team: Team, two_ways: tuple[Contact, Contact]
) -> None:
    keep, other = two_ways
    act = Act(NOON, "preferences page", by_reader=True)
    unsubscribe(team_id=team.pk, address=keep.email, topic="news", act=act)
    subscribe(team_id=team.pk, address=other.email, topic="news", act=act)
    say(team_id=team.pk, channel="sms", address="+4915100000002", granted=True, source="form", now=NOON)
    merge_contacts(keep=keep, others=[other])
    assert Suppression.objects.filter(address=keep.email, topic="news").exists()
    assert not OptIn.objects.filter(address=keep.phone).exists()


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_a_channel_withdrawn_with_the_number_that_goes_is_withdrawn_with_the_one_that_stays(
    team: Team, two_ways: tuple[Contact, Contact], channel: str
) -> None:
    keep, other = two_ways
    say(team_id=team.pk, channel=channel, address=keep.phone, granted=True, source="form", now=NOON)
    say(team_id=team.pk, channel=channel, address="+4915100000002", granted=False, source="STOP", now=NOON)
    merge_contacts(keep=keep, others=[other])
    choices = OptIn.objects.filter(address=keep.phone).order_by("pk").values_list("channel", "granted", "source")
    assert list(choices) == [(channel, True, "form"), (channel, False, "merged contacts")]
    assert Suppression.objects.filter(address=keep.phone, topic=channel).exists()
    assert "as with the number that was not kept" in keep.activities.get().text


def test_devices_come_along_with_what_was_withdrawn_on_them(team: Team, two_ways: tuple[Contact, Contact]) -> None:
    keep, other = two_ways
    kind = ContentType.objects.get_for_model(Contact).pk
    register_device(team_id=team.pk, about_type_id=kind, about_id=other.pk, now=NOON, token="app-1")
    say(team_id=team.pk, channel="push", address="app-1", granted=False, source="app", now=NOON)
    merged = merge_contacts(keep=keep, others=[Contact.objects.get(pk=other.pk)])
    assert Device.objects.get().about == merged
    assert merged.custom["device_token"] == "app-1"
    assert list(OptIn.objects.values_list("address", "granted")) == [("app-1", False)]


def test_merging_many_refusals_takes_as_many_statements_as_one(team: Team) -> None:
    def statements(count: int) -> int:
        keep = Contact.objects.create(team=team, email=f"ann{count}@example.org")
        other = Contact.objects.create(team=team, email=f"anna{count}@example.org")
        for n in range(count):
            Suppression.objects.create(team=team, address=other.email, topic=f"t{n}", reason="unsubscribed")
        with CaptureQueriesContext(connection) as asked:
            merge_contacts(keep=keep, others=[other])
        assert Suppression.objects.filter(address=keep.email).count() == count
        return len(asked)

    statements(1)
    assert statements(30) == statements(2)
