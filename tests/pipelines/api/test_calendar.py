"""`GET /api/v1/contacts/<id>/calendar/`."""

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.models import PipelineRun
from tests.api import Api
from tests.pipelines.engine.building import active, email


@pytest.fixture
def ann(team: Team) -> Contact:
    active(team, [{"key": "hello", "delay": "2d", **email(subject="Hi {{ contact.first_name }}")}])
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")


def test_what_comes_is_told_to_everyone_who_may_look(team: Team, ann: Contact) -> None:
    found = Api(team, role="viewer").get(f"contacts/{ann.pk}/calendar/").json()
    (item,) = found["items"]
    run = PipelineRun.objects.get()
    assert (item["run"], item["step"], item["subject"], item["verdict"]) == (run.pk, "hello", "Hi Ann", "sent")
    assert item["at"].endswith("Z") and found["contact"] == ann.pk
    assert [each["run"] for each in found["runs"]] == [run.pk]
    assert Api(team, role="admin", scopes=["tasks:read"]).get(f"contacts/{ann.pk}/calendar/").status_code == 403


def test_how_far_to_look_is_a_number_of_days(team: Team, ann: Contact) -> None:
    api = Api(team)
    assert api.get(f"contacts/{ann.pk}/calendar/", days="1").json()["items"] == []
    for wrong in ("0", "367", "-1", "many", "9" * 400, "²"):
        answer = api.get(f"contacts/{ann.pk}/calendar/", days=wrong)
        assert answer.status_code == 400 and answer.json()["errors"][0]["path"] == "days"
    assert api.get(f"contacts/{ann.pk}/calendar/", horizon="1").status_code == 400


def test_contacts_of_others_are_like_those_that_do_not_exist(ann: Contact) -> None:
    stranger = Api(Team.objects.create(name="Other", slug="other"))
    answers = [stranger.get(f"contacts/{pk}/calendar/") for pk in (ann.pk, 999_999_999)]
    assert [each.status_code for each in answers] == [404, 404]
    assert answers[0].content == answers[1].content
