"""Which new records enter which pipeline, on a page of its own."""

import json

from django.contrib.contenttypes.models import ContentType
from django.test import Client

from contacts.models import Contact, Deal
from crm.models import Team
from crm.teams import create_team
from pipelines.models import AutomaticPipeline, Pipeline, PipelineRun
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import form_of, text_of
from tests.pipelines.engine.building import active, email

PAGE = "/admin/pipelines/automaticpipeline/"


def type_id(model: type[Contact] | type[Deal]) -> str:
    return str(ContentType.objects.get_for_model(model).pk)


def test_a_manager_lets_new_contacts_into_a_pipeline(manager: Client, team: Team) -> None:
    pipeline = active(team, [email()], triggers=[{"type": "manual"}])
    Contact.objects.create(team=team, first_name="Before", email="b@example.org")
    clause = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "lead"}
    values = {"pipeline": str(pipeline.pk), "model": type_id(Contact), "enabled": "on", "where": json.dumps(clause)}
    page = manager.post(f"{PAGE}add/", values, follow=True)
    assert "was added successfully" in text_of(page)
    Contact.objects.create(team=team, first_name="Ann", email="a@example.org", lifecycle_stage="lead")
    Contact.objects.create(team=team, first_name="Ben", email="c@example.org", lifecycle_stage="customer")
    assert [str(run.subject) for run in PipelineRun.objects.all()] == ["Ann"]

    row = AutomaticPipeline.objects.get()
    address = f"{PAGE}{row.pk}/change/"
    values = form_of(manager.get(address), "automaticpipeline_form")
    values.pop("enabled")
    manager.post(address, values)
    Contact.objects.create(team=team, first_name="Cid", email="d@example.org", lifecycle_stage="lead")
    assert PipelineRun.objects.count() == 1
    assert "Welcome" in text_of(manager.get(PAGE))


def test_a_condition_that_cannot_be_read_is_refused_and_kept(manager: Client, welcome: Pipeline) -> None:
    values = {"pipeline": str(welcome.pk), "model": type_id(Contact), "enabled": "on", "where": '{"field": "contact.'}
    page = manager.post(f"{PAGE}add/", values)
    assert "Not valid JSON" in text_of(page)
    assert form_of(page, "automaticpipeline_form")["where"] == '{"field": "contact.'
    values["where"] = json.dumps({"field": "contact.email", "operator": "resembles", "value": "x"})
    page = manager.post(f"{PAGE}add/", values)
    assert "resembles" in text_of(page) and AutomaticPipeline.objects.count() == 1


def test_the_records_must_be_those_the_pipeline_is_about(manager: Client, welcome: Pipeline) -> None:
    page = manager.post(f"{PAGE}add/", {"pipeline": str(welcome.pk), "model": type_id(Deal), "enabled": "on"})
    assert "must be the subject of the pipeline" in text_of(page)
    assert AutomaticPipeline.objects.count() == 1


def test_closing_a_way_in_leaves_its_runs_alone(manager: Client, team: Team, welcome: Pipeline) -> None:
    Contact.objects.create(team=team, first_name="Ann", email="a@example.org")
    row = AutomaticPipeline.objects.get()
    manager.post(f"{PAGE}{row.pk}/delete/", {"post": "yes"})
    assert not AutomaticPipeline.objects.exists() and PipelineRun.objects.get().trigger_id is None


def test_a_viewer_looks_and_a_stranger_does_not(viewer: Client, sign_in: SignIn, welcome: Pipeline) -> None:
    row = AutomaticPipeline.objects.get()
    address = f"{PAGE}{row.pk}/change/"
    assert viewer.get(address).status_code == 200
    assert viewer.post(address, {}).status_code == 403
    stranger = sign_in("owner", of=create_team(name="Other", slug="other"))
    assert stranger.get(address).status_code == 302
    values = {"pipeline": str(welcome.pk), "model": type_id(Contact), "enabled": "on"}
    assert "valid choice" in text_of(stranger.post(f"{PAGE}add/", values))
    assert AutomaticPipeline.objects.count() == 1
