"""Doors of the installation: logins, headers, forms, error pages, keys, the queue's pages."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from contacts.models import Contact
from crm.models import ApiKey, AuditEntry, Member, Suppression, Team
from crm.models.api_key import hash_token
from crm.unsubscribe import unsubscribe_url
from tests.api import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team.objects.create(name="Acme", slug="acme")


@pytest.fixture
def owner(team: Team) -> User:
    user = User.objects.create_user("ann", email="ann@acme.example", password="right-horse", is_staff=True)
    Member.objects.create(team=team, user=user, role="owner")
    return user


def log_in(client: Client, password: str, *, username: str = "ann", address: str = "10.0.0.1") -> bool:
    answer = client.post("/admin/login/", {"username": username, "password": password}, REMOTE_ADDR=address)
    return answer.status_code == 302


def test_guessing_is_slowed_down_and_nobody_is_locked_out_for_good(owner: User, settings: Settings) -> None:
    settings.LOGIN_ATTEMPTS_PER_ACCOUNT = 3
    assert log_in(Client(), "right-horse", address="10.0.0.9")
    for _ in range(3):
        assert not log_in(Client(), "wrong")
    assert not log_in(Client(), "right-horse")
    assert log_in(Client(), "right-horse", address="10.0.0.9")
    assert AuditEntry.objects.filter(action="login.failed").exists()


def test_one_address_cannot_try_many_accounts(owner: User, settings: Settings) -> None:
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 5
    for number in range(5):
        log_in(Client(), "wrong", username=f"user{number}")
    assert not log_in(Client(), "right-horse")
    assert log_in(Client(), "right-horse", address="10.0.0.2")


def test_an_unknown_name_and_a_wrong_password_read_alike(owner: User) -> None:
    pages = [
        Client().post("/admin/login/", {"username": name, "password": "wrong"}).content.decode()
        for name in ("ann", "bob")
    ]
    texts = [re.sub(r"value=\"[^\"]*\"|nonce[^>]*", "", page).replace("ann", "#").replace("bob", "#") for page in pages]
    assert texts[0] == texts[1]


def test_a_login_gets_a_new_session(owner: User) -> None:
    client = Client()
    client.get("/admin/login/")
    session = client.session
    session["kept"] = True
    session.save()
    before = session.session_key
    assert log_in(client, "right-horse")
    assert client.session.session_key != before


@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/contacts/", "/u/nonsense/", "/health/live/", "/nothing/"])
def test_every_answer_carries_the_headers(path: str) -> None:
    answer = Client().get(path)
    policy = answer["Content-Security-Policy"]
    for part in ("object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "default-src 'none'"):
        assert part in policy
    assert ("unsafe-inline" in policy) == path.startswith("/admin/")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"


def test_the_icon_is_where_browsers_look_for_it() -> None:
    answer = Client().get("/favicon.ico")
    assert answer.status_code == 302 and "max-age" in answer["Cache-Control"]
    assert finders.find(answer["Location"].removeprefix("/static/"))
    for path in ("/admin/login/", "/u/nonsense/"):
        assert f'href="{answer["Location"]}"' in Client().get(path).content.decode()


def patterns(resolver: Any = None, prefix: str = "") -> Any:
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern, f"{prefix}{pattern.pattern}")
        elif isinstance(pattern, URLPattern):
            yield f"{prefix}{pattern.pattern}", pattern.callback


def test_only_pages_of_sealed_links_and_the_api_take_posts_without_a_token() -> None:
    exempt = {path for path, callback in patterns() if getattr(callback, "csrf_exempt", False)}
    assert {path for path in exempt if not path.startswith("api/v1/")} == {
        "u/<str:token>/",
        "p/<str:token>/",
        "y/<str:token>/",
        "t/<str:token>/",
        "anymail/postmark/tracking/",
    }


def test_forms_without_a_token_are_refused_in_words(owner: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    answer = client.post("/admin/contacts/contact/add/", {"first_name": "Eve"})
    assert answer.status_code == 403 and b"Reload the page" in answer.content
    assert not Contact.objects.exists()


@pytest.mark.parametrize("path", ["/nothing/", "/api/v1/nothing/", "/admin/nothing/"])
def test_error_pages_tell_nothing_about_the_inside(path: str, owner: User, settings: Settings) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(owner)
    body = client.get(path).content.decode()
    assert not re.search(r"Traceback|django|/work|urlconf|SELECT", body, re.I)


def test_a_crash_is_told_without_its_reasons(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret inside")

    monkeypatch.setattr("contacts.queries.duplicates", broken)
    api = Api(Member.objects.get().team)
    api._client.raise_request_exception = False
    answer = api.get("contacts/duplicates/")
    assert answer.status_code == 500 and b"secret inside" not in answer.content


def test_the_queue_has_no_pages() -> None:
    for model in apps.get_app_config("django_q").get_models():
        assert not admin.site.is_registered(model)


def test_a_key_is_long_greppable_and_never_stored(team: Team) -> None:
    token = Api(team).token
    assert re.fullmatch(r"crmk_[0-9a-f]{8}_[0-9a-f]{40}_[0-9a-f]{6}", token)
    key = ApiKey.objects.get()
    assert key.digest == hash_token(token)
    assert token not in str({name: str(value) for name, value in key.__dict__.items()})


def test_bad_keys_are_counted(team: Team, settings: Settings) -> None:
    client = Client(headers={"Authorization": "Bearer nonsense"})
    statuses = {client.get("/api/v1/contacts/").status_code for _ in range(40)}
    assert statuses == {401, 429}


def test_unsubscribing_takes_one_click_and_no_account(team: Team) -> None:
    link = unsubscribe_url(team_id=team.pk, address="Ann@x.org", topic="marketing").removeprefix("http://testserver")
    client = Client(enforce_csrf_checks=True)
    assert client.get(link).status_code == client.head(link).status_code == 200
    assert not Suppression.objects.exists()
    for _ in range(2):
        answer = client.post(link, {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200 and "Location" not in answer and not answer.cookies
    assert Suppression.objects.get().address == "ann@x.org"


def test_a_changed_link_does_nothing_and_tells_nothing(team: Team) -> None:
    link = unsubscribe_url(team_id=team.pk, address="ann@x.org", topic="marketing").removeprefix("http://testserver")
    changed = f"{link[:-5]}{'A' if link[-5] != 'A' else 'B'}{link[-4:]}"
    good, bad = (Client().post(path, {"List-Unsubscribe": "One-Click"}) for path in (link, changed))
    assert good.status_code == bad.status_code == 200 and good.content == bad.content
    assert Suppression.objects.count() == 1


def test_health_says_whether_the_work_can_be_done(settings: Settings) -> None:
    assert Client().get("/health/live/").json() == {"status": "ok"}
    ready = Client().get("/health/")
    assert ready.status_code == 200 and set(ready.json()["checks"]) == {"database", "migrations"}
    settings.HEALTH_CHECKS = [f"{__name__}.a_broken_part"]
    broken = Client().get("/health/ready/")
    assert broken.status_code == 503 and broken.json()["checks"]["disk"] == {
        "status": "failed",
        "detail": "It is full.",
    }
    assert Client().post("/health/").status_code == 405


def a_broken_part() -> tuple[str, bool, str]:
    return "disk", False, "It is full."


@pytest.mark.parametrize("path", ["/admin/login/", "/preferences/unknown", "/api/v1/contacts/"])
def test_nobody_who_is_not_signed_in_sends_a_large_form(client: Client, path: str) -> None:
    answer = client.post(path, b"a=" + b"%41" * 900_000, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413
    assert b"larger than 2.5 MiB: sign in first, or send less" in answer.content


def test_who_is_signed_in_sends_larger_forms(client: Client, owner: User) -> None:
    client.force_login(owner)
    body = b"text=" + b"x" * 3_000_000
    answer = client.post("/admin/pipelines/pipeline/import/", body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200 and b"Not valid JSON" in answer.content
