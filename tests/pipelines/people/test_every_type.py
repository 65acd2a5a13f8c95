"""One form with a question of every type: the same answers, whether they come from the inbox, a program or the mail."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from contacts.models import Company
from crm.models import Team
from pipelines.definition.forms import TYPES
from pipelines.models import HumanTask, PipelineRun
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import NOON
from tests.pipelines.engine.conftest import Run
from tests.pipelines.people.asking import ask, enter, member, the_task
from tests.pipelines.people.test_link import link_of
from tests.sinks.smtp import SmtpSink

OPTIONS = ["small", {"value": "l", "label": "Large"}, 3]
FORM = [
    {"name": f"a_{kind}", "type": kind, "required": True, **({"options": OPTIONS} if "select" in kind else {})}
    for kind in TYPES
]
NEEDED = {"boolean": "Answer yes or no.", "select": "Choose one.", "multiselect": "Choose at least one."}
WAYS = ("inbox", "api", "link")


@pytest.fixture
def ann(team: Team) -> User:
    return member(team, "ann")


def typed(ann: User, company: Company) -> dict[str, Any]:
    """What a person types into each field."""
    return {
        "text": "Prices",
        "textarea": "One\nTwo",
        "number": "2.5",
        "boolean": "yes",
        "date": "2027-03-05",
        "datetime": "2027-03-05T09:00",
        "select": "l",
        "multiselect": ["small", "3"],
        "email": "bo@example.org",
        "url": "https://example.org/a?b=c",
        "user": str(ann.pk),
        "record": f"contacts.company:{company.pk}",
    }


def send(way: str, ann: User, smtp: SmtpSink, values: dict[str, Any], *, team: Team) -> Any:
    task, _ = the_task()
    named = {f"a_{kind}": value for kind, value in values.items()}
    if way == "api":
        return Api(team, created_by=ann).post(f"tasks/{task.pk}/complete/", {"values": named})
    client, prefix, path = Client(), "a-", link_of(smtp)
    if way == "inbox":
        client.force_login(ann)
        prefix, path = f"t{task.pk}-", f"/admin/inbox/{task.pk}/complete/"
    body = {f"{prefix}{name}": value for name, value in named.items()}
    return client.post(path, {**body, "outcome": "completed"}, follow=True)


@pytest.mark.parametrize("way", WAYS)
def test_every_question_is_answered(team: Team, run_at: Run, smtp: SmtpSink, ann: User, way: str) -> None:
    ask(team, given={"assignee": "ann@acme.example", "form": FORM}, set={})
    run = enter(team)
    run_at(NOON)
    company = Company.objects.create(team=team, name="Tea Ltd")
    answer = send(way, ann, smtp, typed(ann, company), team=team)
    assert answer.status_code == 200, answer.content
    assert PipelineRun.objects.get(pk=run.pk).status == RunStatus.COMPLETED
    stored = HumanTask.objects.get().response or {}
    assert stored["a_textarea"].split() == ["One", "Two"]
    assert {kind: stored[f"a_{kind}"] for kind in TYPES if kind not in ("textarea", "user", "record")} == {
        "text": "Prices", "number": 2.5, "boolean": True, "date": "2027-03-05",
        "datetime": "2027-03-05T09:00:00+00:00", "select": "l", "multiselect": ["small", 3],
        "email": "bo@example.org", "url": "https://example.org/a?b=c",
    }  # fmt: skip
    assert stored["a_user"]["id"] == ann.pk and stored["a_user"]["email"] == "ann@acme.example"
    assert (stored["a_record"]["id"], stored["a_record"]["name"]) == (company.pk, "Tea Ltd")


@pytest.mark.parametrize("way", WAYS)
def test_every_question_that_is_empty_or_wrong_says_so_at_its_place(
    team: Team, run_at: Run, smtp: SmtpSink, ann: User, way: str
) -> None:
    ask(team, given={"assignee": "ann@acme.example", "form": FORM}, set={})
    enter(team)
    run_at(NOON)
    empty = send(way, ann, smtp, {}, team=team)
    assert told(way, empty) == {f"a_{kind}": NEEDED.get(kind, "This is needed.") for kind in TYPES}
    bad = {
        "number": "many", "boolean": "perhaps", "date": "soon", "datetime": "2027-02-30T09:00", "select": "huge",
        "multiselect": ["small", "huge"], "email": "bo", "url": "javascript:alert(1)", "user": "99999",
        "record": "contacts.company:99999",
    }  # fmt: skip
    said = told(way, send(way, ann, smtp, {**bad, "text": "fine", "textarea": "fine"}, team=team))
    assert set(said) == {f"a_{kind}" for kind in bad}
    assert "This is needed." not in said.values() and said["a_number"] == "Write a number.", said
    assert HumanTask.objects.get().response is None


def told(way: str, answer: Any) -> dict[str, str]:
    """The sentence at each field."""
    if way == "api":
        assert answer.status_code == 400
        return {each["path"].removeprefix("values."): each["message"] for each in answer.json()["errors"]}
    assert answer.status_code == 422
    page = answer.content.decode()
    found = re.findall(r'id="id_[a-z0-9]+-(\w+)_error"[^>]*>([^<]+)<', page)
    marked = re.findall(r'aria-describedby="[^"]*id_[a-z0-9]+-(\w+)_error"', page)
    assert sorted(marked) == sorted(name for name, _ in found), "who listens to the page hears it with its field"
    return {name: sentence.strip() for name, sentence in found}
