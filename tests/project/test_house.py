"""What holds for the project as a whole: documented settings, pinned libraries, imports one way, small files."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ("config", "crm", "contacts", "pipelines")
LONGEST = {"tests": 500, **dict.fromkeys(APPS, 340)}
READ = re.compile(r"""env(?:\.\w+)?\(\s*"([A-Z][A-Z0-9_]*)\"""")
NAMED = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]*)=", re.MULTILINE)
PINNED = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\d[\w.]*(\s*;.*)?")


def _tracked() -> list[Path]:
    """Files of the repository, where there is one."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git clone")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _sources() -> Iterator[Path]:
    for app in (*APPS, "tests"):
        yield from (ROOT / app).rglob("*.py")


def _settings_read() -> set[str]:
    text = (ROOT / "config" / "settings.py").read_text("utf-8")
    return set(READ.findall(text))


def _settings_described() -> set[str]:
    return set(NAMED.findall((ROOT / ".env.example").read_text("utf-8")))


def test_every_setting_of_the_environment_is_described() -> None:
    assert len(_settings_read()) > 30
    assert _settings_read() - _settings_described() == set()


def test_nothing_is_described_that_is_not_read() -> None:
    assert _settings_described() - _settings_read() == set()


def test_a_described_setting_may_be_taken_as_it_stands() -> None:
    """A note behind a value would become part of it when somebody takes the `#` away."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    assert [line for line in lines if NAMED.match(line) and re.search(r"\s\(", line)] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_library_is_pinned_to_one_version(name: str) -> None:
    lines = [line.split(" #")[0].strip() for line in (ROOT / name).read_text("utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith(("#", "-r "))]
    assert wanted
    assert [line for line in wanted if not PINNED.fullmatch(line)] == []


def test_libraries_come_from_the_public_index() -> None:
    text = "".join((ROOT / name).read_text("utf-8") for name in ("requirements.txt", "requirements-dev.txt"))
    assert not re.search(r"--(extra-)?index-url|--find-links|https?://", text)


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout


def test_no_file_is_one_big_drawer() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text("utf-8").splitlines())
        for path in _sources()
        if "migrations" not in path.parts
    }
    assert {str(path): lines for path, lines in lengths.items() if lines > LONGEST[path.parts[0]]} == {}


def test_no_module_is_named_after_nothing() -> None:
    drawers = {"utils", "helpers", "common", "misc"}
    assert [str(path.relative_to(ROOT)) for path in _sources() if path.stem in drawers] == []


def test_no_file_knows_the_home_of_its_author() -> None:
    home = re.compile(rb"/(?:home|Users)/[a-z][\w.-]*/|/root/|[A-Z]:\\\\Users\\\\")
    known = [path for path in _tracked() if home.search(path.read_bytes())]
    assert [str(path.relative_to(ROOT)) for path in known if path != Path(__file__)] == []


def test_every_module_says_in_one_sentence_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in _sources()
        if "migrations" not in path.parts and (text := path.read_text("utf-8").strip()) and not text.startswith('"""')
    ]
    assert silent == []


def test_the_shipped_unit_lets_a_worker_finish_what_it_has_begun() -> None:
    unit = (ROOT / "docs" / "deploy" / "crm-worker.service").read_text("utf-8")
    assert "KillMode=mixed" in unit
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    compose = yaml.safe_load((ROOT / "docs" / "deploy" / "compose.yaml").read_text("utf-8"))
    assert compose["services"]["worker"]["stop_grace_period"] == f"{seconds}s"
    assert int(seconds) > settings.WORKER_GRACE_SECONDS
