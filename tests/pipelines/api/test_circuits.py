"""A step that keeps people back: seen in the API, on the page and on its runs, and decided there."""

from typing import Any

import pytest
from django.test import Client

from contacts.models import Contact
from crm.models import AuditEntry, Team
from crm.teams import create_team
from pipelines.engine.clock import set_test_clock
from pipelines.engine.tick import run_until_idle
from pipelines.models import Pipeline, PipelineRun, StepCircuit
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.admin.conftest import SignIn, sign_in
from tests.pipelines.admin.pages import PIPELINE, RUN, text_of
from tests.pipelines.engine.building import NOON, active, later

__all__ = ["sign_in"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_clock")]


@pytest.fixture
def shop(team: Team, test_clock: None) -> Pipeline:
    """Everybody fails at its step, and five more have come since that was seen."""
    step = {"key": "divide", "name": "Divide", "type": "set_variable", "with": {"n": "= 1 / contact.custom.score"}}
    pipeline = active(team, [step], key="shop", variables=[{"name": "n", "type": "number"}])
    set_test_clock(NOON)
    for number in range(25):
        Contact.objects.create(team=team, email=f"c{number}@example.org", custom={"score": 0})
        if number == 19:
            run_until_idle(now=NOON)
    run_until_idle(now=NOON)
    return pipeline


def counts() -> tuple[int, int]:
    rows = PipelineRun.objects.all()
    return rows.filter(status=RunStatus.FAILED).count(), rows.filter(status=RunStatus.PENDING).count()


def test_the_api_tells_what_is_kept_and_why(api: Api, shop: Pipeline) -> None:
    (circuit,) = api.get("pipelines/shop/circuits/").json()
    assert circuit["state"] == "open" and circuit["step"] == "divide"
    assert (circuit["failed"], circuit["reached"], circuit["waiting"]) == (20, 20, 5)
    (step,) = api.get("pipelines/shop/metrics/").json()["steps"]
    assert step["circuit"] == "open"


def test_a_program_lets_them_fail(api: Api, shop: Pipeline) -> None:
    answer = api.post("pipelines/shop/settle-circuit/", {"step": "divide", "action": "let_fail"})
    assert answer.status_code == 200 and answer.json()[0]["state"] == "off"
    run_until_idle(now=NOON)
    assert counts() == (25, 0)
    assert AuditEntry.objects.filter(action="pipeline.circuit_off").count() == 1
    again = api.post("pipelines/shop/settle-circuit/", {"step": "divide", "action": "try_again"})
    assert again.status_code == 409 and "keeps nobody" in again.json()["detail"]


def test_a_program_tries_again(api: Api, shop: Pipeline) -> None:
    Contact.objects.filter(custom={"score": 0}).update(custom={"score": 1})
    assert api.post("pipelines/shop/settle-circuit/", {"step": "divide", "action": "try_again"}).status_code == 200
    run_until_idle(now=NOON)
    assert counts() == (20, 0)


@pytest.mark.parametrize("body", [{}, {"step": "divide"}, {"step": "divide", "action": "close"}, {"step": 7}])
def test_what_makes_no_sense_is_refused(api: Api, shop: Pipeline, body: dict[str, Any]) -> None:
    assert api.post("pipelines/shop/settle-circuit/", body).status_code == 400


def test_other_teams_see_and_decide_nothing(shop: Pipeline) -> None:
    stranger = Api(create_team(name="Other", slug="other"))
    assert stranger.get("pipelines/shop/circuits/").status_code == 404
    body = {"step": "divide", "action": "let_fail"}
    assert stranger.post(f"pipelines/{shop.pk}/settle-circuit/", body).status_code == 404
    assert StepCircuit.objects.get().state == StepCircuit.State.OPEN


def test_the_page_says_it_and_asks_before_it_lets_them_fail(sign_in: SignIn, shop: Pipeline) -> None:
    manager = sign_in("manager")
    page = f"{PIPELINE}{shop.pk}/change/"
    said = text_of(manager.get(page))
    assert "It failed for 20 of the last 20 who reached this step" in said and "5 runs wait there" in said
    assert "“Divide” of “Shop” failed for 20 of the last 20" in text_of(manager.get("/admin/"))
    address = f"{PIPELINE}{shop.pk}/circuit/divide/let-fail/"
    assert "5 runs that wait go on now" in text_of(manager.get(address))
    assert counts() == (20, 5)
    manager.post(address)
    run_until_idle(now=NOON)
    assert counts() == (25, 0)
    assert "nobody is kept before it until" in text_of(manager.get(page))
    assert manager.get(address).status_code == 404


def test_the_page_tries_again(sign_in: SignIn, shop: Pipeline) -> None:
    manager = sign_in("manager")
    address = f"{PIPELINE}{shop.pk}/circuit/divide/again/"
    assert "Up to three go through now" in text_of(manager.get(address))
    Contact.objects.update(custom={"score": 1})
    manager.post(address)
    run_until_idle(now=NOON)
    assert counts() == (20, 0)


def test_a_run_says_why_it_waits(sign_in: SignIn, shop: Pipeline) -> None:
    run = PipelineRun.objects.filter(status=RunStatus.PENDING).first()
    assert run is not None
    said = text_of(sign_in("viewer").get(f"{RUN}{run.pk}/change/"))
    assert "Waits at ‘Divide’: the step fails for too many" in said


@pytest.mark.parametrize("name", ["again", "let-fail"])
def test_whoever_may_not_pause_may_not_decide(sign_in: SignIn, shop: Pipeline, name: str) -> None:
    viewer: Client = sign_in("viewer")
    assert "Let them fail" not in text_of(viewer.get(f"{PIPELINE}{shop.pk}/change/"))
    assert viewer.post(f"{PIPELINE}{shop.pk}/circuit/divide/{name}/").status_code == 404
    run_until_idle(now=later(seconds=1))
    assert counts() == (20, 5)
