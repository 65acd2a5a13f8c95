"""Every setting that can be wrong is told at the start, with an id and a way to mend it."""

import copy
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.apps import AppConfig, apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings

import config
from config.checks import database
from config.environment import WrongSetting
from pipelines.actions.base import Kind

UseDatabase = Callable[[dict[str, Any]], None]
LONG = "".join(chr(97 + n % 26) for n in range(60))
POSTGRES: dict[str, Any] = {"ENGINE": "django.db.backends.postgresql", "NAME": "crm", "OPTIONS": {}}
SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": "crm.sqlite3",
    "OPTIONS": {"transaction_mode": "IMMEDIATE"},
}


class Postcard(Kind):
    """A custom action as a project would write it."""

    code = "custom.postcard"


class Nameless(Kind):
    """Its code would collide with those of the product."""

    code = "postcard"


@pytest.fixture
def cluster(settings: Settings) -> dict[str, Any]:
    """The queue's settings, for a test to change."""
    settings.Q_CLUSTER = copy.deepcopy(settings.Q_CLUSTER)
    changed: dict[str, Any] = settings.Q_CLUSTER
    return changed


@pytest.fixture
def use_database(monkeypatch: pytest.MonkeyPatch) -> UseDatabase:
    """Pretend that these are the settings of the database; nothing connects to it."""
    return lambda values: monkeypatch.setitem(django_settings.DATABASES, "default", values)


def _ours(*, deploy: bool = False) -> list[CheckMessage]:
    found = run_checks(tags=["security"], include_deployment_checks=deploy)
    return [message for message in found if str(message.id).startswith("crm.")]


def _ids(*, deploy: bool = False) -> set[str]:
    return {str(message.id) for message in _ours(deploy=deploy)}


def test_the_settings_as_they_are_shipped_have_nothing_wrong() -> None:
    assert _ours() == []


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("crm.E001", {"SECRET_KEY": ""}),
    ("crm.E002", {"SECRET_KEY": "short", "DEBUG": False}),
    ("crm.E002", {"SECRET_KEY": "a" * 60, "DEBUG": False}),
    ("crm.E003", {"BASE_URL": "crm.example.org"}),
    ("crm.E003", {"BASE_URL": "https://crm.example.org/crm"}),
    ("crm.E003", {"BASE_URL": "https://crm.example.org:port"}),
    ("crm.E003", {"BASE_URL": "ftp://crm.example.org"}),
    ("crm.E008", {"TRUSTED_PROXIES": ["10.0.0.1", "proxy.internal"]}),
    ("crm.E009", {"ENCRYPTION_KEYS": ["not-a-key"]}),
    ("crm.E011", {"REST_FRAMEWORK": {"DEFAULT_THROTTLE_RATES": {"api": "lots"}}}),
    ("crm.E050", {"PIPELINES_TEST_CLOCK": True, "DEBUG": False}),
    ("crm.E051", {"PIPELINES_BATCH_SIZE": 0}),
    ("crm.E051", {"PIPELINES_SEND_GROUP": 100_000}),
    ("crm.E051", {"PIPELINES_MAX_STEPS": 0}),
    ("crm.E051", {"LOGIN_ATTEMPTS_PER_ACCOUNT": 0}),
    ("crm.E051", {"PIPELINES_CIRCUIT_SHARE": 0.0}),
    ("crm.E057", {"PIPELINES_PACE": {"email": "lots"}}),
    ("crm.E057", {"PIPELINES_PACE": ["6000 per hour"]}),
    ("crm.E052", {"PIPELINES_LEASE_SECONDS": 60}),
    ("crm.E053", {"EMAIL_TIMEOUT": 40}),
    ("crm.E053", {"OUTBOUND_HTTP_SECONDS": 40.0}),
    ("crm.E054", {"PIPELINES_ACTIONS": ["acme.actions.Missing"]}),
    ("crm.E054", {"PIPELINES_ACTIONS": ["json.dumps"]}),
    ("crm.E054", {"PIPELINES_ACTIONS": ["tests.project.test_checks.Nameless"]}),
    ("crm.E054", {"PIPELINES_ACTIONS": ["tests.project.test_checks.Postcard"] * 2}),
    ("crm.E055", {"PIPELINES_SUBJECTS": ["contacts.robot"]}),
    ("crm.E055", {"PIPELINES_SUBJECTS": ["contact"]}),
    ("crm.E055", {"PIPELINES_SUBJECTS": ["sessions.session"]}),
    ("crm.E055", {"PIPELINES_SUBJECTS": ["auth.user"]}),
    ("crm.E056", {"HEALTH_CHECKS": ["crm.health.missing"]}),
    ("crm.E060", {"OUTBOUND_HTTP_ALLOW": "localhost"}),
    ("crm.E060", {"OUTBOUND_HTTP_ALLOW": "10.0.0.0/8:http"}),
    ("crm.E061", {"OUTBOUND_HTTP_PORTS": [0]}),
    ("crm.E062", {"OUTBOUND_HTTP_SECONDS": 0.0}),
    ("crm.E070", {"DEFAULT_FROM_EMAIL": "Acme"}),
    ("crm.E071", {"MAIL_DOMAIN": "https://acme.example"}),
    ("crm.E072", {"EMAIL_TIMEOUT": 0}),
    ("crm.E037", {"WORKER_STALE_SECONDS": 60.0}),
    ("crm.W038", {"WORKER_GRACE_SECONDS": 5.0}),
    ("crm.E039", {"WORKER_HEARTBEAT": "pipelines.queries.missing"}),
    ("crm.E036", {"PIPELINES_TICK_SECONDS": 80.0}),
]


@pytest.mark.parametrize(
    ("number", "values"), WRONG, ids=[f"{number}-{next(iter(values))}" for number, values in WRONG]
)
def test_a_wrong_setting_is_told(settings: Settings, number: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
    assert number in _ids()


@pytest.mark.parametrize(
    "values",
    [
        {"SECRET_KEY": LONG, "DEBUG": False},
        {"BASE_URL": "https://crm.example.org:8443"},
        {"TRUSTED_PROXIES": ["10.0.0.1", "10.1.0.0/16", "::1"]},
        {"ENCRYPTION_KEYS": ["ZmRzYWZkc2FmZHNhZmRzYWZkc2FmZHNhZmRzYWZkc2E="]},
        {"PIPELINES_TEST_CLOCK": True, "DEBUG": True},
        {"PIPELINES_ACTIONS": ["tests.project.test_checks.Postcard"]},
        {"OUTBOUND_HTTP_ALLOW": "10.1.2.0/24:8443,127.0.0.1:9000"},
        {"DEFAULT_FROM_EMAIL": "crm@localhost", "MAIL_DOMAIN": "acme.example"},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_right_setting_is_not_complained_about(settings: Settings, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
    assert _ids() == set()


@pytest.mark.parametrize(
    ("number", "values"),
    [
        ("crm.E030", {"timeout": 90, "retry": 100}),
        ("crm.E030", {"timeout": 90, "retry": 450, "workers": 2, "queue_limit": 20}),
        ("crm.E030", {"timeout": None}),
        ("crm.E031", {"guard_cycle": 0.3}),
        ("crm.E031", {"guard_cycle": 5}),
        ("crm.E032", {"max_attempts": 0}),
        ("crm.E033", {"ack_failures": False}),
        ("crm.E034", {"catch_up": True}),
        ("crm.E036", {"timeout": 60}),
    ],
)
def test_a_cluster_that_would_run_tasks_twice_or_for_ever_is_refused(
    cluster: dict[str, Any], use_database: UseDatabase, number: str, values: Mapping[str, Any]
) -> None:
    use_database(POSTGRES)
    cluster.update(values)
    assert number in _ids()


@pytest.mark.parametrize(
    ("number", "values"),
    [
        ("crm.E020", {"ENGINE": "django.db.backends.mysql"}),
        ("crm.E021", {**POSTGRES, "OPTIONS": {"pool": True}}),
        ("crm.E022", {**SQLITE, "OPTIONS": {}}),
        ("crm.E022", {**SQLITE, "OPTIONS": {"transaction_mode": "DEFERRED"}}),
    ],
)
def test_a_database_that_breaks_promises_is_refused(
    use_database: UseDatabase, number: str, values: dict[str, Any]
) -> None:
    use_database(values)
    assert number in _ids()


def test_a_second_worker_on_sqlite_is_refused(cluster: dict[str, Any], use_database: UseDatabase) -> None:
    use_database(SQLITE)
    cluster.update(workers=2, queue_limit=2)
    assert "crm.E035" in _ids()


@pytest.mark.parametrize(("kind", "refused"), [("nfs4", True), ("cifs", True), ("ext4", False)])
def test_a_database_file_on_a_network_disk_is_refused(
    use_database: UseDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, refused: bool
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/share {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(database, "MOUNTS", mounts)
    use_database({**SQLITE, "NAME": str(tmp_path / "crm.sqlite3")})
    assert ("crm.E023" in _ids()) is refused


@pytest.mark.parametrize(
    ("number", "values"),
    [
        ("crm.W004", {"ALLOWED_HOSTS": ["*"]}),
        ("crm.W005", {"ALLOWED_HOSTS": ["other.example.org"]}),
        ("crm.W006", {"BASE_URL": "http://crm.example.org"}),
        ("crm.W007", {"CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}}),
        ("crm.W073", {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}),
        ("crm.W073", {"EMAIL_BACKEND": "crm.channels.captured.EmailBackend"}),
        ("crm.W074", {"DEFAULT_FROM_EMAIL": "CRM <crm@localhost>"}),
        ("crm.W075", {"EMAIL_HOST_PASSWORD": "secret", "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": False}),
    ],
)
def test_what_is_right_on_a_laptop_only_is_told_before_deploying(
    settings: Settings, number: str, values: Mapping[str, Any]
) -> None:
    settings.BASE_URL = "https://crm.example.org"
    settings.ALLOWED_HOSTS = ["crm.example.org"]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache"}}
    settings.EMAIL_BACKEND = "crm.channels.smtp.EmailBackend"
    settings.EMAIL_HOST = "mail.example.org"
    assert _ids(deploy=True) == set()
    for name, value in values.items():
        setattr(settings, name, value)
    assert number in _ids(deploy=True)
    assert number not in _ids()


def test_every_complaint_says_how_to_mend_it(settings: Settings) -> None:
    for name, value in ((name, value) for _, values in WRONG[1:] for name, value in values.items()):
        setattr(settings, name, value)
    told = _ours(deploy=True)
    assert len(told) > 15
    assert [message.id for message in told if not message.hint] == []


def test_no_complaint_repeats_a_secret(settings: Settings) -> None:
    settings.DEBUG = False
    settings.SECRET_KEY = "hunter2"
    settings.ENCRYPTION_KEYS = ["correct-horse"]
    text = " ".join(f"{message.msg} {message.hint}" for message in _ours(deploy=True))
    assert "hunter2" not in text
    assert "correct-horse" not in text


def test_a_cluster_name_that_nobody_described_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q_CLUSTER_NAME", "night")
    project: AppConfig = apps.get_app_config("config")
    with pytest.raises(ImproperlyConfigured, match="describe that cluster in ALT_CLUSTERS"):
        type(project)("config", project.module)


def _check(environment: dict[str, str], *arguments: str, command: str = "check") -> "subprocess.CompletedProcess[str]":
    root = Path(__file__).resolve().parent.parent.parent
    return subprocess.run(
        [sys.executable, "manage.py", command, *arguments],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "DJANGO_SETTINGS_MODULE": "config.settings", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_production_settings_pass_the_deployment_checks() -> None:
    result = _check(
        {
            "SECRET_KEY": LONG,
            "DEBUG": "0",
            "ALLOWED_HOSTS": "crm.example.org",
            "BASE_URL": "https://crm.example.org",
            "DATABASE_URL": "postgres://crm:secret@db.example.org:5432/crm",
            "EMAIL_URL": "smtp+tls://user:password@mail.example.org:587",
            "DEFAULT_FROM_EMAIL": "Example <hello@example.org>",
        },
        "--deploy",
        "--fail-level",
        "WARNING",
    )
    assert result.returncode == 0, result.stderr


def test_a_secret_key_is_all_that_must_be_set() -> None:
    result = _check({"SECRET_KEY": LONG, "DEBUG": "0"}, "--fail-level", "WARNING")
    assert result.returncode == 0, result.stderr


def test_a_missing_secret_key_is_told_in_a_sentence() -> None:
    result = _check({"SECRET_KEY": "", "DEBUG": "0"})
    assert result.returncode == 1
    assert "SECRET_KEY" in result.stderr


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Q_TIMEOUT", "90  (seconds)", "a whole number"),
        ("HTTPS", "flase", "1 or 0"),
        ("PIPELINES_TICK_SECONDS", "long", "a number"),
        ("OUTBOUND_HTTP_PORTS", "80,web", "a value that can be read"),
        ("DATABASE_URL", "mysql://crm:hunter2@db.example.org/crm", "PostgreSQL"),
        ("EMAIL_URL", "pigeon://user:hunter2@example.org", "smtp+tls://"),
        ("TIME_ZONE", "Mars/Olympus", "a time zone"),
        ("LOG_LEVEL", "loud", "one of DEBUG, INFO"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_is_expected_and_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting) as told:
        runpy.run_path(str(Path(config.__file__).with_name("settings.py")))
    assert name in str(told.value) and expected in str(told.value) and "HINT" in str(told.value)
    assert "hunter2" not in str(told.value)


def test_a_setting_that_cannot_be_read_ends_the_start_in_a_sentence() -> None:
    result = _check({"SECRET_KEY": LONG, "DEBUG": "1", "Q_TIMEOUT": "long"})
    assert result.returncode == 1
    assert result.stderr.startswith("(crm.E010) Q_TIMEOUT cannot be read")


def test_an_unknown_cluster_name_ends_the_start_in_a_sentence() -> None:
    result = _check({"SECRET_KEY": LONG, "DEBUG": "1", "Q_CLUSTER_NAME": "night"})
    assert result.returncode == 1
    assert "ALT_CLUSTERS" in result.stderr
    assert "KeyError" not in result.stderr


def test_a_worker_checks_for_its_clusters() -> None:
    result = _check({"SECRET_KEY": LONG, "DEBUG": "1", "BASE_URL": "nowhere"}, command="worker")
    assert result.returncode == 1
    assert "BASE_URL" in result.stderr and result.stdout == ""


def test_dev_checks_for_what_it_starts(settings: Settings) -> None:
    settings.BASE_URL = "nowhere"
    with pytest.raises(SystemCheckError, match="BASE_URL"):
        call_command("dev", skip_checks=False)
