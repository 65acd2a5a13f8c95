"""Several engines at once: on one machine, beside a loop, and stopped in the middle."""

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import Installation, installation
from tests.pipelines.engine.building import document, email
from tests.project.processes import eventually

pytestmark = pytest.mark.slow
COUNT = 120


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path, name="beside") as made:
        made.environment["PIPELINES_KICK"] = "0"
        file = tmp_path / "pipeline.json"
        file.write_text(json.dumps(document([email()])), "utf-8")
        made.command("pipelines", "import", str(file), "--team", "acme", "--activate")
        people = tmp_path / "people.csv"
        people.write_text("\n".join(["Email", *(f"c{n}@example.org" for n in range(COUNT))]), "utf-8")
        made.command("import_contacts", str(people), "--team", "acme")
        yield made


def test_two_loops_and_a_pass_do_everything_once_and_stop_when_asked(house: Installation) -> None:
    loops = [house.start("process_pipelines", "--loop", "--json") for _ in range(2)]
    # As slow to start as the loops are, so that all three meet.
    beside = house.start("process_pipelines", "--json")
    assert beside.ends() == 0
    for loop in loops:
        eventually(lambda loop=loop: _listens(loop.process.pid))  # type: ignore[misc]
    eventually(lambda: len(house.smtp.recipients()) >= COUNT)
    for loop in loops:
        loop.process.send_signal(signal.SIGTERM)
    assert [loop.ends(within=30) for loop in loops] == [0, 0]
    assert Counter(house.smtp.recipients()) == Counter({f"c{n}@example.org": 1 for n in range(COUNT)})
    report = json.loads(house.command("process_pipelines", "--json"))
    assert report == {"runs": 0, "visits": 0, "sent": 0, "failed": 0, "late_seconds": 0.0}
    assert json.loads(house.command("doctor", "--json"))["findings"] == []


def _listens(pid: int) -> bool:
    """Whether a program does something of its own when it is asked to stop."""
    caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text("utf-8"), re.M)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
