"""Pipelines as code: `pipelines pull|diff|push|validate FOLDER`."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from contacts.models import Contact, RecordType, Segment
from crm.models import MessageTemplate, Team
from crm.teams import create_team
from pipelines.definition.document import dumps
from pipelines.definition.layout import every_place
from pipelines.documents import normal
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations import import_document
from tests.pipelines.engine.building import active, document, email

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return create_team(name="Acme", slug="acme")


@pytest.fixture
def welcome(team: Team) -> Pipeline:
    return active(team, [email(key="hello", delay=3_600), email(key="again", delay="1d")])


def run(*arguments: Any) -> tuple[int, str, str]:
    """Exit status, output and errors of `pipelines`."""
    out, err = StringIO(), StringIO()
    try:
        call_command("pipelines", *map(str, arguments), "--team", "acme", stdout=out, stderr=err)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def written(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / f"{content['key']}.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_what_was_pulled_does_not_differ_and_pulls_the_same_bytes(welcome: Pipeline, tmp_path: Path) -> None:
    assert run("pull", tmp_path)[1] == f"{tmp_path / 'welcome.json'}: written\n"
    before = (tmp_path / "welcome.json").read_bytes()
    assert run("diff", tmp_path) == (0, "", "")
    assert run("pull", tmp_path)[1] == f"{tmp_path / 'welcome.json'}: unchanged\n"
    assert run("push", tmp_path)[1] == "The team has all of it already.\n"
    assert (tmp_path / "welcome.json").read_bytes() == before and welcome.versions.count() == 1


def test_a_difference_is_told_in_words_and_by_the_exit_status(welcome: Pipeline, tmp_path: Path) -> None:
    import_document(team=welcome.team, document=document([email()], key="other"))
    written(tmp_path, document([email(key="hello", delay=7_200), email(key="again", delay="1d")]))
    written(tmp_path, document([email()], key="brand_new"))
    status, out, _ = run("diff", tmp_path)
    assert status == 1
    assert out.splitlines() == [
        f"{tmp_path / 'brand_new.json'}: new",
        f"{tmp_path / 'other.json'}: only in the team",
        f"{tmp_path / 'welcome.json'}: changed",
        "  Step “Send email” changed: wait 1 hour → 2 hours.",
    ]
    told = json.loads(run("diff", tmp_path, "--json")[1])
    assert [(each["key"], each["state"]) for each in told] == [
        ("brand_new", "new"), ("other", "only in the team"), ("welcome", "changed"),
    ]  # fmt: skip


def test_a_push_says_what_will_happen_and_does_it_once_agreed(
    welcome: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Contact.objects.create(team=welcome.team, email="ann@example.org")
    written(tmp_path, document([email(key="again", delay="2d")]))
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(CommandError, match="Nothing was pushed"):
        run("push", tmp_path)
    assert welcome.versions.count() == 1
    monkeypatch.setattr("builtins.input", lambda _: "y")
    _, out, _ = run("push", tmp_path)
    assert "1 at “hello”: This step goes: they are passed on to “again”." in out
    assert f"{tmp_path / 'welcome.json'}: welcome is active, version 2" in out
    moved = PipelineRun.objects.get()
    assert moved.step is not None and moved.step.key == "again"
    assert welcome.versions.get(number=2).note == "Pushed"
    assert run("diff", tmp_path)[0] == 0


def test_a_push_with_a_policy_asks_nobody_when_told_so(welcome: Pipeline, tmp_path: Path) -> None:
    Contact.objects.create(team=welcome.team, email="ann@example.org")
    written(tmp_path, document([email(key="again", delay="2d")]))
    assert run("push", tmp_path, "--yes", "--policy", "pin")[0] == 0
    stays = PipelineRun.objects.get()
    assert stays.step is not None and stays.step.key == "hello"


def test_one_broken_file_keeps_everything_from_being_pushed(welcome: Pipeline, tmp_path: Path) -> None:
    written(tmp_path, document([email()], key="fine"))
    bad = written(tmp_path, document([{"type": "send_fax"}], key="bad"))
    status, _, err = run("validate", tmp_path)
    assert status == 1 and f"{bad}: error: steps[0].type" in err
    with pytest.raises(CommandError, match="mend these files first"):
        run("push", tmp_path, "--yes")
    assert list(Pipeline.objects.values_list("key", flat=True)) == ["welcome"]


def test_two_files_with_one_key_and_a_folder_that_is_none_are_refused(welcome: Pipeline, tmp_path: Path) -> None:
    text = json.dumps(document([email()]))
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "b.json").write_text(text)
    status, out, _ = run("diff", tmp_path)
    assert status == 1 and "key: is given by a.json already" in out
    with pytest.raises(CommandError, match="There is no folder"):
        run("diff", tmp_path / "nowhere")
    with pytest.raises(CommandError, match="no pipeline nobody"):
        run("pull", tmp_path, "nobody")


def test_pushed_pipelines_are_activated_when_asked(team: Team, tmp_path: Path) -> None:
    written(tmp_path, document([email()], key="fresh"))
    assert "fresh is active, version 1" in run("push", tmp_path, "--yes", "--activate")[1]


def test_an_archived_pipeline_is_neither_pulled_nor_pushed_over(welcome: Pipeline, tmp_path: Path) -> None:
    Pipeline.objects.update(status=Pipeline.Status.ARCHIVED)
    assert run("pull", tmp_path)[1] == ""
    written(tmp_path, document([email()]))
    with pytest.raises(CommandError, match="archived pipeline cannot be changed"):
        run("push", tmp_path, "--yes")


EXAMPLES = sorted((Path(__file__).parent.parent / "operations" / "examples").glob("*.json"))


def everything_they_name(team: Team) -> None:
    """What the examples expect their team to have."""
    for key in ("hot", "inactive"):
        Segment.objects.get_or_create(team=team, key=key, defaults={"name": key.title()})
    for path in EXAMPLES:
        for place in every_place(json.loads(path.read_text("utf-8"))):
            template = place.step.get("with", {}).get("template")
            if template:
                MessageTemplate.objects.get_or_create(team=team, key=template, defaults={"subject": "Hi", "text": "Hi"})
    for key in ("product", "purchase_order"):
        RecordType.objects.get_or_create(team=team, key=key, defaults={"label": key.title()})


def test_the_eight_examples_are_pushed_as_a_folder_and_pulled_byte_for_byte(
    team: Team, tmp_path: Path, settings: Settings
) -> None:
    settings.PIPELINES_CODE_STEPS = True
    everything_they_name(team)
    given = tmp_path / "given"
    given.mkdir()
    for path in EXAMPLES:
        (given / path.name).write_bytes(path.read_bytes())
    status, out, err = run("push", given, "--yes")
    assert status == 0 and err == "" and Pipeline.objects.count() == len(EXAMPLES) == 8, out
    pulled = tmp_path / "pulled"
    run("pull", pulled)
    texts = {document["key"]: dumps(normal(document)) for document in map(json.loads, _texts(EXAMPLES))}
    assert {path.stem: path.read_text("utf-8") for path in pulled.glob("*.json")} == texts
    assert run("diff", given) == (0, "", "")


def _texts(paths: list[Path]) -> list[str]:
    return [path.read_text("utf-8") for path in paths]
