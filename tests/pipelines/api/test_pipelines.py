"""Pipelines through HTTP."""

from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import Contact
from crm.models import AuditEntry, Team
from pipelines.models import Pipeline, PipelineRun
from tests.api import Api
from tests.pipelines.engine.building import document, email

pytestmark = pytest.mark.django_db


MEBIBYTE = 1024 * 1024


def created(api: Api, *, key: str = "welcome", **more: Any) -> Any:
    answer = api.post("pipelines/", document([email()], key=key, **more))
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_pipeline_is_made_of_a_document_and_read_back(api: Api) -> None:
    made = created(api)
    assert (made["key"], made["status"], made["subject"]) == ("welcome", "draft", "contacts.contact")
    by_key, by_id = api.get("pipelines/welcome/").json(), api.get(f"pipelines/{made['id']}/").json()
    assert by_key == by_id
    assert by_key["document"]["steps"][0]["type"] == "send_email"
    assert [row["key"] for row in api.get("pipelines/").json()["results"]] == ["welcome"]
    assert api.get("pipelines/welcome/export/").json()["key"] == "welcome"


def test_every_problem_of_a_document_is_told_with_its_path(api: Api) -> None:
    answer = api.post("pipelines/import/", document([{"type": "send_fax"}, {**email(), "delay": "soon"}]))
    assert answer.status_code == 400
    assert {error["path"] for error in answer.json()["errors"]} == {"steps[0].type", "steps[1].delay"}
    assert not Pipeline.objects.exists()


def noted(letters: int) -> dict[str, Any]:
    return document([{"type": "wait", "notes": "x" * letters}])


def test_a_document_of_ten_mebibytes_is_taken(api: Api) -> None:
    assert api.post("pipelines/", noted(10 * MEBIBYTE - 1_000)).status_code == 201


def test_a_larger_document_is_told_its_size_and_the_limit(api: Api) -> None:
    answer = api.post("pipelines/", noted(10 * MEBIBYTE + 200_000))
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["message"] == "the document has 10.2 MiB; at most 10.0 MiB are allowed"


def test_a_request_that_is_too_large_is_a_problem_like_any_other(api: Api) -> None:
    answer = api.post("pipelines/validate/", noted(12 * MEBIBYTE))
    assert answer.status_code == 413 and answer["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "This request has 12.0 MiB; at most 11.0 MiB are read. Send it in parts."


def test_how_large_and_how_long_a_document_may_be_is_a_setting(api: Api, settings: Settings) -> None:
    settings.PIPELINES_MAX_DOCUMENT_BYTES, settings.PIPELINES_MAX_STEPS = 50_000, 2
    (error,) = api.post("pipelines/", noted(60_000)).json()["errors"]
    assert error["message"] == "the document has 58.8 KiB; at most 48.8 KiB are allowed"
    (error,) = api.post("pipelines/", document([email()] * 3)).json()["errors"]
    assert (error["path"], error["message"]) == ("steps", "a pipeline has at most 2 steps, this has 3")


def test_a_key_is_taken_once(api: Api) -> None:
    created(api)
    assert api.post("pipelines/", document([email()])).status_code == 409
    assert api.post("pipelines/import/", document([email(subject="Other")])).status_code == 201
    assert Pipeline.objects.count() == 1


def test_a_pipeline_goes_through_its_life(api: Api) -> None:
    created(api)
    Contact.objects.create(team=api.team, email="early@example.org")
    assert api.post("pipelines/welcome/enroll/", {"subjects": [1]}).status_code == 409
    assert api.post("pipelines/welcome/activate/").json()["status"] == "active"
    Contact.objects.create(team=api.team, email="a@example.org")
    assert api.get("pipelines/welcome/metrics/").json()["runs"]["pending"] == 1
    assert api.post("pipelines/welcome/pause/").json()["status"] == "paused"
    assert api.post("pipelines/welcome/activate/").json()["status"] == "active"
    assert api.post("pipelines/welcome/archive/").status_code == 409
    assert api.post("pipelines/welcome/archive/", {"runs": "cancel"}).json()["status"] == "archived"
    assert PipelineRun.objects.get().reason == "pipeline_archived"
    assert api.delete("pipelines/welcome/").status_code == 409


def test_changing_a_pipeline_publishes_a_version(api: Api) -> None:
    created(api)
    api.post("pipelines/welcome/activate/")
    assert api.patch("pipelines/welcome/", {"name": "Hello"}).json()["name"] == "Hello"
    changed = api.put("pipelines/welcome/", document([email(), email(subject="Second", delay="1d")]))
    assert changed.json()["version"] == 3
    assert [row["number"] for row in api.get("pipelines/welcome/versions/").json()["results"]] == [3, 2, 1]


def test_a_copy_is_a_draft_of_its_own(api: Api) -> None:
    created(api)
    copy = api.post("pipelines/welcome/duplicate/", {"key": "second"})
    assert (copy.status_code, copy.json()["key"], copy.json()["status"]) == (201, "second", "draft")


def test_what_never_ran_can_be_deleted(api: Api) -> None:
    created(api)
    assert api.delete("pipelines/welcome/").status_code == 204
    assert api.get("pipelines/welcome/").status_code == 404


def test_records_are_enrolled_in_a_batch_and_refusals_say_why(api: Api) -> None:
    created(api, triggers=[{"type": "manual"}])
    api.post("pipelines/welcome/activate/")
    contacts = [Contact.objects.create(team=api.team, email=f"c{n}@example.org") for n in range(3)]
    ids = [contact.pk for contact in contacts]
    first = api.post("pipelines/welcome/enroll/", {"subjects": ids[:2]}).json()
    assert len(first["runs"]) == 2 and first["refused"] == []
    second = api.post("pipelines/welcome/enroll/", {"subjects": [*ids, 99_999]}).json()
    assert len(second["runs"]) == 1
    assert {row["subject"] for row in second["refused"]} == {ids[0], ids[1], 99_999}


def test_the_same_request_enrolls_once(api: Api) -> None:
    created(api, triggers=[{"type": "created", "model": "contacts.contact", "automatic": True, "reentry": "always"}])
    api.post("pipelines/welcome/activate/")
    contact = Contact.objects.create(team=api.team, email="a@example.org")
    PipelineRun.objects.all().delete()
    body = {"subjects": [contact.pk]}
    answers = [api.post("pipelines/welcome/enroll/", body, Idempotency_Key="abc").json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2] and PipelineRun.objects.count() == 1
    other = api.post("pipelines/welcome/enroll/", {"subjects": [contact.pk + 1]}, Idempotency_Key="abc")
    assert other.status_code == 422


def test_a_run_is_started_by_hand_with_a_payload(api: Api) -> None:
    created(api, triggers=[{"type": "manual"}])
    api.post("pipelines/welcome/activate/")
    contact = Contact.objects.create(team=api.team, email="a@example.org")
    answer = api.post("pipelines/welcome/trigger/", {"subject": contact.pk, "payload": {"campaign": "spring"}})
    run = PipelineRun.objects.get(pk=answer.json()["runs"][0])
    assert run.context.trigger == {"campaign": "spring"}


def test_a_document_is_validated_without_being_stored(api: Api) -> None:
    answer = api.post("pipelines/validate/", document([{"type": "send_fax"}])).json()
    assert not answer["valid"] and answer["problems"][0]["path"] == "steps[0].type"
    created(api)
    assert api.post("pipelines/welcome/validate/").json()["valid"]


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", set()),
        ("member", {"enroll"}),
        ("manager", {"enroll", "activate", "publish", "create", "export"}),
        ("admin", {"enroll", "activate", "publish", "create", "export", "delete"}),
    ],
)
def test_roles_may_do_what_the_matrix_says(team: Team, role: str, may: set[str]) -> None:
    created(Api(team))
    created(Api(team), key="spare")
    Api(team).post("pipelines/welcome/activate/")
    contact = Contact.objects.create(team=team, email="a@example.org")
    PipelineRun.objects.all().delete()
    api = Api(team, role=role)
    answers = {
        "enroll": api.post("pipelines/welcome/enroll/", {"subjects": [contact.pk]}),
        "activate": api.post("pipelines/welcome/activate/"),
        "publish": api.post("pipelines/welcome/publish/"),
        "create": api.post("pipelines/", document([email()], key="third")),
        "export": api.get("pipelines/welcome/export/"),
        "delete": api.delete("pipelines/spare/"),
    }
    assert {name for name, answer in answers.items() if answer.status_code < 300} == may
    assert {answer.status_code for name, answer in answers.items() if name not in may} <= {403}
    assert api.get("pipelines/welcome/").status_code == 200


def test_another_teams_pipeline_reads_like_an_unknown_one(api: Api) -> None:
    theirs = created(Api(Team.objects.create(name="B", slug="b")))
    for path in (f"pipelines/{theirs['id']}/", "pipelines/welcome/", "pipelines/nothing/", "pipelines/999999/"):
        assert api.get(path).status_code == 404
        assert api.post(f"{path}activate/").status_code == 404
    assert api.get("pipelines/").json()["results"] == []


def test_an_unknown_parameter_is_an_error(api: Api) -> None:
    assert api.get("pipelines/", colour="red").status_code == 400
    assert api.get("pipelines/", status="lively").status_code == 400


def test_what_was_done_is_audited(api: Api) -> None:
    created(api)
    api.post("pipelines/welcome/activate/")
    actions = set(AuditEntry.objects.for_team(api.team).values_list("action", flat=True))
    assert any("activate" in action for action in actions)


def test_a_list_costs_the_same_with_one_and_with_twenty(api: Api, django_assert_num_queries: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    created(api)
    costs = []
    for count in (1, 20):
        for number in range(Pipeline.objects.count(), count):
            created(api, key=f"p{number}")
        api.get("pipelines/")
        with CaptureQueriesContext(connection) as queries:
            assert len(api.get("pipelines/").json()["results"]) == count
        costs.append(len(queries))
    assert costs[0] == costs[1]
