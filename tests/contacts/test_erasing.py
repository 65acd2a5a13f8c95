"""Who is erased leaves no trace: not in messages, runs, events and webhooks, nor in texts about others."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from contacts.erasing import erase_contact, searched_tables
from contacts.models import Contact, Deal, FieldDefinition
from contacts.operations import add_note
from crm.consent import Act, subscribe, unsubscribe
from crm.erasing import scrub
from crm.holdings import Person, holds_text
from crm.models import AuditEntry, Message, OptIn, Suppression, Task, Team, Topic
from crm.opt_in import say
from crm.suppression import kept_rows, suppressed
from pipelines.models import HookDelivery, PipelineRun, StepExecution
from pipelines.operations.webhooks import make_webhook
from pipelines.states import RunStatus
from pipelines.triggers.hooks import open_hook
from tests.api import Api
from tests.contacts.conftest import SignIn
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run, run_at, smtp
from tests.pipelines.letters.conftest import Desk, desk, gateway
from tests.project.processes import eventually
from tests.sinks.http import HttpSink
from tests.sinks.providers import SmsGateway, post_signed

__all__ = ["desk", "gateway", "run_at", "smtp"]
pytestmark = pytest.mark.django_db
EMAIL, PHONE = "Zelda.Quist@canary.example", "+4915199887766"
# What names the person: the address, the number however it is written, the name, and what they said.
TRACES = ("canary.example", "15199887766", "zelda", "quistwort")
POSTED = {"email": EMAIL, "first_name": "Zelda", "phone": PHONE, "wish": "quistwort"}
HELLO = "Hello {{ contact.first_name }}"


def traces() -> list[str]:
    """Where in the database somebody can still be read, by table and column."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                texts = {name: str(value).lower() for name, value in zip(names, row, strict=True)}
                found |= {f"{table}.{name}" for name, text in texts.items() if any(trace in text for trace in TRACES)}
    return sorted(found)


@pytest.fixture
def web(tmp_path: Path, settings: Settings, desk: Desk) -> Iterator[HttpSink]:
    with HttpSink(tmp_path / "web.jsonl") as sink:
        desk.reach(sink)
        yield sink


@pytest.fixture
def zelda(
    team: Team, desk: Desk, gateway: SmsGateway, web: HttpSink, run_at: Run, smtp: Any, client: Client
) -> Contact:
    """Somebody who signed up, was written to over every channel, answered, and is named in texts about others."""
    make_webhook(team=team, name="Billing", url=f"{web.url}/crm")
    Topic.objects.create(team=team, key="news", name="News", confirm=True)
    steps: list[dict[str, Any]] = [
        {"type": "send_email", "with": {"subject": HELLO, "text": f"{HELLO}: {{{{ contact.email }}}}"}},
        {"type": "send_sms", "with": {"text": HELLO, "topic": "transactional"}},
        {"type": "call_api", "key": "call", "with": {
            "method": "POST", "url": f"{web.url}/x", "body": {"to": "= contact.email", "wish": "= trigger.wish"}}},
        {"type": "notify", "with": {"role": "manager", "title": HELLO, "body": "{{ contact.phone }}"}},
        {"type": "create_task", "with": {"title": "Call {{ contact.first_name }}"}},
        {"type": "human_task", "with": {"title": HELLO, "outcomes": ["yes", "no"], "notify": False}},
    ]  # fmt: skip
    pipeline = active(team, steps, triggers=[{"type": "webhook", "key": "signup"}])
    opened = open_hook(
        trigger=pipeline.triggers.get(), name="Signup", signed=False, topic="news",
        fields={"first_name": "{{ trigger.first_name }}", "phone": "{{ trigger.phone }}"},
    )  # fmt: skip
    path = f"/api/v1/hooks/{opened.token}/"
    answer = client.post(path, json.dumps(POSTED), content_type="application/json", headers={"webhook-id": EMAIL})
    assert answer.status_code == 202
    for minute in range(3):
        run_at(later(minutes=minute))
    contact = Contact.objects.get(email=EMAIL)
    hook = desk.api.get("integrations/").json()["results"][0]["reports_url"]
    post_signed(client, hook, {"From": PHONE, "Body": "quistwort please", "MessageSid": "SMin"})
    about = {"type": "contacts.contact", "id": contact.pk}
    desk.api.post("devices/", {"about": about, "app_token": "canary.example-token"})
    event = {"type": "signup", "email": EMAIL, "key": EMAIL, "payload": {"wish": "quistwort"}}
    assert desk.api.post("events/", event).status_code < 300
    twice = {"HTTP_IDEMPOTENCY_KEY": "once"}
    desk.api.post("subscriptions/", {"address": EMAIL, "topic": "news"}, **twice)
    act = Act(NOON, "form", wording="quistwort")
    subscribe(team_id=team.pk, address=EMAIL, topic="news", act=act)
    unsubscribe(team_id=team.pk, address=EMAIL, topic="marketing", act=act)
    say(team_id=team.pk, channel="sms", address=PHONE, granted=False, source="STOP", now=NOON)
    add_note(subject=contact, team=team, text="quistwort", at=NOON)
    other = Contact.objects.create(team=team, first_name="Bob", custom={"friend": "nobody"})
    add_note(subject=other, team=team, text=f"Knows {EMAIL.upper()}, 0049{PHONE[3:]} or {PHONE}.", at=NOON)
    Deal.objects.create(team=team, title="Big one", contact=contact)
    run_at(later(minutes=5))
    return contact


def test_an_erased_person_is_in_no_table_any_more(team: Team, zelda: Contact, run_at: Run) -> None:
    """The guard of the whole: any table that somebody adds is searched here."""
    before = traces()
    for table in ("crm_message", "pipelines_event", "pipelines_hookdelivery", "pipelines_webhookdelivery",
                  "pipelines_stepexecution", "pipelines_effect", "crm_consententry", "contacts_activity"):  # fmt: skip
        assert [place for place in before if place.startswith(table)], (table, before)
    erase_contact(contact=zelda)
    assert traces() == []
    run_at(later(days=3))
    assert traces() == []


def test_what_was_counted_stays_and_what_waited_does_not_happen(
    team: Team, zelda: Contact, web: HttpSink, run_at: Run
) -> None:
    messages, visits = Message.objects.count(), StepExecution.objects.count()
    pk, posted = zelda.pk, len(web.requests())
    erased = erase_contact(contact=zelda)
    assert erased.counts["runs"] == 1 and erased.counts["webhooks"] >= 1 and erased.counts["texts"] >= 1
    assert (Message.objects.count(), PipelineRun.objects.get().status) == (messages, RunStatus.CANCELLED.value)
    assert StepExecution.objects.count() >= visits
    assert set(Message.objects.values_list("recipient", flat=True)) == {"erased"}
    assert HookDelivery.objects.get().body == {}
    assert Deal.objects.get().contact is None
    run_at(later(days=1))
    # Receivers hear of the deletion by the id, so that they can follow.
    told = [json.loads(each["body"]) for each in web.requests()[posted:]]
    assert {"deleted"} <= {each["type"] for each in told}
    assert all(each["data"]["subject"]["id"] == pk for each in told if each["type"] == "deleted")
    assert AuditEntry.objects.get(action="contacts.erased").target == f"contacts.contact:{pk}"


def test_what_was_refused_stays_refused_without_naming_anybody(team: Team, zelda: Contact) -> None:
    erase_contact(contact=zelda)
    kept = Suppression.objects.values_list("address", flat=True)
    assert kept and all(address.startswith("erased:") for address in kept)
    again = [EMAIL, "somebody@else.example"]
    assert suppressed(team_id=team.pk, addresses=again, topic="marketing") == {EMAIL.lower(): "unsubscribed"}
    assert suppressed(team_id=team.pk, addresses=[PHONE], topic="sms") == {PHONE: "unsubscribed"}
    # They come back by their own hand alone.
    said: dict[str, Any] = {"team_id": team.pk, "address": EMAIL, "topic": "marketing"}
    assert subscribe(**said, act=Act(NOON, "form")) == "off"
    assert subscribe(**said, act=Act(NOON, "page", by_reader=True)) == "on"
    assert suppressed(team_id=team.pk, addresses=[EMAIL], topic="marketing") == {}


def test_what_was_refused_stays_refused_under_a_new_key(team: Team, zelda: Contact, settings: Settings) -> None:
    erase_contact(contact=zelda)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key-of-this-installation-with-enough-characters"
    refused = {EMAIL.lower(): "unsubscribed"}
    assert suppressed(team_id=team.pk, addresses=[EMAIL], topic="marketing") == refused
    assert subscribe(team_id=team.pk, address=EMAIL, topic="marketing", act=Act(NOON, "form")) == "off"
    # They come back and are erased again: one refusal under each key, and both are theirs.
    later_one = Contact.objects.create(team=team, email=EMAIL)
    unsubscribe(team_id=team.pk, address=EMAIL, topic="marketing", act=Act(NOON, "page", by_reader=True))
    erase_contact(contact=later_one)
    assert [row.address for row in kept_rows(team_id=team.pk, addresses=[EMAIL])] == [EMAIL.lower()]
    assert Suppression.objects.filter(topic="marketing").count() == 2
    assert subscribe(team_id=team.pk, address=EMAIL, topic="marketing", act=Act(NOON, "page", by_reader=True)) == "on"
    assert suppressed(team_id=team.pk, addresses=[EMAIL], topic="marketing") == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_what_somebody_writes_while_texts_are_searched_is_not_lost(team: Team) -> None:
    task = Task.objects.create(team=team, title=f"Call {EMAIL}", description="old")
    person = Person(team.pk, 0, 0, frozenset({EMAIL}))

    def search() -> int:
        try:
            return scrub(person, iter([Task.objects.filter(team=team)]))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            Task.objects.filter(pk=task.pk).update(description="new")
            searching = pool.submit(search)

            def it_waits() -> bool:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
                return bool(cursor.fetchone()[0])

            eventually(it_waits)
        assert searching.result() == 1
    task.refresh_from_db()
    assert (task.title, task.description) == ("Call erased", "new")


def test_others_and_other_teams_keep_what_is_theirs(team: Team, zelda: Contact) -> None:
    other = Team.objects.create(name="Globex", slug="globex")
    theirs = Contact.objects.create(team=other, email=EMAIL, phone=PHONE)
    Message.objects.create(team=other, recipient=EMAIL, text="quistwort", about=theirs, created_at=NOON)
    longer = Contact.objects.create(team=team, email=f"x.{EMAIL}")
    Message.objects.create(team=team, recipient=longer.email, subject="Hi", about=longer, created_at=NOON)
    erase_contact(contact=zelda)
    theirs.refresh_from_db()
    assert theirs.email == EMAIL and Message.objects.get(team=other).text == "quistwort"
    assert Message.objects.get(about_id=longer.pk, team=team).recipient == longer.email


def test_a_namesake_is_told_of_and_stays(team: Team) -> None:
    one, two = (Contact.objects.create(team=team, email=EMAIL) for _ in range(2))
    assert erase_contact(contact=one).namesakes == [two.pk]
    assert Contact.objects.get() == two


def test_a_person_erases_after_typing_the_word(sign_in: SignIn, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann", email=EMAIL)
    page = f"/admin/contacts/contact/{contact.pk}/erase/"
    client = sign_in("admin")
    assert "cannot be undone" in client.get(page).content.decode()
    missed = client.post(page, {"word": "yes"})
    assert missed.status_code == 422 and "type the word erase" in missed.content.decode()
    assert "The contact is erased" in client.post(page, {"word": "Erase"}, follow=True).content.decode()
    assert not Contact.objects.exists()


def test_erasing_is_for_admins_and_within_the_team(sign_in: SignIn, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann")
    client = sign_in("manager")
    page = f"/admin/contacts/contact/{contact.pk}/erase/"
    assert client.get(page).status_code == 403 and client.post(page, {"word": "erase"}).status_code == 403
    stranger = Team.objects.create(name="Globex", slug="globex")
    assert Api(stranger).post(f"contacts/{contact.pk}/erase/", {}).status_code == 404
    assert Api(team, role="manager").post(f"contacts/{contact.pk}/erase/", {}).status_code == 403
    erased = Api(team, role="admin").post(f"contacts/{contact.pk}/erase/", {})
    assert erased.status_code == 200 and erased.json()["namesakes"] == []
    assert not Contact.objects.exists()


def test_the_command_erases_everybody_of_an_address(team: Team) -> None:
    for _ in range(2):
        Contact.objects.create(team=team, email=EMAIL)
    out = StringIO()
    call_command("erase_contact", "--team", team.slug, "--email", EMAIL.lower(), "--yes", "--json", stdout=out)
    assert [json.loads(line)["runs"] for line in out.getvalue().splitlines()] == [0, 0]
    assert not Contact.objects.exists()
    with pytest.raises(CommandError, match="no such contact"):
        call_command("erase_contact", "--team", team.slug, "--id", "1", "--yes")


def test_every_table_with_texts_of_people_is_searched_or_named_here(team: Team) -> None:
    """Content of the team, not of people: what its members write down as settings."""
    settings_of_teams = {
        "crm.apikey", "crm.auditentry", "crm.integration", "crm.member", "crm.messagetemplate", "crm.secret",
        "crm.team", "crm.topic",
        "contacts.company", "contacts.fielddefinition", "contacts.recordtype", "contacts.segment",
        "contacts.tag",
        "pipelines.engineworker", "pipelines.enginestate", "pipelines.eventtype", "pipelines.firing",
        "pipelines.hook", "pipelines.pipeline", "pipelines.pipelinerun", "pipelines.pipelinestep",
        "pipelines.pipelineversion", "pipelines.sendingrules", "pipelines.stepcircuit", "pipelines.stepstat",
        "pipelines.trigger",
        "pipelines.webhook", "pipelines.automaticpipeline", "pipelines.goalhit",
    }  # fmt: skip
    # Forgotten by the address, as a whole.
    deleted = {"contacts.contact", "crm.device", "crm.optin", "crm.subscription", "crm.consententry"}
    deleted |= {"crm.suppression"}
    searched = {rows.model._meta.label_lower for rows in searched_tables(team.pk)}
    texts = {
        model._meta.label_lower
        for app in ("crm", "contacts", "pipelines")
        for model in apps.get_app_config(app).get_models()
        if any(holds_text(field) for field in model._meta.concrete_fields)
    }
    assert texts - searched - deleted - settings_of_teams == set()
    assert OptIn._meta.label_lower in deleted


def test_an_address_in_a_field_that_is_marked_as_personal_is_searched_for_too(team: Team) -> None:
    mail = {"model": "contacts.contact", "key": "private_mail", "label": "Private mail", "type": "email"}
    FieldDefinition.objects.create(team=team, personal=True, **mail)
    zelda = Contact.objects.create(team=team, first_name="Z", custom={"private_mail": "Zelda@canary.example"})
    other = Contact.objects.create(team=team, first_name="Bob")
    note = add_note(subject=other, team=team, text="Write to zelda@canary.example instead.")
    erase_contact(contact=zelda)
    note.refresh_from_db()
    assert "canary" not in note.text and traces() == []
