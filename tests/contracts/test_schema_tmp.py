"""The OpenAPI document is complete, and the API answers as it says, whatever it is asked."""

import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.installation import Installation, installation
from tests.project.processes import eventually

CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"


def test_the_document_is_valid_and_says_everything() -> None:
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    assert "openapi: 3.1.0" in out.getvalue()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path, name="schema") as made:
        made.environment["API_RATE"] = "1000000/min"
        made.serve()
        yield made


@pytest.mark.slow
def test_nothing_one_can_ask_makes_it_break(house: Installation) -> None:
    eventually(lambda: bool(house.api("GET", "status/")))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("st")), "run", f"http://127.0.0.1:{house.port}/api/v1/schema/",
         "-H", f"Authorization: Bearer {house.token}", "--checks", CHECKS, "--max-examples", "3",
         "--include-path-regex", "segments|activate|existing", "--phases", "fuzzing", "--generation-deterministic", "--no-color"],
        cwd=house.folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[:6000]
    assert "Tested: " in done.stdout
