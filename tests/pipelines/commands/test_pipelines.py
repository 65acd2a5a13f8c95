"""`manage.py pipelines export|validate|import` and `demo`."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from crm.models import Member, Team
from crm.teams import create_team
from pipelines.models import Pipeline, PipelineRun
from pipelines.recipes.gallery import recipes
from pipelines.states import RunStatus
from tests.pipelines.engine.building import document, email

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return create_team(name="Acme", slug="acme")


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of `pipelines`."""
    out, err = StringIO(), StringIO()
    try:
        call_command("pipelines", *arguments, stdout=out, stderr=err)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def written(folder: Path, content: Any, name: str = "p.json") -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return str(path)


def test_what_is_imported_is_exported_unchanged(team: Team, tmp_path: Path) -> None:
    file = written(tmp_path, document([email(), email(subject="Later", delay="1d")]))
    status, out, _ = run("import", file, "--team", "acme", "--activate")
    assert status == 0 and "welcome is active, version 1" in out
    _, first, _ = run("export", "welcome", "--team", "acme")
    again = written(tmp_path, first, "again.json")
    assert run("import", again, "--team", "acme")[0] == 0
    assert run("export", "welcome", "--team", "acme")[1] == first
    assert Pipeline.objects.count() == 1


def test_every_problem_is_told_with_its_file_and_path(team: Team, tmp_path: Path) -> None:
    good = written(tmp_path, document([email()]), "good.json")
    bad = written(tmp_path, document([{"type": "send_fax"}], key="bad"), "bad.json")
    status, _, err = run("validate", good, bad, "--team", "acme")
    assert status == 1 and f"{bad}: error: steps[0].type" in err
    assert not Pipeline.objects.exists()
    status, out, _ = run("validate", bad, "--team", "acme", "--json")
    assert json.loads(out)[0]["problems"][0]["path"] == "steps[0].type"


@pytest.mark.parametrize(("content", "sentence"), [("{", "is not JSON"), ('{"key": 1, "key": 2}', "given twice")])
def test_a_file_that_is_no_document_is_refused_with_a_sentence(
    team: Team, tmp_path: Path, content: str, sentence: str
) -> None:
    status, _, err = run("import", written(tmp_path, content), "--team", "acme")
    assert status == 1 and sentence in err


def test_an_unknown_team_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no team 'nobody'"):
        run("validate", written(tmp_path, {}), "--team", "nobody")


def test_the_demo_has_people_of_every_role_and_runs_in_every_state(settings: Settings, tmp_path: Path) -> None:
    settings.DEBUG, settings.VAR_DIR = True, tmp_path
    out = StringIO()
    call_command("demo", stdout=out)
    assert Member.objects.count() == 5
    assert "olivia@demo.example" in (tmp_path / "demo-logins.txt").read_text("utf-8")
    states = set(PipelineRun.objects.values_list("status", flat=True))
    assert states >= {RunStatus.PENDING, RunStatus.PAUSED, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}
    taken = dict(Pipeline.objects.filter(key__in=recipes()).values_list("key", "status"))
    assert taken == {"nps_survey": 1, "no_show_follow_up": 0, "renewal_reminders": 0}
    with pytest.raises(CommandError, match="already there"):
        call_command("demo", stdout=out)
    call_command("demo", "--if-empty", stdout=out)


def test_the_demo_is_not_for_production() -> None:
    with pytest.raises(CommandError, match="DEBUG"):
        call_command("demo")
    assert not Team.objects.exists()
