"""Pipelines as code: `pipelines pull|diff|push|validate FOLDER`."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
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
from tests.pipelines.simulation.test_expectations import asking

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


def test_what_may_surprise_is_told_before_it_is_pushed(welcome: Pipeline, tmp_path: Path) -> None:
    written(tmp_path, document([email(key="hello", delay=3_600, next="end"), email(key="again", delay="1d")]))
    _, out, _ = run("diff", tmp_path)
    assert out.splitlines()[-1] == "  warning: steps[1]: no step leads to 'again'"
    (told,) = json.loads(run("diff", tmp_path, "--json")[1])
    assert [each["severity"] for each in told["problems"]] == ["warning"]
    assert "warning: steps[1]" in run("push", tmp_path, "--yes")[1] and welcome.versions.count() == 2


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


def a_caller_and_what_it_calls(folder: Path, *, subject: str = "From inside") -> None:
    """Two documents that only exist together; the one that calls says what the other sends."""
    call = {"key": "call", "type": "call", "with": {"pipeline": "inner", "set": {"code": "A7"}}}
    then = [{"step": "call", "outcome": "next"}, {"status": "completed"}]
    told = {"condition": f"messages[0].subject == '{subject} A7'"}
    story = {"name": "The inner one writes", "given": {}, "then": [*then, told]}
    inner = document(
        [email(subject="From inside {{ code }}")], key="inner", triggers=[],
        variables=[{"name": "code", "type": "string", "required": True}],
    )  # fmt: skip
    written(folder, document([call], key="caller", triggers=[], meta={"expect": [story]}))
    written(folder, inner)


def test_documents_that_call_each_other_are_checked_and_played_together(team: Team, tmp_path: Path) -> None:
    a_caller_and_what_it_calls(tmp_path)
    status, out, err = run("validate", tmp_path)
    assert (status, err) == (0, "") and "caller.json: valid" in out
    status, out, _ = run("simulate", tmp_path)
    assert status == 0, out
    assert out.splitlines() == [
        f"{tmp_path / 'caller.json'}:", "  ✓ The inner one writes", f"{tmp_path / 'inner.json'}:", "  no expectations",
    ]  # fmt: skip
    assert not Pipeline.objects.exists()
    # Alone it cannot be told what the other does.
    status, out, _ = run("simulate", tmp_path / "caller.json")
    assert status == 1 and "there is no pipeline 'inner'" in out


def test_what_stands_in_the_folder_is_played_instead_of_what_the_team_has(team: Team, tmp_path: Path) -> None:
    a_caller_and_what_it_calls(tmp_path)
    assert run("push", tmp_path, "--yes", "--activate")[0] == 0
    assert run("simulate", "caller")[0] == 0
    a_caller_and_what_it_calls(tmp_path, subject="Changed")
    changed = json.loads((tmp_path / "inner.json").read_text())
    changed["steps"][0]["with"]["subject"] = "Changed {{ code }}"
    written(tmp_path, changed)
    assert run("simulate", tmp_path)[0] == 0
    assert run("simulate", tmp_path / "caller.json")[0] == 1


def test_documents_that_call_each_other_in_a_circle_are_played_to_its_end(team: Team, tmp_path: Path) -> None:
    for key, other in (("ping", "pong"), ("pong", "ping")):
        call = {"key": "call", "type": "call", "with": {"pipeline": other}}
        story = {"name": "Too deep", "given": {}, "then": [{"status": "failed"}]}
        written(tmp_path, document([call], key=key, triggers=[], meta={"expect": [story]}))
    status, out, _ = run("simulate", tmp_path)
    assert status == 0 and out.count("✓ Too deep") == 2, out


@pytest.mark.parametrize("options", [["--activate"], ["--publish"], []], ids=["activate", "publish", "draft"])
def test_new_documents_that_call_each_other_in_a_circle_are_pushed_together(
    team: Team, tmp_path: Path, options: list[str]
) -> None:
    values = [{"name": "code", "type": "string", "required": True}]
    for key, other in (("ping", "pong"), ("pong", "ping")):
        call = {"key": "call", "type": "call", "with": {"pipeline": other, "set": {"code": "A7"}}}
        story = {"name": "Too deep", "given": {"variables": {"code": "A1"}}, "then": [{"status": "failed"}]}
        written(
            tmp_path,
            document([email("{{ code }}"), call], key=key, triggers=[], variables=values, meta={"expect": [story]}),
        )
    status, out, _ = run("push", tmp_path, "--yes", *options)
    assert status == 0, out
    versions = dict(Pipeline.objects.values_list("key", "current_version__number"))
    assert versions == ({"ping": 1, "pong": 1} if options else {"ping": None, "pong": None})
    assert run("diff", tmp_path)[0] == 0


def test_a_draft_is_held_to_what_the_pipeline_that_comes_with_it_declares(team: Team, tmp_path: Path) -> None:
    a_caller_and_what_it_calls(tmp_path)
    caller = json.loads((tmp_path / "caller.json").read_text())
    del caller["steps"][0]["with"]["set"]
    written(tmp_path, caller)
    with pytest.raises(CommandError, match="'inner' needs a value for its variable 'code'"):
        run("push", tmp_path, "--yes")
    assert not Pipeline.objects.exists()


def test_a_promise_that_breaks_in_one_file_of_a_folder_keeps_all_from_being_pushed(team: Team, tmp_path: Path) -> None:
    written(tmp_path, document([email()], key="aaa"))
    story = {"name": "Never", "given": {}, "then": [{"status": "failed"}]}
    written(tmp_path, document([email()], key="bbb", meta={"expect": [story]}))
    with pytest.raises(CommandError, match=r"bbb.json: meta.expect\[0\].then\[0\].status: .* Nothing was pushed"):
        run("push", tmp_path, "--yes", "--activate")
    assert not Pipeline.objects.exists()
    assert run("push", tmp_path, "--yes", "--activate", "--force")[0] == 0


@pytest.mark.django_db(transaction=True)
def test_what_a_folder_promises_is_played_before_the_transaction_that_pushes_it(tmp_path: Path) -> None:
    create_team(name="Acme", slug="acme")
    a_caller_and_what_it_calls(tmp_path)
    inside: list[bool] = []
    with asking(lambda: inside.append(connection.in_atomic_block)):
        assert run("push", tmp_path, "--yes", "--activate")[0] == 0
    assert inside == [False, False]


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
    status, out, _ = run("diff", tmp_path)
    assert status == 1
    assert "broken" in out and "the team has archived 'welcome': remove this file, or give it another key" in out
    with pytest.raises(CommandError, match="mend these files first"):
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


def test_blocks_are_pushed_as_a_draft_and_published_when_asked(team: Team, tmp_path: Path) -> None:
    def fork(delay: str) -> dict[str, Any]:
        branches = [{"name": "mail", "steps": [email(key="hello", delay=delay)]}]
        return document([{"key": "fork", "type": "parallel", "with": {"branches": branches}}])

    import_document(team=team, document=fork("1d"), activate=True)
    path = written(tmp_path, fork("2d"))
    assert (
        f"{path}: welcome is active, version 1, with changes that are not published"
        in run("push", tmp_path, "--yes")[1]
    )
    assert run("push", tmp_path)[1] == "The team has all of it already.\n"
    assert f"{path}: welcome is active, version 2\n" in run("push", tmp_path, "--yes", "--publish")[1]
    written(tmp_path, fork("3d"))
    assert "not published" in run("import", path)[1]
    assert "welcome is active, version 3\n" in run("import", path, "--publish")[1]
