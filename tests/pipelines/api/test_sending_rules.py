"""Sending rules through HTTP, and the reason of a message that waits where people look for it."""

from typing import Any

import pytest
from django.test import Client

from contacts.models import Contact
from crm.models import Message, Team
from pipelines.models import PipelineRun, SendingRules
from tests.api import Api
from tests.pipelines.admin.conftest import SignIn, sign_in
from tests.pipelines.engine.building import active, document, email

__all__ = ["sign_in"]
pytestmark = pytest.mark.django_db
WINDOW = {"days": ["mon"], "hours": "09:00-17:00", "tz": "subject"}


def test_a_team_has_its_rules_once(api: Api) -> None:
    made = api.post("sending-rules/", {"window": WINDOW, "caps": ["2 per day"], "throttles": {"email": "600 per hour"}})
    assert made.status_code == 201, made.content
    assert made.json()["window"] == WINDOW
    assert api.post("sending-rules/", {}).status_code == 400
    assert api.patch(f"sending-rules/{made.json()['id']}/", {"caps": []}).json()["caps"] == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param({"window": {"hours": "9-17"}}, "hours are written", id="hours"),
        pytest.param({"caps": ["two a day"]}, "is no rate", id="caps"),
        pytest.param({"throttles": {"fax": "1 per day"}}, "channels are", id="channel"),
        pytest.param({"holidays": ["Christmas"]}, "is not a day", id="holidays"),
    ],
)
def test_rules_that_cannot_be_read_are_refused_with_a_sentence(api: Api, body: Any, said: str) -> None:
    answer = api.post("sending-rules/", body)
    assert answer.status_code == 400
    assert said in answer.json()["errors"][0]["message"]


def test_a_document_with_a_wrong_window_names_its_place(api: Api) -> None:
    step = email()
    step["with"]["window"] = {"hours": "9-17"}
    answer = api.post("pipelines/validate/", document([step], settings={"window": {"tz": "Mars"}}))
    paths = {each["path"] for each in answer.json()["problems"]}
    assert paths == {"settings.window.tz", "steps[0].with.window.hours"}


def test_the_page_of_a_run_and_the_api_tell_why_a_message_waits(api: Api, test_clock: None, sign_in: SignIn) -> None:
    api.post("sending-rules/", {"window": {"quiet": "11:00-13:30"}})
    active(api.team, [email()])
    Contact.objects.create(team=api.team, email="ann@example.org")
    api.post("engine/tick/", {"now": "2027-03-01T12:00:00Z"})
    (row,) = api.get("messages/").json()["results"]
    assert (row["held_until"], row["held_by"]) == (
        "2027-03-01T13:30:00Z", "quiet hours of the team (11:00-13:30, UTC)",
    )  # fmt: skip
    page = sign_in("viewer").get(f"/admin/pipelines/pipelinerun/{PipelineRun.objects.get().pk}/change/")
    assert "quiet hours of the team (11:00-13:30, UTC)" in page.content.decode()


def test_a_simulation_keeps_to_the_rules(api: Api) -> None:
    api.post("sending-rules/", {"window": {"quiet": "11:00-13:30"}, "caps": ["1 per day"]})
    made = document([email(), email(subject="Second")])
    body = {"document": made, "subject": {"email": "ann@example.org"}, "start": "2027-03-01T12:00:00Z"}
    report = api.post("pipelines/simulate/", body)
    assert report.status_code == 200, report.content
    at = [each["sent_at"] for each in report.json()["messages"]]
    assert at == ["2027-03-01T13:30:00+00:00", "2027-03-02T13:30:00+00:00"]


def test_the_form_says_the_rules_in_words_and_reads_them_back(sign_in: SignIn, team: Team) -> None:
    client: Client = sign_in("admin")
    assert client.get("/admin/pipelines/sendingrules/").headers["Location"] == "/admin/pipelines/sendingrules/add/"
    values = {
        "days": ["mon", "fri"], "hours": "09:00-12:00\n13:00-17:00", "quiet": "21:00-08:00", "zone": "fixed",
        "fixed_zone": "Europe/Berlin", "spread": "1h", "keeps_holidays": "on", "holiday_lines": "12-25 Christmas",
        "cap_lines": "2 per day", "when_capped": "wait", "longest_wait_hours": "72", "email": "600 per hour",
    }  # fmt: skip
    answer = client.post("/admin/pipelines/sendingrules/add/", values)
    assert answer.status_code == 302, answer.context["errors"]
    rules = SendingRules.objects.get(team=team)
    assert rules.window == {
        "days": ["mon", "fri"], "hours": ["09:00-12:00", "13:00-17:00"], "quiet": "21:00-08:00",
        "tz": "Europe/Berlin", "spread": "1h",
    }  # fmt: skip
    assert (rules.holidays, rules.caps, rules.throttles) == (
        ["12-25 Christmas"], ["2 per day"], {"email": "600 per hour"},
    )  # fmt: skip
    address = f"/admin/pipelines/sendingrules/{rules.pk}/change/"
    assert client.get("/admin/pipelines/sendingrules/").headers["Location"] == address
    client.post(address, values | {"hours": "mon 09:00-17:00\nfri 09:00-13:00", "days": []})
    rules.refresh_from_db()
    assert rules.window["hours"] == {"mon": "09:00-17:00", "fri": "09:00-13:00"}
    assert "mon 09:00-17:00" in client.get(address).content.decode()
    refused = client.post(address, values | {"quiet": "late", "cap_lines": "many"})
    assert {"quiet", "cap_lines"} == set(refused.context["adminform"].form.errors)
    assert not Message.objects.exists()
