"""Imports whose program is killed in the middle go on where they were: each row counts once."""

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.installation import Installation, installation
from tests.pipelines.engine.building import document, email
from tests.project.processes import Program, eventually

pytestmark = pytest.mark.slow
ROWS = 6_000
# Every tenth row is refused, and the last repeats the first.
LINES = ["Email", *(f"c{n}@example.org" if n % 10 else f"nobody {n}" for n in range(ROWS - 1)), "C1@example.org"]
GOOD, WRONG = ROWS - 1 - (ROWS - 1 + 9) // 10, (ROWS - 1 + 9) // 10
BRING = """
from django.core.files.base import File
from django.utils import timezone
from contacts.imports.lifecycle import start
from contacts.imports.uploads import bring
from crm.models import Team
with open({path!r}, "rb") as file:
    row = bring(team=Team.objects.get(slug="acme"), upload=File(file, "people.csv"), by=None, source="api")
start(row=row, now=timezone.now(), unchecked=True)
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path, name="killed") as made:
        made.environment |= {"PIPELINES_KICK": "0", "MEDIA_ROOT": str(tmp_path / "media")}
        file = tmp_path / "pipeline.json"
        # Far away, so that nothing but the import is done.
        file.write_text(json.dumps(document([email(delay="30d")])), "utf-8")
        made.command("pipelines", "import", str(file), "--team", "acme", "--activate")
        (tmp_path / "people.csv").write_text("\n".join(LINES), "utf-8")
        yield made


def ask(house: Installation, statement: str) -> list[Any]:
    """Asked past the product, for its programs take a second to start."""
    url = house.environment["DATABASE_URL"]
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)) as file, file:
            return file.execute(statement).fetchall()
    with psycopg.connect(url, autocommit=True) as server:
        cursor = server.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def kill_in_the_middle(house: Installation, program: Program, *, behind: int) -> int:
    """End it with SIGKILL once it is some rows further; where it stood."""
    eventually(lambda: (ask(house, "SELECT max(position) FROM contacts_contactimport")[0][0] or 0) > behind)
    os.kill(program.process.pid, signal.SIGKILL)
    program.process.wait()
    return int(ask(house, "SELECT position FROM contacts_contactimport")[0][0])


def check_that_each_row_counted_once(house: Installation) -> None:
    assert ask(house, "SELECT state, position FROM contacts_contactimport") == [("done", ROWS)]
    assert ask(house, "SELECT count(*), count(DISTINCT email) FROM contacts_contact") == [(GOOD, GOOD)]
    assert ask(house, "SELECT count(*), count(DISTINCT subject_id) FROM pipelines_pipelinerun") == [(GOOD, GOOD)]
    assert ask(house, "SELECT count(*) FROM contacts_importproblem") == [(WRONG + 1,)]


def test_a_command_that_was_killed_goes_on_by_itself(house: Installation) -> None:
    people = house.folder / "people.csv"
    arguments = ("import_contacts", str(people), "--team", "acme")
    stood = 0
    for _ in range(2):
        stood = kill_in_the_middle(house, house.start(*arguments), behind=stood)
    assert 0 < stood < ROWS
    told = house.command(*arguments, status=1)
    assert f"behind row {stood:,} of {ROWS:,}" in told
    assert f"{ROWS} rows: {GOOD} created, 0 updated, 1 skipped, {WRONG} failed. {GOOD} runs started." in told
    check_that_each_row_counted_once(house)
    errors = Path(f"{people}.errors.csv").read_text("utf-8-sig").splitlines()
    assert len(errors) == WRONG + 2


def test_a_worker_that_was_killed_is_followed_by_another(house: Installation) -> None:
    house.command("shell", "-c", BRING.format(path=str(house.folder / "people.csv")))
    stood = 0
    for _ in range(2):
        stood = kill_in_the_middle(house, house.start("process_pipelines", "--loop"), behind=stood)
        # Half a minute later.
        ask(house, "UPDATE contacts_contactimport SET leased_until = '2020-01-01 00:00:00+00:00' WHERE claim <> ''")
    assert 0 < stood < ROWS
    house.start("process_pipelines", "--loop")
    eventually(lambda: ask(house, "SELECT state FROM contacts_contactimport") == [("done",)])
    check_that_each_row_counted_once(house)
