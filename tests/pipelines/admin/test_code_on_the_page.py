"""Code on the page of a pipeline: written by those who may, kept by everybody."""

import json
import re

import pytest
from django.test import Client
from pytest_django import Settings

from crm.models import Team
from pipelines.documents import document_of
from pipelines.models import Pipeline
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import PIPELINE, form_of
from tests.pipelines.engine.building import active


@pytest.fixture
def coded(team: Team, settings: Settings) -> Pipeline:
    settings.PIPELINES_CODE_STEPS = True
    return active(team, [{"key": "sum", "type": "code", "with": {"source": "result = {'n': 1}"}}])


def choices(client: Client, path: str) -> list[str]:
    """The options of *Run code* in every list of actions of a page, as they stand in it."""
    return re.findall(r'<option value="code"[^>]*>[^<]*', client.get(path).content.decode())


def test_code_that_is_switched_off_is_shown_with_what_to_set_and_cannot_be_chosen(manager: Client) -> None:
    (option,) = set(choices(manager, f"{PIPELINE}add/"))
    assert " disabled" in option and option.endswith(">Run code (off: set PIPELINES_CODE_STEPS=1)")
    told = json.loads(re.findall(r'<script id="[^"]*" type="application/json">(\{"kinds".*?)</script>',
                                 manager.get(f"{PIPELINE}add/").content.decode())[0])  # fmt: skip
    assert told["kinds"]["code"]["off"] == "set PIPELINES_CODE_STEPS=1" and not told["kinds"]["wait"]["off"]


def test_code_that_is_switched_on_is_offered_like_anything_else(manager: Client, settings: Settings) -> None:
    settings.PIPELINES_CODE_STEPS = True
    assert set(choices(manager, f"{PIPELINE}add/")) == {'<option value="code">Run code'}


def test_a_step_that_has_code_keeps_it_while_code_is_switched_off(
    manager: Client, coded: Pipeline, settings: Settings
) -> None:
    settings.PIPELINES_CODE_STEPS = False
    mine, *others = choices(manager, f"{PIPELINE}{coded.pk}/change/")
    assert " selected" in mine and " disabled" not in mine
    assert others and all(" disabled" in each for each in others)


def changed(client: Client, pipeline: Pipeline, *, source: str) -> int:
    """The status of saving the page with other code in its step."""
    path = f"{PIPELINE}{pipeline.pk}/change/"
    form = form_of(client.get(path))
    name = next(name for name, value in form.items() if "result = " in value)
    form[name] = json.dumps({**json.loads(form[name]), "source": source})
    form["name"] = "Another name"
    return int(client.post(path, form).status_code)


def source_of(pipeline: Pipeline) -> str:
    return str(document_of(Pipeline.objects.get(pk=pipeline.pk))["steps"][0]["with"]["source"])


def test_a_manager_may_change_everything_but_the_code(manager: Client, coded: Pipeline) -> None:
    assert changed(manager, coded, source="result = {'n': 2}") == 200, "the page comes back"
    assert source_of(coded) == "result = {'n': 1}"
    assert changed(manager, coded, source="result = {'n': 1}") == 302
    coded.refresh_from_db()
    assert coded.name == "Another name"


def test_an_admin_changes_the_code(sign_in: SignIn, coded: Pipeline) -> None:
    assert changed(sign_in("admin"), coded, source="result = {'n': 2}") == 302
    assert source_of(coded) == "result = {'n': 2}"


def test_what_a_manager_wrote_beside_code_is_not_lost_when_that_is_refused(manager: Client, coded: Pipeline) -> None:
    path = f"{PIPELINE}{coded.pk}/change/"
    form = form_of(manager.get(path))
    name = next(name for name, value in form.items() if "result = " in value)
    page = manager.post(path, {**form, name: json.dumps({"source": "result = {'n': 2}"}), "name": "Typed for an hour"})
    assert page.status_code == 200
    rows = page.context["inline_admin_formsets"][0].formset
    assert rows.forms[0].errors["data"] == ["This brings in code, which only owners and admins of the team may write."]
    before_advanced = page.content.decode().partition("Advanced")[0]
    assert "which only owners and admins of the team may write." in before_advanced, "where nobody need unfold it"
    again = form_of(page)
    assert again["name"] == "Typed for an hour" and "'n': 2" in again[name]
    assert source_of(coded) == "result = {'n': 1}"


def test_code_inside_a_block_is_refused_above_the_steps(manager: Client, coded: Pipeline) -> None:
    path = f"{PIPELINE}{coded.pk}/change/"
    form = form_of(manager.get(path))
    name = next(name for name, value in form.items() if "result = " in value).replace("data", "")
    inner = [{"key": "more", "type": "code", "with": {"source": "result = {'n': 3}"}}]
    block = {"action_type": "loop", "data": json.dumps({"times": 2}), "inside": json.dumps({"": inner})}
    page = manager.post(path, {**form, **{f"{name}{field}": value for field, value in block.items()}})
    assert page.status_code == 200
    assert "only owners and admins" in page.context["inline_admin_formsets"][0].formset.non_form_errors()[0]
    assert source_of(coded) == "result = {'n': 1}"
