"""Files that mail may carry: kept by those who write templates, seen by their team alone."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from crm.files import LARGEST, files_of
from crm.models import AuditEntry, Member, Team
from crm.teams import create_team

PAGE = "/admin/files/"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def a_storage_of_its_own(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = str(tmp_path)


@pytest.fixture
def team() -> Team:
    return create_team(name="Acme", slug="acme")


def signed_in(team: Team, role: str = "manager") -> Client:
    user = User.objects.create_user(f"{role}@{team.slug}.example", is_staff=True)
    Member.objects.create(team=team, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def upload(client: Client, name: str = "secret.pdf", content: bytes = b"%PDF-1") -> str:
    """The page after an upload."""
    answer = client.post(PAGE, {"file": SimpleUploadedFile(name, content)}, follow=True)
    return answer.content.decode()


def test_an_uploaded_file_is_listed_read_back_and_deleted(team: Team, tmp_path: Path) -> None:
    client = signed_in(team)
    assert "secret.pdf" in upload(client)
    assert (tmp_path / "attachments" / "acme" / "secret.pdf").read_bytes() == b"%PDF-1"
    answer = client.get(f"{PAGE}download/", {"name": "secret.pdf"})
    assert b"".join(answer.streaming_content) == b"%PDF-1"  # type: ignore[attr-defined]
    page = client.post(f"{PAGE}delete/", {"name": "secret.pdf"}, follow=True).content.decode()
    assert "secret.pdf is deleted" in page and "No file yet" in page
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {"files.added", "files.deleted"}


def test_a_file_that_acts_in_browsers_is_never_shown_in_place(team: Team) -> None:
    client = signed_in(team)
    upload(client, "page.html", b"<script>alert(1)</script>")
    answer = client.get(f"{PAGE}download/", {"name": "page.html"})
    answer.close()
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Type"] == "application/octet-stream" and answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../evil.txt", "evil.txt"), ("C:\\temp\\a b.txt", "a_b.txt"), (".htaccess", "htaccess"), ("<b>.txt", "b.txt")],
)
def test_a_name_leads_nowhere_else(team: Team, name: str, kept: str) -> None:
    given = SimpleUploadedFile("x", b"x")
    given.__dict__["_name"] = name  # past the cleaning of Django, as another storage might let it through
    client = signed_in(team)
    client.post(PAGE, {"file": given})
    assert [file.name for file in files_of(team)] == [kept]


def test_what_is_too_large_empty_or_there_already_is_refused_with_a_sentence(team: Team) -> None:
    client = signed_in(team)
    assert "at most 10" in upload(client, "big.bin", b"x" * (LARGEST + 1))
    assert "empty" in upload(client, "none.txt", b"")
    upload(client)
    assert "There is a file secret.pdf already" in upload(client, content=b"other")
    assert [file.size for file in files_of(team)] == [6]


@pytest.mark.parametrize("name", ["secret.pdf", "../acme/secret.pdf", "/secret.pdf", "..", "", "a\x00b", "../../x"])
def test_another_team_neither_sees_nor_deletes_it(team: Team, name: str) -> None:
    upload(signed_in(team))
    stranger = signed_in(create_team(name="Other", slug="other"), "owner")
    assert "secret.pdf" not in stranger.get(PAGE).content.decode()
    assert stranger.get(f"{PAGE}download/", {"name": name}).status_code == 404
    assert "no such file" in stranger.post(f"{PAGE}delete/", {"name": name}, follow=True).content.decode()
    assert len(files_of(team)) == 1


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_those_who_do_not_write_templates_look_and_change_nothing(team: Team, role: str) -> None:
    upload(signed_in(team))
    client = signed_in(team, role)
    assert client.get(PAGE).status_code == 200
    assert client.post(PAGE, {"file": SimpleUploadedFile("a.txt", b"a")}).status_code == 403
    assert client.post(f"{PAGE}delete/", {"name": "secret.pdf"}).status_code == 403
    assert len(files_of(team)) == 1


def test_a_link_or_a_foreign_form_deletes_nothing(team: Team) -> None:
    client = signed_in(team)
    upload(client)
    assert client.get(f"{PAGE}delete/", {"name": "secret.pdf"}).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert strict.post(f"{PAGE}delete/", {"name": "secret.pdf"}).status_code == 403
    assert Client().get(PAGE).status_code == 302
    assert len(files_of(team)) == 1
