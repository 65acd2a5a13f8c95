"""Automatic pipelines through HTTP."""

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.models import EnrollmentDecision, PipelineRun
from tests.api import Api
from tests.pipelines.engine.building import document, email

pytestmark = pytest.mark.django_db
VIP = {"field": "contact.lead_source", "operator": "equals", "value": "vip"}


@pytest.fixture(autouse=True)
def a_manual_pipeline(api: Api) -> None:
    api.post("pipelines/", document([email()], triggers=[{"type": "manual"}]))
    api.post("pipelines/welcome/activate/")


def test_new_contacts_enter_from_then_on(api: Api) -> None:
    made = api.post("automatic-pipelines/", {"pipeline": "welcome", "conditions": VIP})
    assert made.status_code == 201, made.content
    assert made.json() | {"conditions": VIP, "model": "contacts.contact", "enabled": True} == made.json()
    Contact.objects.create(team=api.team, email="a@example.org", lead_source="vip")
    Contact.objects.create(team=api.team, email="b@example.org")
    assert PipelineRun.objects.count() == 1
    (decision,) = api.get("enrollment-decisions/").json()["results"]
    assert (decision["decision"], decision["why"][0]["expected"]) == (
        EnrollmentDecision.Decision.CONDITIONS.label, "vip",
    )  # fmt: skip


def test_switching_off_takes_effect_at_once(api: Api) -> None:
    made = api.post("automatic-pipelines/", {"pipeline": "welcome"}).json()
    assert api.patch(f"automatic-pipelines/{made['id']}/", {"enabled": False}).json()["enabled"] is False
    Contact.objects.create(team=api.team, email="a@example.org")
    assert not PipelineRun.objects.exists()
    api.patch(f"automatic-pipelines/{made['id']}/", {"enabled": True})
    Contact.objects.create(team=api.team, email="b@example.org")
    assert PipelineRun.objects.count() == 1


def test_conditions_are_checked_with_their_path(api: Api) -> None:
    answer = api.post(
        "automatic-pipelines/", {"pipeline": "welcome", "conditions": {"field": "contact.email", "operator": "is_like"}}
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["path"].startswith("where")


def test_a_deleted_one_takes_in_nobody(api: Api) -> None:
    made = api.post("automatic-pipelines/", {"pipeline": "welcome"}).json()
    assert api.delete(f"automatic-pipelines/{made['id']}/").status_code == 204
    Contact.objects.create(team=api.team, email="a@example.org")
    assert not PipelineRun.objects.exists()
    assert api.get("automatic-pipelines/").json()["results"] == []


def test_a_pipeline_of_another_team_is_unknown(api: Api) -> None:
    other = Api(Team.objects.create(name="B", slug="b"))
    theirs = other.post("pipelines/", document([email()], key="theirs")).json()
    for name in ("theirs", theirs["id"], "nothing"):
        answer = api.post("automatic-pipelines/", {"pipeline": name})
        assert (answer.status_code, answer.json()["errors"]) == (
            400, [{"path": "pipeline", "message": "There is no such pipeline."}],
        )  # fmt: skip
