"""A whole installation for a test: a database of its own, programs as they run in life, and sinks for what leaves."""

import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection

from tests.commands import Commands, Done
from tests.databases import postgres_copy, sqlite_copy
from tests.project.processes import Program
from tests.sinks.smtp import SmtpSink, free_port


class Installation:
    """Commands, web and worker on one scratch database; mail goes to `smtp`."""

    def __init__(self, *, url: str, folder: Path, smtp: SmtpSink) -> None:
        self.smtp, self.folder = smtp, folder
        self.port = free_port()
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "1", "HTTPS": "0", "LOG_LEVEL": "WARNING",
            "SECRET_KEY": "for-tests-only-0123456789-0123456789-0123456789-0123456789", "PIPELINES_KICK": "1",
            "DATABASE_URL": url, "EMAIL_URL": smtp.url, "DEFAULT_FROM_EMAIL": "hello@acme.example",
            "CACHE_DIR": str(folder / "cache"), "PIPELINES_TEST_CLOCK": "0", "EMAIL_TIMEOUT": "5",
        }  # fmt: skip
        self._programs: list[Program] = []
        self._commands: Commands | None = None
        self.token = ""

    def command(self, *arguments: str, status: int | None = 0, **environment: str) -> str:
        """Standard output of a `manage.py` command, which must end with this status, or with any for None."""
        return self._done(arguments, status, environment).out

    def refused(self, *arguments: str, **environment: str) -> str:
        """The sentence with which a command says no, ending with status 2."""
        return self._done(arguments, 2, environment).err

    def _done(self, arguments: Sequence[str], status: int | None, environment: dict[str, str]) -> Done:
        wanted = {**self.environment, **environment}
        if self._commands is None or self._commands.environment != wanted:
            self._forget_commands()
            self._commands = Commands(wanted)
        done = self._commands.run(*arguments)
        assert status in (None, done.status), f"{arguments}: {done.status}\n{done.out[-2000:]}\n{done.err[-2000:]}"
        return done

    def start(self, *arguments: str) -> Program:
        self._programs.append(Program(*arguments, environment=self.environment))
        return self._programs[-1]

    def serve(self) -> None:
        """Start the web server and wait until it answers."""
        web = self.start("runserver", f"127.0.0.1:{self.port}", "--noreload")
        web.says("Quit the server")

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of the API to a key of an admin."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of a statement, asked past everything."""
        code = (
            "from django.db import connection as c; import json\n"
            f"with c.cursor() as cursor:\n    cursor.execute({statement!r})\n"
            "    print(json.dumps(cursor.fetchall() if cursor.description else [], default=str))"
        )
        out = self.command("shell", "--verbosity", "0", "-c", code)
        return [tuple(row) for row in json.loads(re.findall(r"^\[.*\]$", out, re.M)[-1])]

    def _forget_commands(self) -> None:
        if self._commands is not None:
            self._commands.close()
            self._commands = None

    def stop(self) -> None:
        self._forget_commands()
        for program in self._programs:
            program.leave_nothing()


@contextmanager
def installation(folder: Path, *, name: str) -> Iterator[Installation]:
    """Migrated, with a team `acme` and a key, on the kind of database that the suite runs on."""
    with _database(folder, name) as (url, token), SmtpSink(folder / "mail.jsonl") as smtp:
        made = Installation(url=url, folder=folder, smtp=smtp)
        made.token = token
        try:
            yield made
        finally:
            made.stop()


@contextmanager
def _database(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    if connection.vendor == "postgresql":
        with postgres_copy(name) as made:
            yield made
        return
    path = folder / "crm.sqlite3"
    token = sqlite_copy(path)
    yield f"sqlite:///{path}", token
