"""A pipeline is made and changed on its page."""

import html
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client

from contacts.models import Contact, Record
from crm.models import Team
from pipelines.documents import apply_document, document_of
from pipelines.models import AutomaticPipeline, Pipeline, PipelineRun, Trigger
from pipelines.operations import publish
from pipelines.operations.gates import forget_gate, register_gate
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import PIPELINE, form_of, text_of, with_automatic, with_step
from tests.pipelines.engine.building import active

DATA = json.dumps({"subject": "Welcome {{ contact.first_name }}"})


def new_form(client: Client, **values: str) -> dict[str, str]:
    return {**form_of(client.get(f"{PIPELINE}add/")), "name": "Welcome people", **values}


def contact_type() -> int:
    return ContentType.objects.get_for_model(Contact).pk


def save(client: Client, values: dict[str, str], address: str = f"{PIPELINE}add/") -> Any:
    return client.post(address, {**values, "_continue": "1"}, follow=True)


def test_a_manager_makes_a_pipeline_that_greets_new_contacts(manager: Client, team: Team) -> None:
    values = with_step(new_form(manager), "send_email", message="Hello {{ contact.first_name }}", data=DATA)
    values = with_step(values, "wait", delay_text="2 days")
    page = save(manager, with_automatic(values, contact_type()))
    pipeline = Pipeline.objects.get()
    assert (pipeline.team, pipeline.key, pipeline.name) == (team, "welcome_people", "Welcome people")
    steps = list(pipeline.steps.order_by("number").values_list("number", "key", "action_type", "delay"))
    assert steps == [(1, "step_1", "send_email", 0), (2, "step_2", "wait", 172_800)]
    assert AutomaticPipeline.objects.get().pipeline == pipeline
    assert "Published as version 1." in text_of(page) and pipeline.current_version is not None

    answer = manager.post(f"{PIPELINE}{pipeline.pk}/activate/", {}, follow=True)
    assert "“Welcome people” is active." in text_of(answer)
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    assert PipelineRun.objects.get().subject_id == contact.pk


def test_saving_without_a_change_publishes_nothing_new(manager: Client, welcome: Pipeline) -> None:
    address = f"{PIPELINE}{welcome.pk}/change/"
    save(manager, form_of(manager.get(address)), address)
    welcome.refresh_from_db()
    assert welcome.versions.count() == 1 and welcome.current_version is not None


def test_steps_change_places_and_keep_what_they_are(manager: Client, welcome: Pipeline) -> None:
    address = f"{PIPELINE}{welcome.pk}/change/"
    ids = dict(welcome.steps.values_list("key", "pk"))
    values = form_of(manager.get(address))
    values |= {"steps-0-number": "2", "steps-1-number": "1"}
    page = save(manager, values, address)
    assert "Published as version 2." in text_of(page)
    assert list(welcome.steps.order_by("number").values_list("key", flat=True)) == ["again", "hello"]
    assert dict(welcome.steps.values_list("key", "pk")) == ids


def test_a_published_step_that_is_removed_is_kept_aside(manager: Client, welcome: Pipeline) -> None:
    address = f"{PIPELINE}{welcome.pk}/change/"
    values = form_of(manager.get(address)) | {"steps-1-DELETE": "on"}
    save(manager, values, address)
    assert [step.key for step in welcome.steps.filter(archived_at=None)] == ["hello"]
    assert welcome.steps.get(key="again").archived_at is not None


def test_an_error_in_the_form_keeps_everything_that_was_typed(manager: Client) -> None:
    values = with_step(new_form(manager), "send_email", message="Dear reader", data='{"subject": "Half', name="First")
    page = save(manager, with_step(values, "wait", delay_text="soon"))
    assert not Pipeline.objects.exists()
    kept = form_of(page)
    assert kept["steps-0-data"] == '{"subject": "Half' and kept["steps-0-message"] == "Dear reader"
    assert kept["steps-0-name"] == "First" and kept["steps-1-delay_text"] == "soon"
    assert "Not valid JSON: line 1" in text_of(page) and kept["name"] == "Welcome people"


def test_what_keeps_a_pipeline_from_running_is_said_at_its_step_and_nothing_is_lost(manager: Client) -> None:
    values = with_step(new_form(manager), "send_email", message="Hi {{ contact.first_nam }}", data=DATA)
    page = save(manager, with_step(values, "call_api", data="{}"))
    pipeline = Pipeline.objects.get()
    assert pipeline.current_version is None and pipeline.steps.count() == 2
    text = text_of(page)
    assert "Saved, not published" in text
    assert "steps[1].with" in text and 'href="#step-step_2"' in page.content.decode()
    assert form_of(page)["steps-0-message"] == "Hi {{ contact.first_nam }}"
    refused = manager.post(f"{PIPELINE}{pipeline.pk}/activate/", {}, follow=True)
    assert "Not done" in text_of(refused)
    pipeline.refresh_from_db()
    assert pipeline.status == Pipeline.Status.DRAFT


def test_two_people_do_not_overwrite_each_other(manager: Client, sign_in: SignIn, welcome: Pipeline) -> None:
    address = f"{PIPELINE}{welcome.pk}/change/"
    other = sign_in("admin")
    mine, theirs = form_of(manager.get(address)), form_of(other.get(address))
    save(other, theirs | {"name": "Theirs"}, address)
    page = save(manager, mine | {"name": "Mine"}, address)
    assert "Somebody else changed this pipeline" in text_of(page) and form_of(page)["name"] == "Mine"
    welcome.refresh_from_db()
    assert welcome.name == "Theirs"


def test_conditions_and_ways_on_are_saved_as_the_document_says_them(manager: Client) -> None:
    clause = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}
    values = with_step(
        new_form(manager), "condition", key="check", condition=json.dumps({"all": [clause, clause]}),
        edges=json.dumps({"true": "thank", "false": "end"}),
    )  # fmt: skip
    values = with_step(values, "send_email", key="thank", message="Thanks", data='{"subject": "Thanks"}')
    page = save(manager, with_automatic(values, contact_type(), where=json.dumps(clause)))
    assert "Published as version 1." in text_of(page)
    check = Pipeline.objects.get().steps.get(key="check")
    assert check.edges == {"true": "thank", "false": "end"} and check.condition == {"all": [clause, clause]}
    assert AutomaticPipeline.objects.get().where == clause
    assert "<svg" in page.content.decode()


def test_a_pipeline_without_automatic_publishing_waits_for_the_button(manager: Client, welcome: Pipeline) -> None:
    Pipeline.objects.filter(pk=welcome.pk).update(auto_publish=False)
    address = f"{PIPELINE}{welcome.pk}/change/"
    page = save(manager, form_of(manager.get(address)) | {"steps-0-name": "Greeting"}, address)
    assert "Changes are not published" in text_of(page) and welcome.versions.count() == 1
    question = manager.get(f"{PIPELINE}{welcome.pk}/publish/")
    assert "Publish this pipeline?" in text_of(question) and welcome.versions.count() == 1
    manager.post(f"{PIPELINE}{welcome.pk}/publish/", {})
    assert welcome.versions.count() == 2


def test_an_archived_pipeline_can_be_read_but_not_changed(manager: Client, welcome: Pipeline) -> None:
    manager.post(f"{PIPELINE}{welcome.pk}/archive/", {})
    page = manager.get(f"{PIPELINE}{welcome.pk}/change/")
    assert page.status_code == 200 and "This pipeline is archived" in text_of(page)
    answer = manager.post(f"{PIPELINE}{welcome.pk}/change/", {"name": "Other"})
    assert answer.status_code == 403


def test_the_page_costs_the_same_with_few_steps_and_many(
    manager: Client, welcome: Pipeline, django_assert_max_num_queries: Any
) -> None:
    for number in range(3, 31):
        welcome.steps.create(number=number, key=f"step_{number}", action_type="wait")
        welcome.triggers.create(kind=Trigger.Kind.EVENT, key=f"way_{number}", event="order.paid", position=number)
    publish(pipeline=welcome)
    with django_assert_max_num_queries(35):
        assert manager.get(f"{PIPELINE}{welcome.pk}/change/").status_code == 200


def test_names_that_look_like_markup_stay_text_everywhere(manager: Client, team: Team) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    values = {**with_step(new_form(manager), "wait", name=evil), "name": evil, "description": evil}
    save(manager, with_automatic(values, contact_type()))
    pipeline = Pipeline.objects.get()
    manager.post(f"{PIPELINE}{pipeline.pk}/activate/", {})
    contact = Contact.objects.create(team=team, first_name=evil[:50], email="ann@example.org")
    run = PipelineRun.objects.get(subject_id=contact.pk)
    pages = [
        f"{PIPELINE}{pipeline.pk}/change/", f"{PIPELINE}{pipeline.pk}/archive/", PIPELINE, "/admin/",
        "/admin/pipelines/pipelinerun/", f"/admin/pipelines/pipelinerun/{run.pk}/change/",
        f"/admin/pipelines/pipelineversion/{run.version_id}/change/", "/admin/pipelines/automaticpipeline/",
    ]  # fmt: skip
    for address in pages:
        html = manager.get(address).content.decode()
        assert "alert(1)" in html and "<script>alert(1)" not in html and "<img src=x" not in html, address


def test_a_superuser_chooses_the_team_of_a_new_pipeline(team: Team, welcome: Pipeline) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    values = with_step(form_of(client.get(f"{PIPELINE}add/")), "wait") | {"name": "Welcome", "team": str(team.pk)}
    assert "This field is required." in text_of(save(client, values | {"team": ""}))
    assert "was added successfully" in text_of(save(client, values))
    assert set(Pipeline.objects.values_list("team", "key")) == {(team.pk, "welcome"), (team.pk, "welcome_2")}


def test_steps_inside_a_block_are_shown_and_survive_the_form(manager: Client, welcome: Pipeline) -> None:
    branches = [
        {"name": "mail", "steps": [{"key": "inner", "type": "send_email", "name": "Inner mail", "message": "Hi"}]},
        {"name": "rest", "steps": [{"key": "pause", "type": "wait"}]},
    ]
    block = {"key": "fork", "type": "parallel", "name": "Both", "with": {"branches": branches}}
    before = document_of(welcome)
    apply_document(welcome, {**before, "steps": [*before["steps"], block]})
    address = f"{PIPELINE}{welcome.pk}/change/"

    page = manager.get(address)
    assert "Inner mail" in page.content.decode()
    save(manager, form_of(page) | {"name": "Renamed"}, address)

    welcome.refresh_from_db()
    assert welcome.name == "Renamed"
    assert document_of(welcome)["steps"][-1] == block


def _with_a_fork(welcome: Pipeline) -> dict[str, Any]:
    branches = [
        {"name": "mail", "steps": [{"key": "inner", "type": "send_email", "name": "Inner mail", "message": "Hi"}]},
        {"name": "rest", "steps": [{"key": "pause", "type": "wait"}]},
    ]
    before = document_of(welcome)
    block = {"key": "fork", "type": "parallel", "with": {"branches": branches}}
    apply_document(welcome, {**before, "steps": [*before["steps"], block]})
    return block


def _inside_field(values: dict[str, str]) -> str:
    return next(name for name, value in values.items() if name.endswith("-inside") and "inner" in value)


def test_steps_inside_a_block_are_edited_on_the_page(manager: Client, welcome: Pipeline) -> None:
    _with_a_fork(welcome)
    address = f"{PIPELINE}{welcome.pk}/change/"
    values = form_of(manager.get(address))
    field = _inside_field(values)
    lists = json.loads(values[field])
    inner = welcome.steps.get(key="inner").pk
    loop = {"type": "loop", "with": {"times": 2, "steps": [{"type": "wait", "delay": 60}]}}
    lists = {"mail": [{"type": "wait", "delay": "1d"}, *lists["mail"]], "rest": [loop]}

    save(manager, values | {field: json.dumps(lists)}, address)

    told = {branch["name"]: branch["steps"] for branch in document_of(welcome)["steps"][-1]["with"]["branches"]}
    assert [step["key"] for step in told["mail"]] == ["fork_1", "inner"]
    assert told["rest"][0]["with"]["steps"][0]["delay"] == 60 and told["rest"][0]["key"] == "fork_2"
    assert welcome.steps.get(key="inner").pk == inner, "a step that moves keeps its identity"
    assert not welcome.steps.filter(key="pause", archived_at=None).exists()


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ('{"mail": 5}', "must be a list of steps"),
        ('{"mail": [{"name": "x"}]}', "mail[0]: a step is an object with a type"),
        ('{"mail": [{"type": "wait", "colour": 1}]}', "unknown property"),
        ('{"mail": [{"type": "wait", "key": "A b"}]}', "small letters"),
        ('{"mail": [{"type": "wait", "key": "w"}], "rest": [{"type": "wait", "key": "w"}]}', "Two steps have the key"),
        ('{"mail": [', "Not valid JSON: line 1"),
    ],
)
def test_what_is_wrong_inside_a_block_is_told_and_nothing_is_lost(
    manager: Client, welcome: Pipeline, lists: str, words: str
) -> None:
    _with_a_fork(welcome)
    before = document_of(welcome)
    address = f"{PIPELINE}{welcome.pk}/change/"
    values = form_of(manager.get(address))
    answer = save(manager, values | {_inside_field(values): lists}, address)
    page = html.unescape(answer.content.decode())
    assert words in page and document_of(welcome) == before


def graph_document(pipeline: Pipeline) -> dict[str, Any]:
    steps = [
        {"key": "check", "type": "condition", "if": "contact.lifecycle_stage == 'customer'"},
        {"key": "thank", "type": "wait", "delay": 60},
        {"key": "ask", "type": "wait", "delay": 120},
    ]
    edges = [{"from": "check", "on": "true", "to": "thank"}, {"from": "check", "on": "false", "to": "ask"}]
    return {**document_of(pipeline), "steps": steps, "edges": edges}


def test_the_edges_of_a_graph_are_changed_on_the_page(manager: Client, viewer: Client, welcome: Pipeline) -> None:
    apply_document(welcome, graph_document(welcome))
    publish(pipeline=welcome)
    address = f"{PIPELINE}{welcome.pk}/change/"
    before = document_of(welcome)
    save(manager, form_of(manager.get(address)), address)
    assert document_of(Pipeline.objects.get()) == before
    assert "check — true → thank" in text_of(viewer.get(address))

    edges = [*before["edges"], {"from": "thank", "on": "next", "to": "ask"}]
    page = save(manager, form_of(manager.get(address)) | {"edges": json.dumps(edges)}, address)

    assert "Published as version 3." in text_of(page)
    assert Pipeline.objects.get().edges == [*before["edges"], {"from": "thank", "to": "ask"}]


def test_what_is_wrong_with_an_edge_is_said_with_its_path_and_kept(manager: Client, welcome: Pipeline) -> None:
    apply_document(welcome, graph_document(welcome))
    address = f"{PIPELINE}{welcome.pk}/change/"
    values = form_of(manager.get(address))
    sent = json.dumps([{"from": "check", "to": ""}, {"to": "ask", "delay": 5}])
    page = save(manager, values | {"edges": sent}, address)
    text = text_of(page)
    assert "edges[0].to: choose where it leads." in text and "edges[1].from: choose the step that it leaves." in text
    assert "edges[1]: unknown property" in text and form_of(page)["edges"] == sent

    page = save(manager, values | {"edges": json.dumps([{"from": "check", "to": "thanks"}])}, address)
    text = text_of(page)
    assert "Saved, not published" in text and "There is no step 'thanks'" in text and "edges[0].to" in text
    assert 'href="#edges-group"' in page.content.decode() and Pipeline.objects.get().edges[0]["to"] == "thanks"


def test_promises_are_played_when_the_form_is_saved_and_no_transaction_is_open(
    manager: Client, welcome: Pipeline
) -> None:
    open_then: list[bool] = []
    outside = len(connection.savepoint_ids)

    def gate(document: Any, team: Team, beside: Any) -> list[Any]:
        open_then.append(len(connection.savepoint_ids) > outside)
        return []

    register_gate(gate)
    try:
        address = f"{PIPELINE}{welcome.pk}/change/"
        save(manager, form_of(manager.get(address)) | {"description": "Anew"}, address)
    finally:
        forget_gate(gate)
    assert open_then == [False]
    assert Pipeline.objects.get().current_version != welcome.current_version


def test_a_team_without_types_of_records_is_not_asked_for_one(manager: Client) -> None:
    assert 'select name="subject_record"' not in manager.get(f"{PIPELINE}add/").content.decode()
    about = str(ContentType.objects.get_for_model(Record).pk)
    page = save(manager, new_form(manager, subject_type=about))
    assert "This team has no types of records yet" in text_of(page)


@pytest.mark.parametrize(("written", "seconds"), [('"2d"', 172_800), ("2d", 172_800), ('"PT4H"', 14_400), ("90", 90)])
def test_how_long_a_step_may_take_goes_round_through_its_page(
    manager: Client, team: Team, written: str, seconds: int
) -> None:
    wait = {"key": "answer", "type": "wait_for", "with": {"events": [{"event": "paid"}]}, "timeout": 5}
    pipeline = active(team, [{**wait, "on": {"timeout": "end"}}])
    page = f"{PIPELINE}{pipeline.pk}/change/"
    form = form_of(manager.get(page))
    (name,) = (name for name in form if name.endswith("-timeout") and "__prefix__" not in name)
    assert manager.post(page, {**form, name: "3 moons"}).status_code == 200
    assert manager.post(page, {**form, name: written}).status_code == 302
    again = form_of(manager.get(page))
    answer = manager.post(page, {**again, "name": "Another name"})
    assert answer.status_code == 302, text_of(answer)
    assert document_of(Pipeline.objects.get())["steps"][0]["timeout"] == seconds
