"""Code on the page of a pipeline: written by those who may, kept by everybody."""

import json

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
    assert changed(manager, coded, source="result = {'n': 2}") == 403
    assert source_of(coded) == "result = {'n': 1}"
    assert changed(manager, coded, source="result = {'n': 1}") == 302
    coded.refresh_from_db()
    assert coded.name == "Another name"


def test_an_admin_changes_the_code(sign_in: SignIn, coded: Pipeline) -> None:
    assert changed(sign_in("admin"), coded, source="result = {'n': 2}") == 302
    assert source_of(coded) == "result = {'n': 2}"
