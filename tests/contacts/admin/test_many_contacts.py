"""Many contacts at once: actions and exports."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User

from contacts.models import Contact
from crm.models import AuditEntry, Member, Role, Team
from crm.permissions import LEADERS
from pipelines.models import Pipeline, PipelineRun
from tests.contacts.conftest import SignIn

LIST = "/admin/contacts/contact/"


def some(team: Team, count: int = 3) -> list[Contact]:
    return [Contact.objects.create(team=team, first_name=f"C{n}", email=f"c{n}@example.org") for n in range(count)]


def act(client: Any, name: str, contacts: list[Contact], **more: Any) -> Any:
    return client.post(LIST, {"action": name, "_selected_action": [contact.pk for contact in contacts], **more})


def test_an_action_asks_for_its_value_and_then_does_it(sign_in: SignIn, team: Team) -> None:
    client, contacts = sign_in(), some(team)
    assert b"For 2 contacts" in act(client, "set_stage", contacts[:2]).content
    act(client, "set_stage", contacts[:2], value="customer")
    assert list(Contact.objects.order_by("pk").values_list("lifecycle_stage", flat=True)) == ["customer"] * 2 + ["lead"]
    act(client, "add_tags", contacts, value="vip, news")
    assert Contact.objects.filter(tags__name="vip").count() == 3
    owner = Member.objects.get(role="owner").user
    act(client, "assign_owner", contacts[:1], value=owner.pk)
    assert Contact.objects.get(owner=owner).pk == contacts[0].pk
    assert AuditEntry.objects.filter(action="contacts.set_stage").exists()


def test_all_that_match_a_filter_stay_those_of_the_filter(sign_in: SignIn, team: Team) -> None:
    client, contacts = sign_in(), some(team)
    Contact.objects.filter(pk=contacts[0].pk).update(lifecycle_stage="qualified")
    body = {"action": "add_tags", "select_across": "1", "_selected_action": [contacts[0].pk]}
    asked = client.post(f"{LIST}?lifecycle_stage__exact=qualified", body).content.decode()
    assert "For 1 contact." in asked
    address = re.search(r'action="([^"]*lifecycle_stage[^"]*)"', asked)
    assert address is not None
    client.post(unescape(address[1]), {**body, "value": "vip"})
    assert Contact.objects.get(tags__name="vip").pk == contacts[0].pk


def test_chosen_contacts_are_taken_to_the_merge_page(sign_in: SignIn, team: Team) -> None:
    client, contacts = sign_in(), some(team)
    answer = act(client, "merge_selected", contacts[:2])
    assert answer["Location"].endswith(f"/merge/?id={contacts[0].pk}&id={contacts[1].pk}")
    act(client, "merge_selected", contacts[:1])
    assert b"two to 21 contacts" in client.get(LIST).content


def test_chosen_contacts_are_put_into_a_pipeline(sign_in: SignIn, team: Team, manual: Pipeline) -> None:
    client, contacts = sign_in(), some(team)
    act(client, "enroll_selected", contacts, value=manual.pk)
    assert PipelineRun.objects.filter(pipeline=manual).count() == 3
    act(client, "enroll_selected", contacts, value=manual.pk)
    assert PipelineRun.objects.count() == 3


def test_actions_are_for_leaders_and_for_ones_own_team(sign_in: SignIn, team: Team) -> None:
    contacts = some(team)
    act(sign_in("member"), "set_stage", contacts, value="customer")
    theirs = Contact.objects.create(team=Team.objects.create(name="B", slug="b"), first_name="B")
    act(sign_in("manager"), "set_stage", [theirs], value="customer")
    assert not Contact.objects.filter(lifecycle_stage="customer").exists()


@pytest.mark.parametrize("role", Role.values)
def test_each_action_has_its_permission(sign_in: SignIn, team: Team, manual: Pipeline, role: str) -> None:
    client, contacts = sign_in(role), some(team)
    values = {"set_stage": "customer", "assign_owner": "", "add_tags": "vip", "enroll_selected": str(manual.pk)}
    for name, value in values.items():
        act(client, name, contacts, value=value)
    exported = act(client, "export_selected", contacts)
    asked = act(client, "delete_selected", contacts[:1])
    assert Contact.objects.count() == 3
    act(client, "delete_selected", contacts[:1], post="yes")
    leads = role in LEADERS
    assert exported.streaming == leads and (b"Are you sure" in asked.content) == leads
    assert Contact.objects.filter(lifecycle_stage="customer", tags__name="vip").exists() == leads
    assert PipelineRun.objects.exists() == leads
    assert Contact.objects.count() == (2 if leads else 3)


def test_an_owner_is_a_member_of_the_team(sign_in: SignIn, team: Team) -> None:
    stranger = User.objects.create(username="stranger")
    client, contacts = sign_in(), some(team)
    assert b"not one of the available choices" in act(client, "assign_owner", contacts, value=stranger.pk).content
    assert not Contact.objects.exclude(owner=None).exists()


@pytest.mark.parametrize(
    ("action", "value", "sentence"),
    [
        ("add_tags", " , ", "Name at least one tag."),
        ("add_tags", "x" * 61, "A tag has at most 60 characters"),
        ("set_stage", "", "This field is required."),
        ("set_stage", "emperor", "Select a valid choice."),
        ("enroll_selected", "999999", "Select a valid choice."),
    ],
)
def test_a_wrong_value_is_asked_for_again(
    sign_in: SignIn, team: Team, manual: Pipeline, action: str, value: str, sentence: str
) -> None:
    answer = act(sign_in(), action, some(team), value=value)
    assert sentence in answer.content.decode() and "For 3 contacts." in answer.content.decode()
    assert not Contact.objects.exclude(tags=None).exists() and not PipelineRun.objects.exists()


def test_an_export_runs_no_formula_and_keeps_to_the_choice(sign_in: SignIn, team: Team) -> None:
    contacts = some(team)
    Contact.objects.filter(pk=contacts[0].pk).update(first_name="=1+1")
    answer = act(sign_in(), "export_selected", contacts[:2])
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    assert "'=1+1" in text and "c1@example.org" in text and "c2@example.org" not in text
