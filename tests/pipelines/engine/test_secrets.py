"""Secrets of a team go into the headers of calls, to the hosts they are for, and are seen nowhere else."""

import json
import logging
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Member, Team
from pipelines.models import Effect, PipelineRun, StepExecution
from pipelines.operations import InvalidDocument, export_document
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, document, later
from tests.pipelines.engine.conftest import Run
from tests.sinks.http import Answer, HttpSink

CANARY = "sk-canary-3f9a7b/21+c=77"


def keeps(team: Team, *hosts: str, name: str = "BILLING_KEY", value: str = CANARY) -> int:
    answer = Api(team).post("secrets/", {"name": name, "value": value, "hosts": hosts or ["127.0.0.1"]})
    assert answer.status_code == 201, answer.content
    return int(answer.json()["id"])


def call(url: str, *, header: str = "Bearer {{ secret.BILLING_KEY }}", **more: Any) -> dict[str, Any]:
    headers = {"Authorization": header, "X-Name": "{{ contact.first_name }}"}
    return {"key": "call", "type": "call_api", "with": {"url": url, "headers": headers, "body": {"a": 1}}, **more}


def everything_stored() -> str:
    """Every row of every table, as text."""
    rows: list[Any] = []
    for model in apps.get_models():
        rows += model._base_manager.values()
    return json.dumps(rows, default=str)


def refusals(team: Team, step: dict[str, Any], **more: Any) -> str:
    with pytest.raises(InvalidDocument) as refused:
        active(team, [step], **more)
    return str([(each.path, each.message) for each in refused.value.problems])


@pytest.mark.parametrize("header", ["{{ secret.BILLING_KEY }}", "= secret.BILLING_KEY", "Key {{secret.BILLING_KEY}}!"])
def test_the_receiver_gets_the_value(team: Team, run_at: Run, web: HttpSink, header: str) -> None:
    keeps(team)
    active(team, [call(f"{web.url}/", header=header)])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    (request,) = web.requests()
    assert request["headers"]["authorization"] == {"K": f"Key {CANARY}!"}.get(header[0], CANARY)


def test_the_value_is_in_no_table_no_log_and_no_page(
    team: Team, run_at: Run, web: HttpSink, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    row = keeps(team)
    echo = {"you": f"Bearer {CANARY}", CANARY: [CANARY]}
    web.script(
        Answer(headers={"Content-Type": "application/json"}, body=json.dumps(echo).encode()),
        Answer(body=b"x" * (64 * 1024 - 16) + CANARY.encode()),
        Answer(401, body=CANARY.encode()),
    )
    active(team, [call(f"{web.url}/")])
    for name in "ABC":
        Contact.objects.create(team=team, first_name=name)
    run_at(NOON)
    assert [request["headers"]["authorization"] for request in web.requests()] == [f"Bearer {CANARY}"] * 3
    user = get_user_model().objects.create_user("ada", is_staff=True)
    Member.objects.create(team=team, user=user, role="owner")
    client.force_login(user)
    paths = [f"/admin/crm/secret/{row}/change/", "/admin/crm/secret/", "/admin/crm/auditentry/"]
    paths += [f"/admin/pipelines/pipelinerun/{run.pk}/change/" for run in PipelineRun.objects.all()]
    api = Api(team, role="owner")
    read = [f"secrets/{row}/", "secrets/"]
    read += [f"pipeline-runs/{run.pk}/" for run in PipelineRun.objects.all()]
    answers = [*(client.get(path) for path in paths), *(api.get(path) for path in read)]
    assert {answer.status_code for answer in answers} == {200}
    pages = [answer.content.decode() for answer in answers]
    stored = everything_stored()
    for text in (stored, caplog.text, *pages):
        assert CANARY not in text and CANARY[:12] not in text
    assert "[secret:" not in "".join(pages)
    assert "Bearer ••••" in str(list(Effect.objects.values_list("result", flat=True)))


def test_a_secret_goes_to_its_hosts_alone(team: Team, run_at: Run, web: HttpSink) -> None:
    keeps(team, "api.example.com")
    told = refusals(team, call(f"{web.url}/"))
    assert "steps[0].with.url" in told and "may not be sent to 127.0.0.1, only to api.example.com" in told
    step = call("http://{{ contact.last_name }}/", on={"error": "fail"})
    active(team, [step])
    Contact.objects.create(team=team, last_name=web.url.removeprefix("http://"))
    run_at(NOON)
    assert web.requests() == []
    effect = Effect.objects.get()
    assert effect.error is not None and "may not be sent to 127.0.0.1, only to api.example.com" in effect.error
    assert StepExecution.objects.filter(error__contains="may not be sent to").exists()
    assert PipelineRun.objects.get().status == RunStatus.FAILED


def test_the_secret_of_another_team_is_not_used(team: Team, run_at: Run, web: HttpSink) -> None:
    other = Team.objects.create(name="Other", slug="other")
    keeps(other, value="of-the-other-team")
    told = refusals(team, call(f"{web.url}/"))
    assert "there is no secret 'BILLING_KEY' in Acme" in told and "Team → Secrets" in told
    keeps(team)
    active(team, [call(f"{web.url}/")])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    assert web.requests()[0]["headers"]["authorization"] == f"Bearer {CANARY}"


def test_data_of_contacts_never_becomes_a_secret(team: Team, run_at: Run, web: HttpSink) -> None:
    """Not as a template, not as a made-up mark, and not as a real mark of another visit."""
    keeps(team)
    active(team, [call(f"{web.url}/")])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    seen = Effect.objects.get().payload["headers"]["Authorization"].removeprefix("Bearer ")
    made_up = f"{seen[:-65]}{'0' * 64}]"
    for name in ("{{ secret.BILLING_KEY }}", made_up, seen):
        Contact.objects.create(team=team, first_name=name)
    run_at(later(minutes=1))
    names = [request["headers"]["x-name"] for request in web.requests()]
    assert sorted(names) == sorted(["Ann", "{{ secret.BILLING_KEY }}", made_up, seen])


def test_a_secret_that_was_deleted_takes_the_way_of_errors(team: Team, run_at: Run, web: HttpSink) -> None:
    row = keeps(team)
    step = call(f"{web.url}/", on={"error": "told"})
    other = {"key": "told", "type": "set_variable", "with": {"said": "{{ steps.call.error }}"}}
    active(team, [step, other], variables=[{"name": "said", "type": "any", "default": ""}])
    assert Api(team).delete(f"secrets/{row}/").status_code == 204
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    assert web.requests() == []
    error = Effect.objects.get().error
    assert error == "Not sent: the secret BILLING_KEY was deleted. Add it again under Team → Secrets."
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED


def test_a_replaced_value_is_the_one_that_is_sent(team: Team, run_at: Run, web: HttpSink) -> None:
    row = keeps(team)
    active(team, [call(f"{web.url}/")])
    assert Api(team).patch(f"secrets/{row}/", {"value": "another-value"}).status_code == 200
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    assert web.requests()[0]["headers"]["authorization"] == "Bearer another-value"


def test_marks_outlive_a_change_of_the_secret_key(team: Team, run_at: Run, web: HttpSink, settings: Settings) -> None:
    keeps(team)
    active(team, [call(f"{web.url}/", retry={"max": 3, "delay": 60})])
    web.script(Answer(500), Answer(500))
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "anew" * 15, [settings.SECRET_KEY]
    run_at(later(minutes=2))
    assert [each["headers"]["authorization"] for each in web.requests()] == [f"Bearer {CANARY}"] * 2
    settings.SECRET_KEY_FALLBACKS = []
    run_at(later(minutes=10))
    assert len(web.requests()) == 2 and "SECRET_KEY" in str(Effect.objects.get().error)


EMAIL: dict[str, Any] = {"type": "send_email"}
CALL: dict[str, Any] = {"type": "call_api", "with": {"url": "https://a.example/"}}
NAMED = "{{ secret.BILLING_KEY }}"
ELSEWHERE = "a secret is known only in the headers"
ALONE = "a secret stands in a header as it is"
HEADER = "with.headers.Authorization"


@pytest.mark.parametrize(
    ("step", "path", "told"),
    [
        ({**EMAIL, "with": {"subject": "Hi", "text": NAMED}}, "with.text", ELSEWHERE),
        ({**EMAIL, "message": NAMED, "with": {"subject": "Hi"}}, "message", ELSEWHERE),
        ({**CALL, "with": {"url": f"https://a.example/?k={NAMED}"}}, "with.url", ELSEWHERE),
        ({**CALL, "with": {**CALL["with"], "body": {"headers": "= secret.X"}}}, "with.body.headers", ELSEWHERE),
        ({"type": "end", "if": "secret.BILLING_KEY == 'x'"}, "if", ELSEWHERE),
        (call("https://a.example/", header="{{ secret.BILLING_KEY | upcase }}"), HEADER, ALONE),
        (call("https://a.example/", header="= upper(secret.BILLING_KEY)"), HEADER, ALONE),
        (call("https://a.example/", header="{% if secret.BILLING_KEY %}x{% endif %}"), HEADER, ALONE),
        (call("https://a.example/", header="{{ secret }}"), HEADER, ALONE),
        (call("https://a.example/", header="{{ secret.billing_key }}"), HEADER, ALONE),
    ],
)  # fmt: skip
def test_secrets_are_known_in_headers_alone(team: Team, step: dict[str, Any], path: str, told: str) -> None:
    keeps(team, "a.example")
    said = refusals(team, step)
    assert f"('steps[0].{path}', '{told}" in said


def test_a_trigger_knows_no_secret(team: Team) -> None:
    trigger = {"type": "created", "model": "contacts.contact", "where": "secret.BILLING_KEY == 'x'"}
    assert ELSEWHERE in refusals(team, {"type": "end"}, triggers=[trigger])


def test_a_variable_of_that_name_is_still_a_variable(team: Team, run_at: Run, web: HttpSink) -> None:
    variables = [{"name": "secret", "type": "any", "default": {"BILLING_KEY": "mine"}}]
    active(team, [call(f"{web.url}/")], variables=variables)
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    assert web.requests()[0]["headers"]["authorization"] == "Bearer mine"


def test_documents_keep_the_name_of_a_secret(team: Team) -> None:
    keeps(team, "a.example")
    pipeline = active(team, [call("https://a.example/", header="Bearer  {{secret.BILLING_KEY}}")])
    assert '"Authorization": "Bearer  {{secret.BILLING_KEY}}"' in export_document(pipeline=pipeline)


def test_a_simulation_shows_dots(team: Team) -> None:
    keeps(team, "a.example")
    contact = Contact.objects.create(team=team, first_name="Ann")
    scenario = scenario_of({"subject": contact.pk}, now=NOON)
    report = simulate(team=team, document=document([call("https://a.example/")]), scenario=scenario)
    (effect,) = report["steps"][0]["effects"]
    assert effect["request"]["headers"]["Authorization"] == "Bearer ••••"
    assert "[secret:" not in json.dumps(report, default=str)


def test_opening_secrets_costs_one_statement_for_a_batch(team: Team, run_at: Run, web: HttpSink) -> None:
    keeps(team)
    keeps(team, name="OTHER", value="another-value")
    step = call(f"{web.url}/")
    step["with"]["headers"]["X-Other"] = "{{ secret.OTHER }}"
    active(team, [step])
    for n in range(20):
        Contact.objects.create(team=team, first_name=f"A{n}")
    with CaptureQueriesContext(connection) as captured:
        run_at(NOON)
    assert len(web.requests()) == 20
    assert sum('FROM "crm_secret"' in each["sql"] for each in captured.captured_queries) == 1
