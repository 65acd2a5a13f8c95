"""Backups are made of a living installation and come back whole, on both kinds of database, and then hold still."""

import io
import json
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.installation import Installation, installation
from tests.pipelines.engine.building import document, email

POSTGRES = connection.vendor == "postgresql"
PEOPLE = "First name,Email\nAnn,ann@example.org\nBob,bob@example.org\n"
CONTACTS = "SELECT email FROM contacts_contact ORDER BY email"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path, name="keeping") as made:
        made.environment["MEDIA_ROOT"] = str(tmp_path / "media")
        brochure = tmp_path / "media" / "attachments" / "acme" / "brochure.txt"
        brochure.parent.mkdir(parents=True)
        brochure.write_text("what we do", "utf-8")
        yield made


def backup(house: Installation, name: str = "backup.zip") -> Any:
    return json.loads(house.command("backup", str(house.folder / name), "--json"))


def restore(house: Installation, *arguments: str, **environment: str) -> Any:
    return json.loads(house.command("restore", *arguments, "--json", status=0, **environment))


def bring(house: Installation, text: str = PEOPLE) -> None:
    file = house.folder / "people.csv"
    file.write_text(text, "utf-8")
    house.command("import_contacts", str(file), "--team", "acme")


def welcome(house: Installation) -> None:
    file = house.folder / "welcome.json"
    file.write_text(json.dumps(document([email("Hello", subject="Welcome")])), "utf-8")
    house.command("pipelines", "import", str(file), "--team", "acme", "--activate")


def codes(house: Installation) -> list[str]:
    return [each["code"] for each in json.loads(house.command("doctor", "--json", status=None))["findings"]]


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def test_what_was_backed_up_is_there_again_and_nothing_moves_until_somebody_says_so(house: Installation) -> None:
    welcome(house)
    bring(house)
    made = backup(house)
    path = house.folder / "backup.zip"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and made["files"] == 1 and made["rows"] > 100
    bring(house, "First name,Email\nZoe,zoe@example.org\n")
    brochure = house.folder / "media" / "attachments" / "acme" / "brochure.txt"
    brochure.write_text("something else", "utf-8")

    restored = restore(house, str(path), "--force")
    assert restored["rows"] == made["rows"] and restored["files"] == 1 and not restored["started"]
    assert house.sql(CONTACTS) == [("ann@example.org",), ("bob@example.org",)]
    assert brochure.read_text("utf-8") == "what we do"
    # The original may have written to them meanwhile.
    house.command("process_pipelines")
    assert house.smtp.recipients() == [] and codes(house) == ["engine.held"]
    assert restore(house, "--start") == {"started": True}
    house.command("process_pipelines")
    assert sorted(house.smtp.recipients()) == ["ann@example.org", "bob@example.org"]
    assert codes(house) == []
    # Numbers go on where they stood, and what came back can be backed up as well.
    bring(house, "First name,Email\nKim,kim@example.org\n")
    assert backup(house, "again.zip")["rows"] > made["rows"]
    assert restore(house, str(house.folder / "again.zip"), "--force", "--start")["started"]
    assert house.sql(CONTACTS)[-1] == ("kim@example.org",) and codes(house) == []


@pytest.mark.parametrize("point", ["after_lease", "before_sending"])
def test_what_was_in_hands_when_the_backup_was_made_is_told_and_not_sent_again(house: Installation, point: str) -> None:
    welcome(house)
    bring(house, "First name,Email\nAnn,ann@example.org\n")
    house.command("process_pipelines", status=-9, CRM_FAULT=f"{point}:kill9")
    backup(house)
    restored = restore(house, str(house.folder / "backup.zip"), "--force", "--start")
    assert (restored["uncertain"], restored["again"]) == (1, 0)
    house.command("process_pipelines")
    assert house.smtp.recipients() == [] and codes(house) == ["messages.uncertain"]
    assert house.sql("SELECT state FROM crm_message") == [("uncertain",)]


def test_a_database_with_something_in_it_is_not_replaced_without_a_word(house: Installation) -> None:
    backup(house)
    bring(house)
    assert "say --force" in house.refused("restore", str(house.folder / "backup.zip"))
    assert len(house.sql(CONTACTS)) == 2
    assert "there already" in house.refused("backup", str(house.folder / "backup.zip"))
    assert "outside of MEDIA_ROOT" in house.refused("backup", str(house.folder / "media" / "b.zip"))
    assert "Name a backup" in house.refused("restore")


def test_what_cannot_be_trusted_or_read_here_is_refused_and_nothing_changes(house: Installation) -> None:
    backup(house)
    path = house.folder / "backup.zip"
    bring(house)

    def no(name: str, change: Callable[[str, bytes], bytes]) -> str:
        return house.refused("restore", str(rewritten(path, house.folder / name, change)), "--force")

    def said(**changes: Any) -> Callable[[str, bytes], bytes]:
        return lambda name, data: (
            json.dumps({**json.loads(data), **changes}).encode() if name == "manifest.json" else data
        )

    (house.folder / "short.zip").write_bytes(path.read_bytes()[:-2000])
    assert "a part of it is missing" in house.refused("restore", str(house.folder / "short.zip"), "--force")
    assert "no file" in house.refused("restore", str(house.folder / "none.zip"))
    assert "another checksum" in no("media.zip", lambda name, data: b"x" + data if name.startswith("media") else data)
    assert "another checksum" in no("database.zip", lambda name, data: data[:-1] if name == "database" else data)
    assert "newer code" in no("newer.zip", said(migrations=["crm.9999_not_yet"]))
    assert "This is a backup of other" in no("kind.zip", said(database="other"))
    assert "the format crm.backup/2" in no("format.zip", said(format="crm.backup/2"))
    with zipfile.ZipFile(path) as packed:
        members = json.loads(packed.read("manifest.json"))["members"]
    assert "files that its manifest names" in no("less.zip", said(members={"database": members["database"]}))
    assert len(house.sql(CONTACTS)) == 2
    assert restore(house, str(path), "--check")["ok"]
    assert len(house.sql(CONTACTS)) == 2


def test_keys_are_not_in_the_archive_and_another_key_is_told(house: Installation) -> None:
    made = backup(house)
    secret = house.environment["SECRET_KEY"]
    with zipfile.ZipFile(house.folder / "backup.zip") as packed:
        assert not [name for name in packed.namelist() if secret.encode() in packed.read(name)]
    assert re.fullmatch("[0-9a-f]{16}", made["secret_key"])
    other = {"SECRET_KEY": "another-key-0123456789-0123456789-0123456789-0123456789"}
    path = str(house.folder / "backup.zip")
    assert restore(house, path, "--check")["warnings"] == []
    (warning,) = restore(house, path, "--check", **other)["warnings"]
    assert made["secret_key"] in warning
    assert restore(house, path, "--check", **other, SECRET_KEY_FALLBACKS=secret)["warnings"] == []
    restored = restore(house, path, "--force", **other)
    assert restored["warnings"] == [warning]


def test_who_was_erased_or_refused_since_the_backup_stays_so(house: Installation) -> None:
    bring(house)
    backup(house)
    house.command("erase_contact", "--team", "acme", "--email", "ann@example.org", "--yes")
    refusals = house.folder / "refusals.csv"
    refusals.write_text("email,reason\nbob@example.org,unsubscribed\n", "utf-8")
    house.command("suppressions", "import", str(refusals), "--team", "acme")
    restored = restore(house, str(house.folder / "backup.zip"), "--force")
    assert restored["carried"] == {"erased": 1, "refusals": 1, "revoked_keys": 0}
    assert house.sql(CONTACTS) == [("bob@example.org",)]
    assert house.sql("SELECT address FROM crm_suppression") == [("bob@example.org",)]


@pytest.mark.skipif(not POSTGRES, reason="SQLite needs no program beside it")
def test_a_missing_program_of_the_database_is_named(house: Installation) -> None:
    said = house.refused("backup", str(house.folder / "b.zip"), PATH="/nonexistent")
    assert "pg_dump is not installed here: install the client programs of PostgreSQL" in said
    assert [path.name for path in house.folder.glob("*.zip")] == []


def test_links_are_not_followed_out_of_the_folder_of_files(house: Installation) -> None:
    (house.folder / "secret.txt").write_text("of the machine", "utf-8")
    (house.folder / "media" / "link.txt").symlink_to(house.folder / "secret.txt")
    assert backup(house)["files"] == 1
    evil = io.BytesIO()
    with zipfile.ZipFile(evil, "w") as packed:
        packed.writestr("manifest.json", "{}")
    (house.folder / "evil.zip").write_bytes(evil.getvalue())
    assert "no backup" in house.refused("restore", str(house.folder / "evil.zip"))
