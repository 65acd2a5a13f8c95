"""The tables of `docs/performance.md` renew themselves."""

from pathlib import Path

import pytest

from bench.__main__ import NAMES
from bench.peers.__main__ import TITLES
from bench.targets import tables_of, write_targets
from bench.written import write_section

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
MOVING = """## Moving

| way | runs/s (median) | lowest | highest | of the floor |
|---|---:|---:|---:|---:|
| floor: the same rows | 20,000 | 1 | 2 | 1.000 |
| the engine | 8,000 | 1 | 2 | 0.400 |
| the engine, two workers | 16,000 | 1 | 2 | 0.800 |
"""


def test_every_benchmark_has_its_place_in_the_document() -> None:
    wanted = {*NAMES, *(f"peers {job}" for job in TITLES), "targets"}
    assert wanted == set(tables_of(DOCUMENT.read_text("utf-8")))


def test_a_table_is_renewed_and_the_words_around_it_stay(tmp_path: Path) -> None:
    document = tmp_path / "speed.md"
    document.write_text("Before.\n<!-- bench: moving -->\nold\n<!-- end -->\nAfter.\n", "utf-8")
    write_section(document, "moving", MOVING)
    text = document.read_text("utf-8")
    assert text.startswith("Before.") and text.endswith("After.\n") and "old" not in text and "20,000" in text
    with pytest.raises(LookupError):
        write_section(document, "lanes", "")


def test_targets_say_what_is_met_and_by_how_much_the_rest_is_missed(tmp_path: Path) -> None:
    document = tmp_path / "speed.md"
    marks = "<!-- bench: moving -->\n<!-- end -->\n<!-- bench: targets -->\n<!-- end -->\n"
    document.write_text(marks, "utf-8")
    write_section(document, "moving", MOVING)
    write_targets(document)
    text = document.read_text("utf-8")
    assert "| moving runs, of the three-step floor | at least 0.5 | 0.40 | missed: 0.80 of it |" in text
    assert "| two workers, times one | at least 1.5 | 2.00 | met |" in text
    assert "| enrollment by batch, of its floor | at least 0.5 | | not measured |" in text
