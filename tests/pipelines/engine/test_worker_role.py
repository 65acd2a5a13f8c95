"""Workers may have a role of PostgreSQL of their own (`docs/deploy/worker-role.sql`): enough to work, no more."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import mail
from django.db import ProgrammingError, connection, transaction

from contacts.models import Contact
from crm.models import Member, Role, Team
from pipelines.models import HookDelivery, HumanTask, PipelineRun
from pipelines.states import RunStatus
from pipelines.triggers.hooks import open_hook
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="roles are those of PostgreSQL"),
]
SQL: Final = Path(__file__).resolve().parents[3] / "docs" / "deploy" / "worker-role.sql"
# A name of its own for every process that runs this at once on one server.
ROLE: Final = f"crm_worker_{os.getpid()}"
KEPT_FROM_WORKERS: Final = {
    "auth_group", "auth_group_permissions", "auth_permission", "auth_user_groups", "auth_user_user_permissions",
    "crm_apikey", "crm_idempotentrequest", "django_admin_log", "django_session",
}  # fmt: skip


@pytest.fixture(autouse=True)
def role(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SQL.read_text("utf-8").replace("crm_worker", ROLE))


@contextmanager
def as_worker() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {ROLE}")
    try:
        yield
    finally:
        if not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")


def test_s99_the_engine_works_under_the_role_of_workers(team: Team, run_at: Run) -> None:
    user = User.objects.create_user("kim", "kim@example.org", "a password")
    Member.objects.create(team=team, user=user, role=Role.MEMBER)
    ask = {"title": "Fit?", "assignee": "kim@example.org", "remind": "1d"}
    check = {"type": "condition", "if": "contact.email != null", "on": {"false": "end"}}
    tell = {"type": "notify", "with": {"title": "New", "to": "{{ contact.owner.manager }}"}}
    active(team, [check, email("Hello"), tell, {"type": "human_task", "with": ask}])
    Contact.objects.create(team=team, email="ann@example.org", owner=user)
    with as_worker():
        run_at(NOON)
        assert HumanTask.objects.count() == 1
        assert PipelineRun.objects.get().status == RunStatus.WAITING
        run_at(later(days=1))
    assert [sent.to for sent in mail.outbox] == [["ann@example.org"], ["kim@example.org"], ["kim@example.org"]]


def test_s99_posts_to_incoming_webhooks_are_worked_off_without_what_let_them_in(team: Team, run_at: Run) -> None:
    trigger = {"type": "webhook", "key": "signup", "subject": "{{ trigger.email }}"}
    pipeline = active(team, [email("Hello")], triggers=[trigger])
    hook = open_hook(trigger=pipeline.triggers.get(), name="Form", signed=True).hook
    HookDelivery.objects.create(hook=hook, message_id="1", body={"email": "ann@example.org"}, at=NOON)
    with as_worker():
        run_at(NOON)
    assert [sent.to for sent in mail.outbox] == [["ann@example.org"]], HookDelivery.objects.get().outcome


@pytest.mark.parametrize(
    "secret",
    [
        "password FROM auth_user",
        "* FROM auth_user",
        "session_data FROM django_session",
        "digest FROM crm_apikey",
        "token_hash FROM pipelines_hook",
        "secret FROM pipelines_hook",
    ],
)
def test_s99_the_role_of_workers_reads_no_password_session_or_key(secret: str) -> None:
    with as_worker(), connection.cursor() as cursor:
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            cursor.execute(f"SELECT {secret}")
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            cursor.execute("UPDATE auth_user SET is_superuser = true")


def test_every_table_is_granted_to_workers_or_kept_from_them() -> None:
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM unnest(%s::text[]) AS name WHERE NOT has_any_column_privilege(%s, name, 'SELECT')",
            [sorted(tables), ROLE],
        )
        assert {name for (name,) in cursor.fetchall()} == KEPT_FROM_WORKERS
