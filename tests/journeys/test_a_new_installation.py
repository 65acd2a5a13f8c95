"""From an empty database to mail in somebody's inbox, with every program as it runs in life."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import Installation, installation
from tests.pipelines.engine.building import document, email
from tests.project.processes import eventually

pytestmark = pytest.mark.slow

NAMES = ["Zoë", "O'Brien", "Müller, Jörg", 'Ann "Andy"', "Łukasz"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path, name="journey") as made:
        yield made


def test_contacts_enroll_themselves_and_each_gets_one_mail_at_once(house: Installation, tmp_path: Path) -> None:
    file = tmp_path / "welcome.json"
    steps = [email("Hello {{ contact.first_name }}", subject="Welcome"), email(subject="Later", delay="1d")]
    file.write_text(json.dumps(document(steps)), "utf-8")
    house.command("pipelines", "import", str(file), "--team", "acme", "--activate")
    house.serve()
    house.start("worker").says("cluster works")

    made = house.api("POST", "contacts/", {"first_name": "Ann", "email": "ann@example.org"})
    eventually(lambda: house.smtp.recipients() == ["ann@example.org"])
    (mail,) = house.smtp.messages()
    assert mail["Subject"] == "Welcome"
    eventually(lambda: house.api("GET", f"pipeline-runs/?contact={made['id']}")["results"][0]["status"] == "pending")
    (run,) = house.api("GET", f"pipeline-runs/?contact={made['id']}")["results"]
    assert run["next_step_at"] is not None

    people = tmp_path / "people.csv"
    rows = [f'"{NAMES[n % 5].replace(chr(34), chr(34) * 2)}",c{n}@example.org' for n in range(40)]
    people.write_text("\n".join(["First name,Email", *rows, "Nobody,not-an-address"]), "utf-8")
    house.command("import_contacts", str(people), "--team", "acme", "--json", status=1)
    eventually(lambda: len(house.smtp.recipients()) == 41)
    assert Counter(house.smtp.recipients()).most_common(1)[0][1] == 1
    eventually(lambda: house.api("GET", "status/")["sent_today"] == 41)
    assert json.loads(house.command("doctor", "--json"))["findings"] == []
