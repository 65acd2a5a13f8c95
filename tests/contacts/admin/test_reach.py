"""The page of a contact says of each channel whether it may be used, and why."""

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags
from pytest_django import Settings

from contacts.erasing import erase_contact
from contacts.models import Contact
from crm.consent import Act, subscribe, unsubscribe
from crm.devices import register_device, targets_of
from crm.models import Integration, Message, Suppression, Team, Topic
from crm.opt_in import say
from tests.contacts.conftest import SignIn
from tests.pipelines.engine.building import NOON

NUMBER = "+4915112345678"


@pytest.fixture(autouse=True)
def nobody_sends(settings: Settings) -> None:
    settings.MESSAGE_CHANNELS = {}


@pytest.fixture
def ann(team: Team) -> Contact:
    return Contact.objects.create(team=team, first_name="Ann", email="Ann@example.org", phone=NUMBER)


@pytest.fixture
def client(sign_in: SignIn) -> Client:
    return sign_in("manager")


def reach(client: Client, contact: Contact) -> str:
    page = client.get(f"/admin/contacts/contact/{contact.pk}/change/").content.decode()
    _, found, rest = page.partition("Reach and consent")
    return " ".join(strip_tags(rest.partition("</section>")[0]).split()) if found else ""


def channel(team: Team, provider: str, **more: Any) -> Integration:
    return Integration.objects.create(team=team, provider=provider, **more)


def device(contact: Contact, token: str) -> None:
    kind = ContentType.objects.get_for_model(Contact).pk
    register_device(team_id=contact.team_id, about_type_id=kind, about_id=contact.pk, now=NOON, token=token)


def test_who_has_neither_address_nor_number_nor_device_is_not_reached(client: Client, team: Team) -> None:
    told = reach(client, Contact.objects.create(team=team, first_name="Ann"))
    for sentence in ("Email No email address.", "SMS No phone number.", "WhatsApp No phone", "Push No device is"):
        assert sentence in told


def test_mail_goes_for_topics_that_nothing_keeps(client: Client, team: Team, ann: Contact) -> None:
    assert "Email Yes, for every topic." in reach(client, ann)
    Topic.objects.create(team=team, key="news", name="News")
    Topic.objects.create(team=team, key="tips", name="Tips", confirm=True)
    subscribe(team_id=team.pk, address=ann.email, topic="tips", act=Act(NOON, "form"))
    told = reach(client, ann)
    assert "Yes, for News (not Tips: has not confirmed the subscription to this topic yet)." in told
    assert "Tips waits for confirmation" in told
    Suppression.objects.create(team=team, address="ann@example.org", reason="bounced", source="mail server")
    told = reach(client, ann)
    assert "Email No: bounced on" in told and "(mail server). Nothing is sent to this address." in told
    assert "ann@example.org: everything" in told


def test_somebody_erased_who_comes_back_is_told_to_have_refused(client: Client, team: Team, ann: Contact) -> None:
    unsubscribe(team_id=team.pk, address=ann.email, topic="", act=Act(NOON, "page", by_reader=True))
    say(team_id=team.pk, channel="sms", address=NUMBER, granted=False, source="STOP", now=NOON)
    erase_contact(contact=ann)
    told = reach(client, Contact.objects.create(team=team, email="ann@example.org", phone=NUMBER))
    assert "Email No: unsubscribed on" in told and "SMS No: unsubscribed on" in told
    assert "ann@example.org: everything" in told


def test_a_number_needs_a_channel_and_consent(client: Client, team: Team, ann: Contact) -> None:
    assert "SMS No: this team has nothing that carries SMS; add it under Channels." in reach(client, ann)
    channel(team, "twilio")
    assert "SMS No: has not agreed to get SMS." in reach(client, ann)
    say(team_id=team.pk, channel="sms", address=NUMBER, granted=True, source="checkout", now=NOON)
    assert f"SMS Yes: agreed on {NOON:%-d %B %Y} (checkout)." in reach(client, ann)
    say(team_id=team.pk, channel="sms", address=NUMBER, granted=False, source="STOP by reply", now=NOON)
    assert "SMS No: unsubscribed on" in reach(client, ann)
    channel(team, "whatsapp_cloud", asks_consent=False)
    assert "WhatsApp Yes: this channel does not ask for consent." in reach(client, ann)


def test_a_number_without_a_country_gets_that_of_the_channel_or_none(client: Client, team: Team, ann: Contact) -> None:
    Contact.objects.filter(pk=ann.pk).update(phone="0151 12345678")
    made = channel(team, "twilio", asks_consent=False)
    assert "SMS No: 0151 12345678 has no country: write it as +4915112345678" in reach(client, ann)
    made.options = {"country": "+49"}
    made.save()
    assert "SMS Yes" in reach(client, ann)


def test_devices_are_listed_and_one_on_which_push_was_withdrawn_says_so(
    client: Client, team: Team, ann: Contact
) -> None:
    channel(team, "fcm")
    device(ann, "app-phone")
    device(ann, "app-laptop")
    assert "Push Yes: 2 devices; who registers one agrees." in reach(client, ann)
    say(team_id=team.pk, channel="push", address="app-laptop", granted=False, source="app", now=NOON)
    told = reach(client, ann)
    assert "Push Yes: 1 device; who registers one agrees." in told and told.count("withdrawn ·") == 1
    say(team_id=team.pk, channel="push", address="app-phone", granted=False, source="app", now=NOON)
    assert "Push No: withdrawn on every device." in reach(client, ann)


@pytest.mark.parametrize(("topic", "reached"), [("push", ["app-phone"]), ("", ["app-laptop", "app-phone"])])
def test_a_message_leaves_out_devices_on_which_it_was_withdrawn(
    team: Team, ann: Contact, topic: str, reached: list[str]
) -> None:
    device(ann, "app-phone")
    device(ann, "app-laptop")
    say(team_id=team.pk, channel="push", address="app-laptop", granted=False, source="app", now=NOON)
    message = Message(team=team, channel="push", recipient="app-phone", topic=topic, headers={}, pk=1)
    assert sorted(target.token for target in targets_of([message])[1]) == reached


def test_it_is_for_those_who_may_see_consents_and_costs_the_same_for_many_rows(
    sign_in: SignIn, team: Team, ann: Contact
) -> None:
    assert reach(sign_in("member"), ann) == ""
    client, costs = sign_in("manager"), []
    for numbers in (range(1), range(1, 6)):
        for number in numbers:
            device(ann, f"app-{number}")
            Topic.objects.create(team=team, key=f"t{number}", name=f"T{number}")
            Suppression.objects.create(team=team, address="ann@example.org", topic=f"t{number}")
            say(team_id=team.pk, channel="push", address=f"app-{number}", granted=False, source="app", now=NOON)
        reach(client, ann)
        with CaptureQueriesContext(connection) as queries:
            reach(client, ann)
        costs.append(len(queries))
    assert costs[0] == costs[1] < 60
