"""Whoever puts records into a pipeline by hand is held to what the pipeline says about that way in."""

from typing import Any

import pytest

from contacts.models import Contact
from pipelines.models import PipelineRun
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import NOON, document

WAIT = {"key": "rest", "type": "wait", "delay": "1h"}


@pytest.fixture
def contact(api: Api) -> Contact:
    return Contact.objects.create(team=api.team, email="ann@example.org", lifecycle_stage="lead")


def made(api: Api, *, key: str = "chosen", steps: list[dict[str, Any]] | None = None, **trigger: Any) -> None:
    body = document(
        steps or [WAIT], key=key, triggers=[{"key": "hand", "type": "manual", **trigger}],
        variables=[{"name": "score", "type": "number"}, {"name": "source", "type": "string"}],
    )  # fmt: skip
    answer = api.post("pipelines/import/?activate=true", body)
    assert answer.status_code == 201, answer.content


def enter(api: Api, contact: Contact, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = api.post("pipelines/chosen/enroll/", {"subjects": [contact.pk], **more}).json()
    return answer


def test_who_does_not_meet_its_conditions_is_turned_away(api: Api, contact: Contact) -> None:
    made(api, where="contact.lifecycle_stage == 'customer'")
    answer = enter(api, contact)
    assert answer["runs"] == [] and answer["refused"][0]["reason"] == "conditions not met"
    Contact.objects.update(lifecycle_stage="customer")
    assert len(enter(api, contact)["runs"]) == 1


def test_it_sets_the_variables_that_nobody_gave(api: Api, contact: Contact) -> None:
    made(api, set={"score": 10, "source": "{{ contact.lifecycle_stage }}"})
    (run,) = enter(api, contact, variables={"score": 3})["runs"]
    assert PipelineRun.objects.get(pk=run).context.vars == {"score": 3, "source": "lead"}


@pytest.mark.usefixtures("test_clock")
def test_once_is_once(api: Api, contact: Contact) -> None:
    api.post("engine/tick/", {"now": NOON.isoformat()})
    made(api, reentry="once")
    enter(api, contact)
    api.post("engine/tick/", {"now": NOON.replace(hour=15).isoformat()})
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED
    assert enter(api, contact)["runs"] == []


def test_restart_ends_the_run_that_is_there(api: Api, contact: Contact) -> None:
    made(api, reentry="restart")
    (old,) = enter(api, contact)["runs"]
    (new,) = enter(api, contact)["runs"]
    assert PipelineRun.objects.get(pk=old).reason == "restarted"
    assert PipelineRun.objects.get(pk=new).status == RunStatus.PENDING


@pytest.mark.usefixtures("test_clock")
def test_a_step_that_enrolls_into_its_own_pipeline_does_not_end_itself(api: Api, contact: Contact) -> None:
    api.post("engine/tick/", {"now": NOON.isoformat()})
    again = {"key": "again", "type": "enroll", "with": {"pipeline": "chosen"}}
    made(api, steps=[again, WAIT], reentry="restart")
    (run,) = enter(api, contact)["runs"]
    api.post("engine/tick/", {"now": NOON.isoformat()})
    assert PipelineRun.objects.get(pk=run).status == RunStatus.PENDING


def test_always_lets_one_record_in_twice(api: Api, contact: Contact) -> None:
    made(api, reentry="always")
    assert enter(api, contact)["runs"] and enter(api, contact)["runs"]


def test_always_lets_in_everybody_of_one_request_and_nobody_twice_for_its_repetition(
    api: Api, contact: Contact
) -> None:
    made(api, reentry="always")
    other = Contact.objects.create(team=api.team, email="bob@example.org")
    body = {"subjects": [contact.pk, other.pk]}
    first = api.post("pipelines/chosen/enroll/", body, Idempotency_Key="today").json()
    assert len(first["runs"]) == 2 and first["refused"] == []
    assert api.post("pipelines/chosen/enroll/", body, Idempotency_Key="today").json() == first
    assert PipelineRun.objects.count() == 2


def test_no_more_enter_in_an_hour_than_it_says(api: Api, contact: Contact) -> None:
    made(api, max_per_hour=1)
    other = Contact.objects.create(team=api.team, email="bob@example.org")
    answer = api.post("pipelines/chosen/enroll/", {"subjects": [contact.pk, other.pk]}).json()
    assert len(answer["runs"]) == 1 and len(answer["refused"]) == 1


def test_a_way_in_that_is_off_says_nothing(api: Api, contact: Contact) -> None:
    made(api, where="contact.lifecycle_stage == 'customer'", enabled=False)
    assert len(enter(api, contact)["runs"]) == 1


def test_the_simulation_says_the_same(api: Api, contact: Contact) -> None:
    made(api, where="contact.lifecycle_stage == 'customer'")
    for entry in ("hand", "by_hand"):
        report = api.post("pipelines/chosen/simulate/", {"subject": contact.pk, "entry": entry}).json()
        assert report["status"] == "not_enrolled", entry


def test_it_is_told_as_by_hand(api: Api, contact: Contact) -> None:
    made(api, reentry="once")
    enter(api, contact)
    (answer,) = api.get(f"contacts/{contact.pk}/explain/", pipeline="chosen").json()["results"]
    assert answer["entered"]["by"] == "by hand"
