"""The examples are documents that come out as they went in."""

import json
import re
from pathlib import Path

import pytest
from pytest_django import Settings

from crm.models import Team
from pipelines.operations import validate_document
from tests.journeys.examples.stage import DOCUMENTS

NAMES = sorted(file.stem for file in DOCUMENTS.glob("*.json"))
LACKS = ("create it first", "import it first", "define it first")


def test_the_tests_that_the_proof_names_exist() -> None:
    root = Path(__file__).parents[3]
    section = (
        (root / "docs" / "proof.md").read_text("utf-8").split("## What the example pipelines say")[1].split("\n## ")[0]
    )
    named = set(re.findall(r"`(test_\w+)`", section))
    folders = (root / "tests" / "journeys" / "examples", root / "tests" / "pipelines" / "engine")
    written = {name for folder in folders for file in folder.glob("test_*.py")
               for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.M)}  # fmt: skip
    assert len(named) > 30 and named <= written, named - written


def test_there_are_eight() -> None:
    assert len(NAMES) == 8


@pytest.mark.parametrize("name", NAMES)
def test_nothing_stands_against_an_example_but_what_a_new_team_lacks(team: Team, settings: Settings, name: str) -> None:
    settings.PIPELINES_CODE_STEPS = True
    problems = validate_document(json.loads(Path(DOCUMENTS / f"{name}.json").read_text("utf-8")), team)
    errors = [problem for problem in problems if problem.severity == "error"]
    assert all(problem.path.startswith("steps[") for problem in errors)
    assert all(any(word in problem.message for word in LACKS) for problem in errors), errors
