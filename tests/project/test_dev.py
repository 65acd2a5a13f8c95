"""`manage.py dev` as a person meets it: one command, one Ctrl-C."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection

from tests.databases import sqlite_copy
from tests.project.processes import Program, alive, descendants

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up in /proc"),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="always on a file: the suite on SQLite shows it"),
]

Start = Callable[..., Program]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A migrated SQLite file and the settings of a laptop."""
    folder = tmp_path_factory.mktemp("dev")
    values = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"sqlite:///{folder / 'crm.sqlite3'}",
        "DEBUG": "1",
        "HTTPS": "0",
        "SECRET_KEY": "a-laptop-s-key-that-is-long-enough-for-every-check-0123456789",
        "EMAIL_URL": "captured://",
        "CAPTURED_MAIL_DIR": str(folder / "mail"),
        "CACHE_DIR": str(folder / "cache"),
        "ALLOWED_HOSTS": "127.0.0.1",
    }
    sqlite_copy(folder / "crm.sqlite3")
    return values


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def start(environment: dict[str, str], port: int) -> Iterator[Start]:
    started: list[Program] = []

    def run(**more: str) -> Program:
        started.append(Program("dev", "--port", str(port), environment={**environment, **more}))
        return started[-1]

    yield run
    for program in started:
        program.leave_nothing()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_it_names_can_be_opened_and_one_signal_stops_everything_within_seconds(
    start: Start, port: int, number: signal.Signals
) -> None:
    dev = start()
    dev.says(r"worker \| worker: cluster works")
    dev.says("Running")
    for name, path in [("Admin", "/admin/"), ("API", "/api/v1/docs/"), ("Mail", "/admin/mail/captured/")]:
        dev.says(rf"{name} +http://127\.0\.0\.1:{port}{path}")
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", "/health/ready/")
        assert connection.getresponse().status == 200
    dev.says(r"web    \| .*/health/ready/")
    family = descendants(dev.process.pid)
    asked = time.monotonic()
    os.kill(dev.process.pid, number)
    assert dev.ends() == 0
    assert time.monotonic() - asked < 9
    assert len(family) >= 5
    assert not [pid for pid in family if alive(pid)]
    assert dev.lines[-1] == "stopped"


@pytest.mark.parametrize("name", ["web", "worker"])
def test_it_fails_and_stops_the_other_when_one_of_them_dies(start: Start, name: str) -> None:
    dev = start()
    dev.says(r"worker \| worker: cluster works")
    family = descendants(dev.process.pid)
    command = {"web": "runserver", "worker": "worker"}[name]
    victim = next(pid for pid in family if command in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
    os.kill(victim, signal.SIGTERM if name == "worker" else signal.SIGKILL)
    assert dev.ends() == 1
    dev.says(f"{name} ended with status")
    assert not [pid for pid in family if alive(pid)]


def test_a_taken_port_is_named_together_with_the_way_out(start: Start, port: int) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        dev = start()
        assert dev.ends() == 1
    assert f"Port {port} cannot be used" in dev.output
    assert f"make run PORT={port + 1}" in dev.output


def test_it_is_refused_where_errors_are_not_shown_to_developers(start: Start) -> None:
    dev = start(DEBUG="0")
    assert dev.ends() == 1
    assert "set DEBUG=1" in dev.output
