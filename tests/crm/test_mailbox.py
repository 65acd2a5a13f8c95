"""Mail that is captured instead of sent, and the page that shows it."""

import threading
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.test import Client
from pytest_django import Settings

from crm.channels.base import Delivered, Refused
from crm.channels.email import EmailContent, Mailer, build
from crm.models import Member, Team

pytestmark = pytest.mark.django_db
URL = "/admin/mail/captured/"


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DEBUG = True
    settings.EMAIL_BACKEND = "crm.channels.captured.EmailBackend"
    settings.CAPTURED_MAIL_DIR = str(tmp_path / "mail")
    return tmp_path / "mail"


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("root", "root@acme.example", "pw"))
    return client


def _send(**values: Any) -> Any:
    content = EmailContent(**{"to": "ann@acme.example", "subject": "Hello", "text": "Hello Ann", **values})
    mailer = Mailer()
    assert mailer.open() is None
    (result,) = mailer.deliver([build(content)])
    mailer.close()
    return result


def _signed_in(client: Client, role: str) -> Client:
    team = Team.objects.create(name="Acme", slug="acme")
    user = get_user_model().objects.create_user(role, f"{role}@acme.example", "pw")
    Member.objects.create(team=team, user=user, role=role)
    client.force_login(user)
    return client


def test_the_engines_mailer_is_told_that_a_captured_message_was_delivered(folder: Path) -> None:
    assert _send(message_id="<run-1.1.0@acme.example>") == Delivered(reference="<run-1.1.0@acme.example>")
    assert [path.suffix for path in folder.iterdir()] == [".eml"]
    assert folder.stat().st_mode & 0o077 == 0


def test_a_message_that_could_not_be_written_is_definitely_not_delivered(folder: Path) -> None:
    mailer = Mailer()
    mailer.open()
    folder.rmdir()
    folder.write_text("in the way")
    (result,) = mailer.deliver([build(EmailContent(to="ann@acme.example", subject="Hello", text="Hello"))])
    assert isinstance(result, Refused)
    assert not result.permanent


def test_a_folder_that_cannot_be_made_is_a_refusal_before_anything_is_handed_over(folder: Path) -> None:
    folder.write_text("in the way")
    assert isinstance(Mailer().open(), Refused)


def test_messages_written_at_once_do_not_overwrite_each_other(folder: Path, root: Client) -> None:
    threads = [threading.Thread(target=_send, kwargs={"subject": f"Letter {n}"}) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    page = root.get(URL).content.decode()
    assert all(f"Letter {n}<" in page for n in range(20))


def test_mail_of_django_itself_is_captured_too(folder: Path, root: Client) -> None:
    assert send_mail("Password reset", "Follow the link", None, ["ann@acme.example"]) == 1
    assert "Password reset" in root.get(URL).content.decode()


def test_the_newest_message_stands_first_with_its_headers_and_text(folder: Path, root: Client) -> None:
    _send(subject="First")
    _send(subject="Second", text="See https://acme.example/offer\nBye", unsubscribe_url="https://acme.example/u/1/")
    page = root.get(URL).content.decode()
    assert page.index("Second") < page.index("First")
    assert "ann@acme.example" in page
    assert "List-Unsubscribe:" in page
    assert 'href="https://acme.example/offer"' in page


def test_what_a_message_says_is_never_markup_of_the_page(folder: Path, root: Client) -> None:
    _send(subject="<script>alert(1)</script>", text="<img src=x onerror=alert(1)>")
    page = root.get(URL).content.decode()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page


def test_html_stands_in_a_frame_without_rights_and_without_anything_that_acts(folder: Path, root: Client) -> None:
    _send(html='<p style="color:red">Hello</p><script>alert(1)</script><a href="javascript:alert(1)" onclick="x">y</a>')
    page = root.get(URL).content.decode()
    assert "<iframe sandbox" in page
    address = page.split(' src="/admin/mail/captured/')[1].split('"')[0]
    answer = root.get(f"{URL}{address}")
    body = answer.content.decode()
    assert '<p style="color:red">Hello</p>' in body
    assert "script" not in body
    assert "onclick" not in body
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "unsafe-eval" not in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_pages_hold_a_bounded_number_of_messages(folder: Path, root: Client) -> None:
    for number in range(27):
        _send(subject=f"Letter {number}.")
    first, second = (root.get(URL, {"page": page}).content.decode() for page in (1, 2))
    assert "27 messages" in first
    assert "Letter 26." in first
    assert "Letter 1." not in first
    assert "Letter 1." in second


def test_nothing_captured_is_an_empty_page(folder: Path, root: Client) -> None:
    assert "0 messages" in root.get(URL).content.decode()


@pytest.mark.parametrize("name", ["..", "../../etc/passwd", "00000000000000000001-abcdef01.eml", ".x.eml"])
def test_only_files_of_captured_messages_are_shown(folder: Path, root: Client, name: str) -> None:
    folder.mkdir()
    (folder / ".x.eml").write_text("Subject: unfinished")
    assert root.get(f"{URL}{name}/").status_code == 404


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("admin", 200), ("manager", 403), ("member", 403), ("viewer", 403)]
)
def test_only_those_who_run_a_team_may_read_it(folder: Path, client: Client, role: str, status: int) -> None:
    assert _signed_in(client, role).get(URL).status_code == status


def test_strangers_are_sent_to_the_login(folder: Path, client: Client) -> None:
    answer = client.get(URL)
    assert answer.status_code == 302
    assert "/admin/login/" in answer.headers["Location"]


@pytest.mark.parametrize(
    ("name", "value"), [("DEBUG", False), ("EMAIL_BACKEND", "django.core.mail.backends.locmem.EmailBackend")]
)
def test_there_is_no_such_page_where_mail_is_really_sent(
    folder: Path, root: Client, settings: Settings, name: str, value: Any
) -> None:
    setattr(settings, name, value)
    assert root.get(URL).status_code == 404
