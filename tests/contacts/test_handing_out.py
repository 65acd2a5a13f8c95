"""Who asks what is held of them gets all of it, by the map that erasing goes by, and nothing of others."""

import io
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.erasing import person_of
from contacts.handing_out import hand_out, json_pieces
from contacts.holdings import all_holdings
from contacts.models import Contact, Record, RecordType
from contacts.operations import add_note
from crm.models import AuditEntry, Message, Team
from tests.contacts.conftest import SignIn
from tests.contacts.test_erasing import (
    EMAIL,
    PHONE,
    desk,
    gateway,
    run_at,
    smtp,
    traces,
    web,
    zelda,
)
from tests.pipelines.engine.building import NOON

__all__ = ["desk", "gateway", "run_at", "smtp", "web", "zelda"]
pytestmark = pytest.mark.django_db


def handed_out(*arguments: str) -> Any:
    out = io.StringIO()
    call_command("export_person", *arguments, stdout=out)
    return json.loads(out.getvalue())


def test_everything_that_can_be_read_of_a_person_is_handed_out(team: Team, zelda: Contact) -> None:
    """The guard of the whole: each table in which a trace is found is handed out, or told as naming the person."""
    person = person_of(zelda)
    found = handed_out(EMAIL.lower(), "--team", team.slug)
    tables = {rows.model._meta.db_table for name, rows in all_holdings(person).items() if found["holds"][name]}
    tables |= {apps.get_model(label)._meta.db_table for label in found["mentions"]}
    assert {place.partition(".")[0] for place in traces()} - tables == set()
    holds = found["holds"]
    (contact,) = holds["contact"]
    assert (contact["email"], contact["phone"], contact["first_name"]) == (EMAIL, PHONE, "Zelda")
    assert {row["channel"] for row in holds["messages"]} >= {"email", "sms"}
    expected = (
        "events runs memory visits effects forms tasks consents opt_ins deals suppressions activities devices"
        " incoming_webhooks outgoing_webhooks"
    )
    assert [name for name in expected.split() if not holds[name]] == []
    assert holds["memory"][0]["trigger"]["wish"] == "quistwort"
    assert holds["runs"][0]["subject_type_id"] == "contacts.contact"
    assert AuditEntry.objects.get(action="contacts.handed_out").target == f"contacts.contact:{zelda.pk}"


def test_credentials_of_the_team_are_not_handed_out(team: Team, zelda: Contact) -> None:
    calls = [row for row in handed_out(str(zelda.pk), "--team", team.slug)["holds"]["effects"] if row["kind"] == "http"]
    assert calls and all("url" in row["payload"] and "headers" not in row["payload"] for row in calls)


def test_what_is_of_others_stays_with_them(team: Team, zelda: Contact) -> None:
    other = Team.objects.create(name="Globex", slug="globex")
    theirs = Contact.objects.create(team=other, email=EMAIL)
    Message.objects.create(team=other, recipient=EMAIL, text="of globex", about=theirs, created_at=NOON)
    longer = Contact.objects.create(team=team, email=f"x.{EMAIL}")
    add_note(subject=longer, team=team, text=f"Writes from x.{EMAIL}", at=NOON)
    about_bob = Contact.objects.get(first_name="Bob")
    found = handed_out(str(zelda.pk), "--team", team.slug)
    text = json.dumps(found)
    assert "of globex" not in text and f"x.{EMAIL}" not in text and "Knows" not in text
    # A note about Bob names her: that it is there is told, and a person looks whether it may be given.
    assert found["mentions"]["contacts.activity"] == [about_bob.activities.get().pk]


def test_a_record_that_names_the_person_is_handed_out(team: Team) -> None:
    zelda = Contact.objects.create(team=team, email=EMAIL)
    kind = RecordType.objects.create(team=team, key="order", label="Order")
    for address in (EMAIL, f"x.{EMAIL}"):
        Record.objects.create(team=team, type=kind, values={"customer": address})
    (record,) = handed_out(str(zelda.pk), "--team", team.slug)["holds"]["records"]
    assert record["values"] == {"customer": EMAIL}


def test_a_busy_person_costs_as_many_statements_as_a_quiet_one(team: Team) -> None:
    def cost(contact: Contact) -> int:
        with CaptureQueriesContext(connection) as asked:
            "".join(json_pieces(hand_out(contact=contact)))
        return len(asked)

    quiet, busy = (Contact.objects.create(team=team, email=f"{name}@canary.example") for name in ("quiet", "busy"))
    for number in range(20):
        Message.objects.create(team=team, recipient=busy.email, text="Hello", about=busy, created_at=NOON)
        add_note(subject=busy, team=team, text=f"Note {number}", at=NOON)
    cost(quiet)
    assert cost(busy) <= cost(quiet) < 120


def test_the_archive_has_the_data_and_a_page_and_is_for_its_owner(team: Team, tmp_path: Path) -> None:
    contact = Contact.objects.create(team=team, first_name="<Ann>", email=EMAIL)
    told = handed_out(EMAIL, "--team", team.slug, "--out", str(tmp_path / "ann.zip"), "--json")
    assert told["contact"] == contact.pk and told["counts"]["contact"] == 1
    assert stat.S_IMODE((tmp_path / "ann.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile(tmp_path / "ann.zip") as archive:
        assert json.loads(archive.read("person.json"))["format"] == "crm.person/1"
        page = archive.read("person.html").decode()
    assert EMAIL in page and "&lt;Ann&gt;" in page and "<Ann>" not in page
    with pytest.raises(CommandError, match="there already"):
        handed_out(EMAIL, "--team", team.slug, "--out", str(tmp_path / "ann.zip"))


def test_somebody_must_be_named_and_only_one(team: Team) -> None:
    ids = [Contact.objects.create(team=team, email=EMAIL).pk for _ in range(2)]
    with pytest.raises(CommandError, match=f"name one of {ids[0]}, {ids[1]}"):
        handed_out(EMAIL, "--team", team.slug)
    assert handed_out(str(ids[0]), "--team", team.slug)["namesakes"] == [ids[1]]
    for who, where in (("nobody@canary.example", team.slug), (EMAIL, "nowhere")):
        with pytest.raises(CommandError, match="There is no"):
            handed_out(who, "--team", where)


def test_admins_download_it_from_the_page_of_the_contact(sign_in: SignIn, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann", email=EMAIL)
    page = f"/admin/contacts/contact/{contact.pk}/hand-out/"
    assert sign_in("manager").get(page).status_code == 403
    assert not AuditEntry.objects.filter(action="contacts.handed_out").exists()
    admin = sign_in("admin")
    assert "Hand out data" in admin.get(f"/admin/contacts/contact/{contact.pk}/change/").content.decode()
    answer = admin.get(page)
    with zipfile.ZipFile(io.BytesIO(answer.getvalue())) as archive:
        assert json.loads(archive.read("person.json"))["contact"] == contact.pk
    assert "no-store" in answer["Cache-Control"]
    assert AuditEntry.objects.get(action="contacts.handed_out").actor is not None
    stranger = Contact.objects.create(team=Team.objects.create(name="Globex", slug="globex"), first_name="Bob")
    assert admin.get(f"/admin/contacts/contact/{stranger.pk}/hand-out/").status_code in (302, 404)


# What points somewhere and still holds nothing of a person; everything else must be in the map.
NOTHING_OF_A_PERSON = {
    "contacts.company": "the postal address of a company",
    "contacts.segmentchange": "gone when segments have been looked at",
    "contacts.contact_tags": "handed out with the contact",
    "pipelines.pipeline": "which kind of records it is about",
    "pipelines.stepfailure": "numbers by which a circuit opens, gone within the hour",
    "pipelines.engineworker": "where a process stands at the moment",
    "pipelines.lanestrike": "which run a process died with",
}
LINKS = {"contact_id", "subject_id", "about_id", "run_id", "address", "recipient", "target", "who", "lane_run_id"}


def test_every_table_with_a_link_to_a_person_is_in_the_map(team: Team) -> None:
    person = person_of(Contact.objects.create(team=team, email=EMAIL))
    mapped = {rows.model for rows in all_holdings(person).values()}
    linked = {
        model._meta.label_lower
        for app in ("crm", "contacts", "pipelines")
        for model in apps.get_app_config(app).get_models(include_auto_created=True)
        if not model._meta.proxy and model not in mapped and _links(model, mapped)
    }
    assert linked == set(NOTHING_OF_A_PERSON)


def _links(model: Any, mapped: set[Any]) -> bool:
    """By a key to something in the map, a generic relation, or a number that is named like one."""
    return any(
        each.attname in LINKS or each.name in LINKS or each.related_model in mapped
        or (each.related_model is ContentType and each.name.endswith("_type"))
        for each in model._meta.concrete_fields
    )  # fmt: skip
