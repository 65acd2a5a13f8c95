"""The first page of the admin."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Message, Notification, Task, Team
from crm.teams import create_team
from pipelines.engine.clock import set_test_clock
from pipelines.engine.tick import run_until_idle
from pipelines.models import EngineState, Pipeline, PipelineRun, Trigger
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import text_of
from tests.pipelines.engine.building import NOON, active, email, later


@pytest.fixture(autouse=True)
def noon(db: None, settings: Settings) -> None:
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
    set_test_clock(NOON)


def beat(seconds_ago: int) -> None:
    at = timezone.now() - timedelta(seconds=seconds_ago)
    EngineState.objects.update_or_create(name="tick", defaults={"at": at})


def test_it_counts_what_runs_what_is_late_and_what_failed(manager: Client, team: Team, welcome: Pipeline) -> None:
    for number in range(3):
        Contact.objects.create(team=team, first_name=f"Ann {number}", email=f"ann{number}@example.org")
    Contact.objects.create(team=team, first_name="Nemo", email="nowhere")
    run_until_idle(now=NOON)
    page = text_of(manager.get("/admin/"))
    assert "On the way 3" in page and "Failed 1" in page and "Late 0" in page
    assert "Nemo Welcome, 1. send_email" in page
    set_test_clock(later(days=1, minutes=5))
    late = text_of(manager.get("/admin/"))
    assert "Late 3" in late and "Due now 3" in late


def test_it_warns_when_the_engine_does_not_run(manager: Client, welcome: Pipeline) -> None:
    assert "The last pass was never" in text_of(manager.get("/admin/"))
    beat(7300)
    assert "The engine does not run" in text_of(manager.get("/admin/"))
    beat(5)
    assert "The engine does not run" not in text_of(manager.get("/admin/"))


def test_it_says_what_is_silent_to_the_team_it_is_about_alone(
    manager: Client, sign_in: SignIn, welcome: Pipeline
) -> None:
    for number in range(7):
        Contact.objects.create(team=welcome.team, email=f"ann{number}@example.org")
    set_test_clock(later(hours=23))
    assert "Worth a look" not in text_of(manager.get("/admin/"))
    set_test_clock(later(hours=25))
    assert "“Welcome” is active, but nobody entered for 1 day 1 hour." in text_of(manager.get("/admin/"))
    PipelineRun.objects.all().delete()
    assert "nobody entered" not in text_of(manager.get("/admin/"))
    Trigger.objects.update(armed_at=timezone.now() - timedelta(hours=26))
    assert "“Welcome” is active, but nobody entered for 1 day 2 hours." in text_of(manager.get("/admin/"))
    stranger = sign_in("manager", of=create_team(name="Other", slug="other"))
    assert "nobody entered" not in text_of(stranger.get("/admin/"))


def test_it_shows_my_tasks_and_notes_and_messages_to_decide(manager: Client, viewer: Client, team: Team) -> None:
    me = User.objects.get(username__startswith="manager")
    Task.objects.create(team=team, title="Call Ann", assignee=me, due_at=later(days=-2))
    Notification.objects.create(team=team, user=me, title="Ann replied", created_at=NOON)
    Message.objects.create(team=team, recipient="ann@example.org", subject="Hello?", state="uncertain", created_at=NOON)
    page = text_of(manager.get("/admin/"))
    assert "My tasks 1 1 overdue" in page and "Call Ann 2 days ago" in page
    assert "Ann replied" in page and "Hello? to ann@example.org" in page
    others = text_of(viewer.get("/admin/"))
    assert "Call Ann" not in others and "Ann replied" not in others

    assert manager.get("/admin/notifications/read/").status_code == 405
    viewer.post("/admin/notifications/read/", {})
    assert "Ann replied" in text_of(manager.get("/admin/"))
    manager.post("/admin/notifications/read/", {})
    assert "Ann replied" not in text_of(manager.get("/admin/"))


def test_it_shows_nothing_of_another_team(sign_in: SignIn, team: Team, welcome: Pipeline) -> None:
    Contact.objects.create(team=team, first_name="Nemo", email="nowhere")
    run_until_idle(now=NOON)
    stranger = sign_in("owner", of=create_team(name="Other", slug="other"))
    page = text_of(stranger.get("/admin/"))
    assert "Nemo" not in page and "Failed 0" in page and "Start with a recipe" in page


def test_a_superuser_without_a_team_sees_the_whole_installation(team: Team, welcome: Pipeline) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    assert "Welcome" in text_of(client.get("/admin/"))


def test_it_costs_the_same_with_few_pipelines_and_many(
    manager: Client, team: Team, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        active(team, [email()], key=f"line_{number}")
    for number in range(8):
        Contact.objects.create(team=team, first_name=f"Nemo {number}")
    run_until_idle(now=NOON)
    with django_assert_max_num_queries(20):
        assert manager.get("/admin/").status_code == 200
