"""Bringing contacts in from a file, page by page, as a person does."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from contacts.admin import importing
from contacts.models import Contact
from crm.models import AuditEntry, Member, Team
from crm.teams import create_team
from pipelines.models import PipelineRun
from tests.contacts.conftest import SignIn
from tests.pipelines.engine.building import active, email

PAGE = "/admin/contacts/contact/import/"
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


def upload(client: Client, content: bytes) -> Any:
    return client.post(PAGE, {"file": SimpleUploadedFile("people.csv", content, content_type="text/csv")})


def token_of(page: Any) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', page.content.decode())
    assert found is not None
    return found[1]


def take(client: Client, token: str, targets: list[str], **more: str) -> str:
    body = {"token": token, "target": targets, "enroll": "yes", "existing": "update", "import": "1"}
    return str(client.post(PAGE, {**body, **more}).content.decode())


def numbers(page: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"<dt>([\w ]+)</dt><dd>(\d+)</dd>", page)}


def test_a_messy_file_is_looked_at_and_then_taken(sign_in: SignIn, team: Team, media: Path) -> None:
    active(team, [email(delay=60)], key="welcome")
    client = sign_in()
    page = upload(client, MESSY.encode())
    text = page.content.decode()
    assert numbers(text) == {"Created": 2, "Updated": 0, "Skipped": 1, "Errors": 3}
    for words in ("not-an-address", "emperor", "more cells than the first line", "the same email as line 2"):
        assert words in text
    assert not Contact.objects.exists()
    done = take(client, token_of(page), TARGETS)
    assert numbers(done) == {"Created": 2, "Updated": 0, "Skipped": 1, "Errors": 3, "Runs started": 2}
    zoe = Contact.objects.get(email="zoe@example.org")
    assert (str(zoe), str(zoe.company), zoe.custom) == ("Zoë O'Brien", "Acme, Inc.", {"shoe_size": "38"})
    assert PipelineRun.objects.count() == 2
    assert AuditEntry.objects.get(action="contacts.import").details["created"] == 2
    errors = re.search(r'href="([^"]*import/errors/[^"]*)"', done)
    assert errors is not None
    assert "not-an-address" in client.get(errors[1]).content.decode()
    assert [path.name.partition("-")[0] for path in media.rglob("*.csv")] == ["errors"]


def test_a_file_serves_its_owner_in_its_team_only(sign_in: SignIn, team: Team) -> None:
    mine = sign_in()
    token = token_of(upload(mine, MESSY.encode()))
    assert "no longer here" in take(sign_in("manager"), token, TARGETS)
    other = create_team(name="Other", slug="other")
    owner = Member.objects.get(role="owner").user
    Member.objects.create(team=other, user=owner, role="owner")
    mine.post("/admin/team/", {"team": other.pk})
    assert "no longer here" in take(mine, token, TARGETS)
    assert not Contact.objects.exists()


def test_the_file_of_an_earlier_tab_is_not_taken_for_the_later_one(sign_in: SignIn, team: Team, media: Path) -> None:
    client = sign_in()
    earlier = token_of(upload(client, b"Email\na@example.org\n"))
    later = token_of(upload(client, b"Email\nb@example.org\n"))
    assert len(list(media.rglob("*.csv"))) == 1
    assert "no longer here" in take(client, earlier, ["email"])
    take(client, later, ["email"])
    assert "no longer here" in take(client, later, ["email"])
    assert Contact.objects.get().email == "b@example.org"


def test_columns_that_nobody_knows_are_told_by_hand(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    page = upload(client, b"Wer;Wo\nann@example.org;here\n")
    assert "No title of a column is known" in page.content.decode()
    token = token_of(page)
    assert "Choose a column that holds an email" in take(client, token, ["", "custom.wo"])
    assert "both fill email" in (refused := take(client, token, ["email", "email"]))
    assert refused.count('value="email" selected') == 2
    take(client, token, ["email", "custom.wo"])
    assert Contact.objects.get().custom == {"wo": "here"}


def test_columns_without_titles_are_told_apart(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    token = token_of(upload(client, b",,#\nann@example.org,Ann,7\n"))
    take(client, token, ["email", "first_name", ""])
    assert str(Contact.objects.get(email="ann@example.org")) == "Ann"


def test_an_export_can_be_taken_back_with_its_custom_values(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    page = upload(client, b"email,custom.plan,id\nann@example.org,pro,7\n")
    assert 'value="custom.plan" selected' in page.content.decode()
    take(client, token_of(page), ["email", "custom.plan", ""])
    assert Contact.objects.get().custom == {"plan": "pro"}


def test_choices_stay_while_the_columns_are_corrected(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    Contact.objects.create(team=team, email="ann@example.org")
    token = token_of(upload(client, b"Email,City\nann@example.org,Rome\n"))
    body = {"token": token, "target": ["email", "custom.city"], "enroll": "no", "existing": "skip"}
    page = client.post(PAGE, body).content.decode()
    assert numbers(page)["Skipped"] == 1
    assert 'value="no" checked' in page and 'value="skip" checked' in page and 'value="custom.city" selected' in page


def test_an_import_may_be_quiet(sign_in: SignIn, team: Team) -> None:
    active(team, [email(delay=60)], key="welcome")
    client = sign_in()
    take(client, token_of(upload(client, b"Email\nq@example.org\n")), ["email"], enroll="no")
    assert Contact.objects.count() == 1 and not PipelineRun.objects.exists()


def test_known_contacts_are_filled_in_or_left_alone(sign_in: SignIn, team: Team) -> None:
    ann = Contact.objects.create(team=team, email="ann@example.org", first_name="Ann", phone="1")
    client = sign_in()
    file = b"Email,First name,Phone\nANN@example.org,Anna,\n"
    targets = ["email", "first_name", "phone"]
    take(client, token_of(upload(client, file)), targets, existing="skip")
    ann.refresh_from_db()
    assert ann.first_name == "Ann"
    take(client, token_of(upload(client, file)), targets)
    ann.refresh_from_db()
    assert (ann.first_name, ann.phone) == ("Anna", "1")


def test_only_the_first_rows_are_shown(sign_in: SignIn, team: Team) -> None:
    rows = "".join(f"p{n}@example.org\n" for n in range(50))
    page = upload(sign_in(), f"Email\n{rows}".encode()).content.decode()
    assert "p7@example.org" in page and "p8@example.org" not in page and "50 rows" in page


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"PK\x03\x04zip", b'Email\n"open\n' + b"x" * 200_000])
def test_a_file_that_cannot_be_read_is_refused_with_a_sentence(sign_in: SignIn, team: Team, content: bytes) -> None:
    answer = upload(sign_in(), content)
    assert answer.status_code == 200 and answer.context["form"].errors


def test_a_file_may_not_be_too_long(sign_in: SignIn, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MOST_ROWS", 2)
    client = sign_in()
    assert b"3 rows; 2 can be imported here" in upload(client, b"Email\na@x.org\nb@x.org\nc@x.org\n").content
    monkeypatch.setattr(importing, "LARGEST", 5)
    assert b"The command import_contacts takes larger ones" in upload(client, b"Email\na@x.org\n").content


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_importing_is_for_leaders(sign_in: SignIn, team: Team, role: str) -> None:
    client = sign_in(role)
    assert upload(client, MESSY.encode()).status_code in (302, 403)
    assert client.get(f"{PAGE}errors/{'0' * 32}/").status_code == 403


def test_a_download_of_nothing_is_not_there(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    for token in ("0" * 32, "nothing", ".."):
        assert client.get(f"{PAGE}errors/{token}/").status_code == 404
