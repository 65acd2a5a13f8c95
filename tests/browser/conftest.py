"""A real Chromium before a real server; without a Chromium these tests are skipped."""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from crm.models import Member, Team
from crm.teams import create_team

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

playwright = pytest.importorskip("playwright.sync_api")

FLAGS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
    " disable-sync"
)
PASSWORD = "a-password-of-tests"


@pytest.fixture(scope="package")
def chromium(django_db_setup: None) -> Iterator["Browser"]:
    """One browser for all tests of a worker."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine")
    arguments = [f"--{flag}" for flag in FLAGS.split()]
    # The driver of the browser keeps an event loop in this thread, in which nothing else runs.
    with pytest.MonkeyPatch.context() as patch, playwright.sync_playwright() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = started.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def team(transactional_db: None) -> Team:
    return create_team(name="Acme", slug="acme")


@pytest.fixture
def manager(team: Team) -> User:
    """Somebody who may build pipelines."""
    user = User.objects.create_user("maya", email="maya@acme.example", password=PASSWORD, is_staff=True)
    Member.objects.create(team=team, user=user, role="manager")
    return user


@pytest.fixture
def window(chromium: "Browser", live_server: LiveServer) -> Iterator["BrowserContext"]:
    """A browser of somebody who has never been here."""
    context = chromium.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def stranger(window: "BrowserContext") -> Iterator["Page"]:
    """A page of nobody; the test fails when it reports an error of its own."""
    opened = window.new_page()
    opened.set_default_timeout(15_000)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield opened
    opened.close()
    assert complaints == []


@pytest.fixture
def page(window: "BrowserContext", stranger: "Page", live_server: LiveServer, manager: User) -> "Page":
    """A page of the manager, who is signed in."""
    client = Client()
    client.force_login(manager)
    name = settings.SESSION_COOKIE_NAME
    window.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    return stranger
