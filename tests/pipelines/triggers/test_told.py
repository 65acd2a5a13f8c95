"""Events told through the API: stored before the answer, each key once, and a slip is told with its path."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from crm.tasks import complete_task
from pipelines.models import Event, PipelineRun
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.triggers.test_event_triggers import HOLD, ann, on

ORDER = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}


@pytest.fixture
def api(team: Team) -> Api:
    return Api(team)


def errors(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.content
    return {each["path"]: each["message"] for each in answer.json()["errors"]}


def test_one_event_told_by_address_starts_a_pipeline(team: Team, api: Api, run_at: Run) -> None:
    active(team, HOLD, key="p", triggers=[on("order.paid")])
    contact = ann(team)
    answer = api.post("events/", {"type": "order.paid", "email": "ANN@example.org", "payload": {"total": 5}})
    assert (answer.status_code, answer.json()) == (202, {"stored": 1, "known": 0})
    run_at(later(days=3650))
    assert PipelineRun.objects.get().subject_id == contact.pk
    listed = api.get("events/", type="order.paid", contact=contact.pk).json()["results"]
    assert listed[0]["payload"] == {"total": 5} and listed[0]["dispatched"] is True


def test_a_thousand_at_once_and_each_key_once(team: Team, api: Api, django_assert_max_num_queries: Any) -> None:
    contact = ann(team)
    about = {"type": "contacts.contact", "id": contact.pk}
    items = [{"type": "signup", "subject": about, "key": f"k{n % 900}"} for n in range(1000)]
    with django_assert_max_num_queries(40):
        answer = api.post("events/", {"events": items})
    assert answer.json() == {"stored": 900, "known": 100}
    assert api.post("events/", {"events": items}).json() == {"stored": 0, "known": 1000}
    assert Event.objects.count() == 900
    assert errors(api.post("events/", {"events": [*items, items[0]]})) == {
        "events": "holds 1,001 events; send at most 1,000 at once"
    }


def test_what_is_not_expected_is_refused_with_its_path_and_nothing_is_stored(team: Team, api: Api) -> None:
    assert api.post("event-types/", {"name": "order.paid", "schema": ORDER, "sample": {"total": 1}}).status_code == 201
    elsewhere = Contact.objects.create(team=Team.objects.create(name="B", slug="b"), email="b@example.org")
    items: list[Any] = [
        {"type": "order.paid", "payload": {"total": 1}},
        {"type": "order.paid", "payload": {"total": "{{ much }}"}},
        {"type": "order.payed"},
        {"type": "email_clicked"},
        {"type": "signup", "email": "nobody@example.org"},
        {"type": "signup", "subject": {"type": "contacts.contact", "id": elsewhere.pk}},
    ]
    assert errors(api.post("events/", {"events": items})) == {
        "events[1].payload.total": "must be a number",
        "events[2].type": "there is no event type 'order.payed'; did you mean 'order.paid'?; define it first, or let a "
        "pipeline listen to it",
        "events[3].type": "'email_clicked' is told by the CRM itself when it happens; choose another name",
        "events[4].email": "no contact has this address: create the contact first",
        "events[5].subject": 'names no record here; use {"type": "contacts.contact", "id": 5}',
    }
    assert set(errors(api.post("events/", {"events": [{"typ": "signup"}, 5, {"type": "signup", "payload": []}]}))) == {
        "events[0].typ", "events[0].type", "events[1]", "events[2].payload",
    }  # fmt: skip
    assert set(errors(api.post("events/", {"type": "signup", "occurred_at": "2027-03-01"}))) == {"occurred_at"}
    assert Event.objects.count() == 0


def test_a_schema_that_is_none_or_asks_elsewhere_is_refused(api: Api) -> None:
    def told(**values: Any) -> set[str]:
        return set(errors(api.post("event-types/", {"name": "a.b", **values})))

    assert told(schema={"type": "objekt"}) == {"schema"}
    assert told(schema={"properties": {"a": {"$ref": "http://127.0.0.1/x"}}}) == {"schema"}
    assert told(schema=ORDER, sample={"total": "much"}) == {"sample.total"}
    assert told(name="email_replied") == {"name"}


def test_a_task_that_is_done_starts_a_pipeline_once(team: Team, api: Api, run_at: Run) -> None:
    from crm.models import Task

    active(team, HOLD, key="p", triggers=[on("task_completed", reentry="always")])
    contact = ann(team)
    task = Task.objects.create(team=team, title="Call", subject=contact)
    complete_task(task=task, now=NOON)
    task.save()
    run_at(NOON)
    assert PipelineRun.objects.get().context.trigger["title"] == "Call"
