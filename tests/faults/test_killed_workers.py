"""Workers that die at the worst moment: nothing is lost, nothing happens twice, doubt is told."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import Installation, installation
from tests.pipelines.engine.building import document, email

pytestmark = pytest.mark.slow
KILLED = -9
COUNT = 7


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("faults"), name="faults") as made:
        made.environment["PIPELINES_KICK"] = "0"
        yield made


def prepare(house: Installation, folder: Path, key: str) -> None:
    """A pipeline that marks a contact and writes to it, and contacts in it."""
    mark = {"type": "update_record", "with": {"values": {"marks": "= (contact.marks if contact.marks else 0) + 1"}}}
    trigger = {"type": "created", "model": "contacts.contact", "automatic": True,
               "where": {"field": "contact.lead_source", "operator": "equals", "value": key}}  # fmt: skip
    file = folder / "pipeline.json"
    file.write_text(json.dumps(document([mark, email()], key=key, triggers=[trigger])), "utf-8")
    house.command("pipelines", "import", str(file), "--team", "acme", "--activate")
    people = folder / "people.csv"
    rows = [f"C{n},{key}{n}@example.org,{key}" for n in range(COUNT)]
    people.write_text("\n".join(["First name,Email,Lead source", *rows]), "utf-8")
    house.command("import_contacts", str(people), "--team", "acme")


def sent(house: Installation, key: str) -> Counter[str]:
    return Counter(address for address in house.smtp.recipients() if address.startswith(key))


def end_leases(house: Installation) -> None:
    """Let time pass for what dead workers held."""
    house.sql("UPDATE pipelines_effect SET lease_until = '2001-01-01T00:00:00Z' WHERE status IN (1, 2)")


@pytest.mark.parametrize("point", ["after_claim", "before_commit", "after_commit", "after_lease", "before_sending"])
def test_before_anything_leaves_a_death_changes_nothing(house: Installation, tmp_path: Path, point: str) -> None:
    key = point.replace("_", "")
    prepare(house, tmp_path, key)
    house.command("process_pipelines", status=KILLED, CRM_FAULT=f"{point}:kill9")
    end_leases(house)
    report = json.loads(house.command("process_pipelines", "--json"))
    house.command("process_pipelines")
    assert sent(house, key) == Counter({f"{key}{n}@example.org": 1 for n in range(COUNT)})
    marks = house.sql(f"SELECT custom FROM contacts_contact WHERE lead_source = '{key}'")
    assert [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in marks] == [{"marks": 1}] * COUNT
    assert report["failed"] == 0
    # That workers died here is worth a word, and what they left in doubt; nothing is stuck or late.
    found = json.loads(house.command("doctor", "--json", status=None))["findings"]
    assert {finding["code"] for finding in found} <= {"steps.deadly", "messages.uncertain"}


def test_a_death_while_handing_over_leaves_doubt_to_a_person(house: Installation, tmp_path: Path) -> None:
    prepare(house, tmp_path, "insend")
    house.command("process_pipelines", status=KILLED, CRM_FAULT="in_send:kill9:3")
    end_leases(house)
    house.command("process_pipelines")
    received = sent(house, "insend")
    assert set(received.values()) == {1}
    states = dict(house.sql("SELECT state, count(*) FROM crm_message WHERE recipient LIKE 'insend%' GROUP BY state"))
    assert set(states) == {"uncertain"} and states["uncertain"] == COUNT
    # The two that had been accepted are among the doubtful; nobody gets a second copy by itself.
    assert len(received) == 2
