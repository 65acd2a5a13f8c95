"""`import_contacts` and `export_contacts` with files as people have them."""

import csv
import json
import os
import random
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from contacts.models import Company, Contact
from crm.models import Team
from pipelines.models import PipelineRun
from tests.pipelines.engine.building import active, email

FIRST = ["Amélie", "Björn", "Chiara", 'Ann "Andy"', "Günther", "O'Neil", "Zoë", "Łukasz", "Olúwáseun", "Nguyễn"]
LAST = ["García", "Müller, Jr.", "Novák", "O'Brien", "Weiß", 'Smith "the" Second', "Çelik", "Håkansson"]
Import = Callable[..., dict[str, Any]]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """500 rows: accents, quotes, commas, missing and wrong emails, duplicates."""
    chance = random.Random(1)
    path = tmp_path / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["First Name", "Last name", "E-Mail", "Company", "Stage"])
        for n in range(500):
            address = f"person{n}@example.org"
            if n % 25 == 3:
                address = ""
            if n % 40 == 11:
                address = "not-an-address"
            if n % 50 == 7:
                address = f"Person{n - 1}@example.org"
            company = chance.choice(["Acme, Inc.", 'The "Best" GmbH', ""])
            writer.writerow([chance.choice(FIRST), chance.choice(LAST), address, company, "lead"])
    return path


@pytest.fixture
def run(team: Team, people: Path) -> Import:
    def call(*arguments: str) -> dict[str, Any]:
        out = StringIO()
        try:
            call_command("import_contacts", str(people), "--team", "acme", "--json", *arguments, stdout=out)
        except SystemExit as ended:
            assert ended.code == 1
        return dict(json.loads(out.getvalue()))

    return call


def test_every_good_row_is_taken_and_every_other_is_told(run: Import, people: Path, team: Team) -> None:
    active(team, [email(delay=60)], key="welcome")
    result = run()
    assert (result["rows"], result["created"], result["failed"], result["skipped"]) == (500, 477, 13, 10)
    assert Contact.objects.count() == result["enrolled"] == PipelineRun.objects.count() == 477
    assert Company.objects.count() == 2
    names = set(Contact.objects.values_list("first_name", "last_name"))
    assert any(first == 'Ann "Andy"' for first, _ in names) and any(last == "Müller, Jr." for _, last in names)
    with Path(f"{people}.errors.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 23 and {"not-an-address"} & {row["E-Mail"] for row in rows}
    assert all(row["reason"] for row in rows)


def test_a_row_whose_phone_is_no_number_says_so_and_the_others_are_taken(run: Import, people: Path) -> None:
    people.write_text("First name,Phone\nAnn,+49 151 12345678\nBob,call me\n", "utf-8")
    result = run()
    assert (result["created"], result["failed"]) == (1, 1)
    assert "Phone: “call me” is no phone number: write it with its country" in Path(f"{people}.errors.csv").read_text(
        "utf-8-sig"
    )


def test_a_second_import_updates_and_enrolls_nobody_again(run: Import, team: Team) -> None:
    active(team, [email(delay=60)], key="welcome")
    run()
    with_address = Contact.objects.exclude(email="").count()
    without = Contact.objects.filter(email="").count()
    again = run()
    # Rows without an address cannot be recognized; the others can.
    assert again["created"] == again["enrolled"] == without
    assert Contact.objects.exclude(email="").count() == with_address


def test_a_dry_run_writes_nothing(run: Import, team: Team) -> None:
    active(team, [email()], key="welcome")
    result = run("--dry-run")
    assert (result["created"], result["dry_run"]) == (477, True)
    assert not Contact.objects.exists() and not Company.objects.exists() and not PipelineRun.objects.exists()


def test_an_import_may_be_quiet_and_stays_so(run: Import, team: Team) -> None:
    from pipelines.engine.tick import process_due_runs

    active(team, [email()], key="welcome")
    assert run("--no-enroll")["enrolled"] == 0
    assert not PipelineRun.objects.exists()
    assert process_due_runs().enrolled == 0
    assert not PipelineRun.objects.exists()


def test_an_unknown_team_or_file_is_said(people: Path, team: Team) -> None:
    with pytest.raises(CommandError, match="There is no team nobody"):
        call_command("import_contacts", str(people), "--team", "nobody")
    with pytest.raises(CommandError):
        call_command("import_contacts", str(people.parent / "none.csv"), "--team", "acme")


def test_what_is_exported_comes_back_unchanged(run: Import, tmp_path: Path, team: Team) -> None:
    run()
    Contact.objects.filter(email="person1@example.org").update(first_name="=SUM(A1)", custom={"shoe": "38"})
    file = tmp_path / "out.csv"
    call_command("export_contacts", "--team", "acme", "--output", str(file))
    assert "'=SUM(A1)" in file.read_text("utf-8-sig")
    before = set(Contact.objects.exclude(email="").values_list("first_name", "last_name", "email"))
    Contact.objects.all().delete()
    call_command("import_contacts", str(file), "--team", "acme", "--json", stdout=StringIO())
    assert set(Contact.objects.exclude(email="").values_list("first_name", "last_name", "email")) == before


def test_a_reader_that_has_enough_ends_an_export_in_peace(run: Import, team: Team) -> None:
    run()
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        call_command("export_contacts", "--team", "acme", stdout=pipe)
