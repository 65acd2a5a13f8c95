"""Bringing contacts in from a file, page by page, as a person does."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from contacts.imports.lifecycle import forget_old
from contacts.imports.running import imports_due, work_imports
from contacts.models import Contact, ContactImport, FieldDefinition, ImportMapping, ImportProblem
from crm.models import AuditEntry, Member, Team
from crm.teams import create_team
from pipelines.engine.tick import process_due_runs
from pipelines.models import PipelineRun
from tests.contacts.conftest import SignIn
from tests.contacts.importing import csv_file, newest, numbers_of, work_off
from tests.pipelines.engine.building import active, email

UPLOAD = "/admin/contacts/contact/import/"
MESSY = '''First name,Last name,E-Mail,Company,Stage,Shoe size
Zoë,"O'Brien",zoe@example.org,"Acme, Inc.",customer,38
Jörg,"Müller ""Jo""",joerg@example.org,Acme GmbH,lead,44

Nobody,Wrong,not-an-address,,lead,
Odd,Stage,odd@example.org,,emperor,
Twin,One,ZOE@example.org,,lead,
Too,Many,many@example.org,,lead,1,2,3
'''
TARGETS = ["first_name", "last_name", "email", "company", "lifecycle_stage", "custom.shoe_size"]


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


def bring(client: Client, content: str | bytes) -> str:
    """The address of the import that an upload leads to."""
    answer = client.post(UPLOAD, {"file": csv_file(content)})
    assert answer.status_code == 302
    return str(answer["Location"])


def press(client: Client, page: str, do: str, targets: list[str] | None = None, **more: str) -> str:
    """Press a button with the choices that stand on the page, or with others; the page that follows."""
    row = newest()
    body = {
        "do": do, "target": row.targets if targets is None else targets, "key": row.key,
        "existing": row.existing, "enroll": "yes" if row.enroll else "no",
    }  # fmt: skip
    return str(client.post(page, {**body, **more}, follow=True).content.decode())


def look(client: Client, page: str) -> str:
    return str(client.get(page).content.decode())


def take(client: Client, content: str | bytes, targets: list[str] | None = None, **more: str) -> ContactImport:
    """All the way from the file to the contacts."""
    page = bring(client, content)
    press(client, page, "check", targets, **more)
    work_off()
    press(client, page, "start")
    work_off()
    return newest()


def test_a_messy_file_is_looked_at_and_then_taken(sign_in: SignIn, team: Team) -> None:
    active(team, [email(delay=60)], key="welcome", name="Welcome")
    client = sign_in()
    page = bring(client, MESSY)
    first = look(client, page)
    assert "6 rows" in first and 'value="lifecycle_stage" selected' in first
    assert "Being checked" in press(client, page, "check", TARGETS)
    work_off()
    would = look(client, page)
    for words in ("not-an-address", "emperor", "more cells than the first line", "the same email as line 2"):
        assert words in would
    assert "2 in Welcome" in would and "Import 2 contacts" in would
    assert not Contact.objects.exists() and not PipelineRun.objects.exists()
    assert "Being imported" in press(client, page, "start")
    work_off()
    row = newest()
    assert numbers_of(row) == {"created": 2, "updated": 0, "skipped": 1, "failed": 3, "enrolled": 2}
    zoe = Contact.objects.get(email="zoe@example.org")
    assert (str(zoe), str(zoe.company), zoe.custom) == ("Zoë O'Brien", "Acme, Inc.", {"shoe_size": "38"})
    assert PipelineRun.objects.count() == 2
    assert AuditEntry.objects.get(action="contacts.import").details["created"] == 2
    done = look(client, page)
    assert "Done" in done and "Download rows that were not taken" in done
    answer: Any = client.get(page.replace("change", "errors"))
    report = b"".join(answer.streaming_content).decode("utf-8-sig")
    assert report.splitlines()[0] == '"line","reason","First name","Last name","E-Mail","Company","Stage","Shoe size"'
    assert "not-an-address" in report and len(report.splitlines()) == 5


def test_the_page_tells_how_far_it_is(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    page = bring(client, "Email\na@example.org\n")
    press(client, page, "check")
    told = client.get(page.replace("change", "progress")).json()
    assert (told["state"], told["working"], told["waiting"], told["percent"]) == ("checking", True, True, 0)
    work_off()
    told = client.get(page.replace("change", "progress")).json()
    assert (told["state"], told["working"]) == ("checked", False)


def test_the_engine_works_imports_off_by_itself(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    page = bring(client, "Email\na@example.org\n")
    press(client, page, "check")
    assert process_due_runs().more
    assert newest().state == "checked"


def test_columns_are_remembered_until_they_are_forgotten(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    take(client, "Wer;Wo\nann@example.org;here\n", ["email", "custom.place"])
    # The same titles in another order, spelled otherwise.
    page = bring(client, "WO;wer\nthere;bob@example.org\n")
    assert newest().targets == ["custom.place", "email"]
    assert "As you chose on" in look(client, page)
    press(client, page, "forget_mapping")
    assert newest().targets == ["", ""] and not ImportMapping.objects.exists()
    assert "As you chose on" not in look(client, page)


def test_fields_of_the_team_are_offered_by_their_labels(sign_in: SignIn, team: Team) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="plan", label="Tariff of them")
    client = sign_in()
    shown = look(client, bring(client, "Email,Tariff of them\na@x.org,pro\n"))
    assert '<option value="custom.plan" selected>Tariff of them</option>' in shown


def test_what_one_team_chose_is_not_suggested_to_another(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    take(client, "Wer\nann@example.org\n", ["email"])
    other = create_team(name="Other", slug="other")
    Member.objects.create(team=other, user=Member.objects.get(role="owner").user, role="owner")
    client.post("/admin/team/", {"team": other.pk})
    bring(client, "Wer\nbob@example.org\n")
    assert newest().targets == [""]


def test_columns_that_do_not_fit_are_told(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    page = bring(client, "Wer;Wo\nann@example.org;here\n")
    assert "Choose a column that holds an email" in look(client, page)
    assert "Choose a column that holds an email" in press(client, page, "check", ["", "custom.wo"])
    refused = press(client, page, "check", ["email", "email"])
    assert "both fill email" in refused and refused.count('value="email" selected') == 3
    assert "choose the column that holds it" in press(client, page, "check", ["email", ""], key="phone")
    assert "is no field" in press(client, page, "check", ["password", "email"])
    assert newest().state == "draft"


def test_columns_without_titles_are_told_apart(sign_in: SignIn, team: Team) -> None:
    take(sign_in(), ",,#\nann@example.org,Ann,7\n", ["email", "first_name", ""])
    assert str(Contact.objects.get(email="ann@example.org")) == "Ann"
    assert ImportMapping.objects.get().targets == {"": "email", " #2": "first_name", " #3": ""}


def test_an_export_can_be_taken_back_with_its_custom_values(sign_in: SignIn, team: Team) -> None:
    take(sign_in(), "email,custom.plan,id\nann@example.org,pro,7\n")
    assert Contact.objects.get().custom == {"plan": "pro"}


def test_who_chooses_otherwise_after_the_check_gets_another_check(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    page = bring(client, "Email,City\nann@example.org,Rome\n")
    press(client, page, "check")
    work_off()
    assert "checked again" in press(client, page, "start", ["email", "custom.city"])
    work_off()
    assert newest().state == "checked" and not Contact.objects.exists()
    page_now = look(client, page)
    assert 'value="custom.city" selected' in page_now and "Import 1 contact<" in page_now


def test_nothing_starts_unchecked_or_twice(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    page = bring(client, "Email\nann@example.org\n")
    assert "just checked" in press(client, page, "start")
    press(client, page, "check")
    assert "just checked" in press(client, page, "start")
    work_off()
    press(client, page, "start")
    work_off()
    assert "just checked" in press(client, page, "start")
    assert Contact.objects.count() == 1


def test_an_import_may_be_quiet(sign_in: SignIn, team: Team) -> None:
    active(team, [email(delay=60)], key="welcome")
    row = take(sign_in(), "Email\nq@example.org\n", enroll="no")
    assert Contact.objects.count() == 1 and not PipelineRun.objects.exists()
    assert row.trial["pipelines"] == {}


def test_known_contacts_are_filled_in_or_left_alone(sign_in: SignIn, team: Team) -> None:
    ann = Contact.objects.create(team=team, email="ann@example.org", first_name="Ann", phone="1")
    client = sign_in()
    file = "Email,First name,Phone\nANN@example.org,Anna,\n"
    row = take(client, file, existing="skip")
    ann.refresh_from_db()
    assert ann.first_name == "Ann" and row.trial["skipped"] == 1
    take(client, file, existing="update")
    ann.refresh_from_db()
    assert (ann.first_name, ann.phone) == ("Anna", "1")


def test_only_the_first_rows_are_shown(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    rows = "".join(f"p{n}@example.org\n" for n in range(50))
    page = look(client, bring(client, f"Email\n{rows}"))
    assert "p7@example.org" in page and "p8@example.org" not in page and "50 rows" in page


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"PK\x03\x04zip", b'Email\n"open\n' + b"x" * 200_000])
def test_a_file_that_cannot_be_read_is_refused_and_not_kept(
    sign_in: SignIn, team: Team, media: Path, content: bytes
) -> None:
    answer = sign_in().post(UPLOAD, {"file": csv_file(content)})
    assert answer.status_code == 200 and answer.context["form"].errors
    assert not ContactImport.objects.exists() and not list(media.rglob("*.csv"))


def test_a_file_may_not_be_too_large(sign_in: SignIn, team: Team, settings: Any) -> None:
    settings.IMPORT_MAX_MB = 0
    answer = sign_in().post(UPLOAD, {"file": csv_file("Email\na@x.org\n")})
    assert b"The command import_contacts takes larger ones" in answer.content


def test_an_import_that_is_cancelled_keeps_what_it_took(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    page = bring(client, "Email\n" + "".join(f"p{n}@example.org\n" for n in range(1500)))
    press(client, page, "check")
    work_off()
    press(client, page, "start")
    work_imports(clock=timezone.now, seconds=0)
    assert newest().position == Contact.objects.count() == 1000
    assert "after 1,000 of 1,500 rows" in press(client, page, "cancel")
    work_off()
    assert Contact.objects.count() == 1000
    assert "ended already" in press(client, page, "cancel")


def test_a_file_that_is_gone_fails_the_import_with_a_sentence(sign_in: SignIn, team: Team, media: Path) -> None:
    client = sign_in()
    page = bring(client, "Email\nann@example.org\n")
    press(client, page, "check")
    for path in media.rglob("*.csv"):
        path.unlink()
    work_off()
    assert newest().state == "failed"
    assert "no longer in the storage" in look(client, page)


def test_files_and_refused_rows_are_deleted_after_some_days(
    sign_in: SignIn, team: Team, media: Path, settings: Any
) -> None:
    settings.IMPORT_KEEP_DAYS = 3
    client = sign_in()
    take(client, MESSY)
    bring(client, "Email\nleft@example.org\n")
    now = timezone.now()
    assert forget_old(now=now + timedelta(days=2)) == 0
    assert len(list(media.rglob("*.csv"))) == 2 and ImportProblem.objects.exists()
    assert forget_old(now=now + timedelta(days=4)) == 2
    assert not list(media.rglob("*.csv")) and not ImportProblem.objects.exists()
    states = list(ContactImport.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["done", "cancelled"]
    assert forget_old(now=now + timedelta(days=5)) == 0


def test_a_file_that_cannot_be_deleted_keeps_no_other(
    sign_in: SignIn, media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = sign_in()
    bring(client, "Email\nann@example.org\n")
    stuck = next(iter(media.rglob("*.csv")))
    bring(client, "Email\nbob@example.org\n")
    stuck.unlink()
    (stuck / "not empty").mkdir(parents=True)
    assert forget_old(now=timezone.now() + timedelta(days=400)) == 1
    assert list(media.rglob("*.csv")) == [stuck] and "could not be deleted" in caplog.text


def test_a_file_is_deleted_at_once_when_asked(sign_in: SignIn, team: Team, media: Path) -> None:
    client = sign_in()
    page = bring(client, MESSY)
    press(client, page, "check")
    assert "cancel it first" in press(client, page, "forget_file")
    work_off()
    assert "are deleted" in press(client, page, "forget_file")
    assert newest().state == "cancelled" and not list(media.rglob("*.csv"))


def test_the_imports_of_a_team_are_listed_for_its_leaders_alone(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    page = bring(client, MESSY)
    assert "people.csv" in look(client, "/admin/contacts/contactimport/")
    assert "people.csv" in look(client, UPLOAD)
    other = create_team(name="Other", slug="other")
    Member.objects.create(team=other, user=Member.objects.get(role="owner").user, role="owner")
    client.post("/admin/team/", {"team": other.pk})
    assert "people.csv" not in look(client, "/admin/contacts/contactimport/") + look(client, UPLOAD)
    for path in (page.replace("change", "errors"), page.replace("change", "progress")):
        assert client.get(path).status_code in (403, 404)
    assert press(client, page, "check") and newest().state == "draft"


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_importing_is_for_leaders(sign_in: SignIn, team: Team, role: str) -> None:
    page = bring(sign_in("manager"), MESSY)
    client = sign_in(role)
    assert client.post(UPLOAD, {"file": csv_file(MESSY)}).status_code in (302, 403)
    for path in (page, page.replace("change", "errors"), page.replace("change", "progress")):
        assert client.get(path).status_code == 403
    assert client.post(page, {"do": "check"}).status_code == 403
    assert ContactImport.objects.count() == 1 and not imports_due(timezone.now()).exists()
