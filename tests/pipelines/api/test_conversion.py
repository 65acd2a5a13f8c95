"""Goals with their value, variants with their confidence, and the end of a test."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from contacts.models import Contact
from crm.models import AuditEntry, Team
from pipelines.chosen import MOST_VERSIONS
from pipelines.conversion import conversion
from pipelines.engine.clock import set_test_clock
from pipelines.engine.tick import run_until_idle
from pipelines.models import GoalHit, Pipeline, PipelineRun, PipelineVersion, StepExecution
from pipelines.operations import publish
from tests.api import Api
from tests.pipelines.admin.conftest import SignIn, sign_in
from tests.pipelines.engine.building import NOON, active

__all__ = ["sign_in"]
pytestmark = pytest.mark.django_db
GOALS = [{"key": "bought", "event": "purchase", "value": "{{ event.total }}", "within": "30d"}]
SPLIT = {
    "key": "test", "name": "Subject line", "type": "split",
    "with": {"variants": [{"name": "short"}, {"name": "long"}], "holdout": 1},
    "on": {"holdout": "end"},
}  # fmt: skip


def tried(team: Team, *, runs: int = 120) -> Pipeline:
    """A test in which nearly all of one variant buy, and few of the other."""
    pipeline = active(team, [SPLIT, {"type": "wait", "delay": "1d", "key": "rest"}], goals=GOALS)
    set_test_clock(NOON)
    for number in range(runs):
        Contact.objects.create(team=team, email=f"c{number}@example.org")
    run_until_idle(now=NOON)
    drawn = dict(
        StepExecution.objects.filter(step_id=pipeline.steps.get(key="test").pk).values_list("run_id", "outcome")
    )
    often = {"short": 2, "long": 10}
    counts: dict[Any, int] = {}
    hits = []
    for run_id, variant in drawn.items():
        counts[variant] = counts.get(variant, 0) + 1
        if variant in often and counts[variant] % often[variant] == 0:
            at = NOON + timedelta(hours=1)
            hits.append(GoalHit(run_id=run_id, goal="bought", value=Decimal("10.50"), at=at))
    GoalHit.objects.bulk_create(hits)
    return pipeline


def test_goals_and_variants_are_reported_with_their_confidence(api: Api, test_clock: None) -> None:
    tried(api.team)
    found = api.get("pipelines/welcome/conversion/").json()
    (goal,) = found["goals"]
    reached = GoalHit.objects.count()
    assert (goal["goal"], goal["runs"], goal["reached"]) == ("bought", 120, reached)
    assert Decimal(goal["value"]) == Decimal("10.50") * reached
    assert goal["low"] < goal["rate"] < goal["high"]
    (contest,) = found["splits"]
    assert (contest["step"], contest["best"], contest["winner"]) == ("test", "short", "short")
    variants = {each["variant"]: each for each in contest["variants"]}
    assert variants["short"]["reached"] == variants["short"]["runs"] // 2
    assert variants["short"]["low"] > variants["long"]["high"]


def test_what_was_reached_before_the_draw_is_nobodys_merit(api: Api, test_clock: None) -> None:
    tried(api.team, runs=10)
    GoalHit.objects.update(at=NOON - timedelta(hours=1))
    (contest,) = api.get("pipelines/welcome/conversion/").json()["splits"]
    assert {each["reached"] for each in contest["variants"]} == {0}
    assert contest["winner"] is None


def test_the_winner_gets_everybody_from_then_on(api: Api, test_clock: None) -> None:
    pipeline = tried(api.team, runs=4)
    answer = api.post("pipelines/welcome/choose-winner/", {"step": "test", "variant": "long"})
    assert answer.status_code == 200, answer.content
    before = PipelineRun.objects.count()
    for number in range(8):
        Contact.objects.create(team=api.team, email=f"new{number}@example.org")
    run_until_idle(now=NOON)
    fresh = PipelineRun.objects.order_by("pk")[before:]
    drawn = StepExecution.objects.filter(
        run_id__in=[run.pk for run in fresh], step_id=pipeline.steps.get(key="test").pk
    )
    assert set(drawn.values_list("outcome", flat=True)) == {"long"}
    visit = StepExecution.objects.filter(run_id=fresh[0].pk, outcome="long").get()
    assert visit.why == [{"note": "everybody takes this variant now"}]
    (contest,) = api.get("pipelines/welcome/conversion/").json()["splits"]
    assert (contest["chosen"]["variant"], contest["chosen"]["version"]) == ("long", 2)
    assert AuditEntry.objects.filter(action="pipeline.choose_winner", details__variant="long").count() == 1
    told = api.post("pipelines/welcome/simulate/", {"subject": {"email": "x@example.org"}}).json()
    assert "everybody takes this variant now" in json.dumps(told)
    unknown = api.post("pipelines/welcome/choose-winner/", {"step": "test", "variant": "wide"})
    assert unknown.status_code == 409
    assert "no variant" in unknown.json()["detail"]


def test_a_choice_is_taken_back_and_the_split_draws_as_it_did(api: Api, test_clock: None) -> None:
    pipeline = tried(api.team, runs=4)
    before = pipeline.steps.get(key="test").data
    assert api.post("pipelines/welcome/reopen-test/", {"step": "test"}).status_code == 409
    for variant in ("long", "short"):
        api.post("pipelines/welcome/choose-winner/", {"step": "test", "variant": variant})
    assert api.post("pipelines/welcome/reopen-test/", {"step": "test"}).status_code == 200
    assert pipeline.steps.get(key="test").data == before
    assert pipeline.versions.count() == 4
    (contest,) = api.get("pipelines/welcome/conversion/").json()["splits"]
    assert contest["chosen"] is None
    assert AuditEntry.objects.filter(action="pipeline.reopen_test").count() == 1


def test_variants_that_came_after_the_choice_keep_their_own_weight(api: Api, test_clock: None) -> None:
    pipeline = tried(api.team, runs=4)
    api.post("pipelines/welcome/choose-winner/", {"step": "test", "variant": "long"})
    split = pipeline.steps.get(key="test")
    # One that had a weight would open the test again by itself.
    split.data["variants"].append({"name": "parked", "weight": 0})
    split.save()
    publish(pipeline=Pipeline.objects.get())
    assert api.post("pipelines/welcome/reopen-test/", {"step": "test"}).status_code == 200
    assert pipeline.steps.get(key="test").data["variants"] == [
        {"name": "short"}, {"name": "long"}, {"name": "parked", "weight": 0},
    ]  # fmt: skip


def test_a_choice_older_than_what_is_looked_at_is_not_denied(api: Api, test_clock: None) -> None:
    pipeline = tried(api.team, runs=4)
    api.post("pipelines/welcome/choose-winner/", {"step": "test", "variant": "long"})
    version = pipeline.versions.get(number=2)
    later = [copied(version, number) for number in range(3, 3 + MOST_VERSIONS)]
    PipelineVersion.objects.bulk_create(later)
    refused = api.post("pipelines/welcome/reopen-test/", {"step": "test"})
    assert refused.status_code == 409
    assert "drew last more than 50 versions ago" in refused.json()["detail"]
    later[-1].delete()
    later[-2].delete()
    assert api.post("pipelines/welcome/reopen-test/", {"step": "test"}).status_code == 200


@pytest.mark.parametrize("act", ["choose-winner", "reopen-test"])
def test_an_edit_that_comes_between_is_not_published_with_it(api: Api, test_clock: None, act: str) -> None:
    pipeline = tried(api.team, runs=4)
    body = {"step": "test"}
    if act == "reopen-test":
        api.post("pipelines/welcome/choose-winner/", body | {"variant": "long"})
    else:
        body["variant"] = "long"
    versions = pipeline.versions.count()

    def edit(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if "split" in (params or ()) and not edited:
            edited.append(sql)
            pipeline.steps.filter(key="rest").update(delay=3 * 86_400)
        return answer

    edited: list[str] = []
    with connection.execute_wrapper(edit):
        refused = api.post(f"pipelines/welcome/{act}/", body)
    assert edited and refused.status_code == 409
    assert "changes that are not published" in refused.json()["detail"]
    assert pipeline.versions.count() == versions


def copied(version: PipelineVersion, number: int) -> PipelineVersion:
    values = {field.attname: getattr(version, field.attname) for field in version._meta.concrete_fields}
    return PipelineVersion(**{**values, "id": None, "number": number})


def test_the_page_tells_it_and_asks_before_it_ends_a_test(api: Api, test_clock: None, sign_in: SignIn) -> None:
    pipeline = tried(api.team)
    client = sign_in("manager")
    page = client.get(f"/admin/pipelines/pipeline/{pipeline.pk}/conversion/").content.decode()
    assert "“short” leads, and that is no chance" in page
    address = f"/admin/pipelines/pipeline/{pipeline.pk}/winner/test/short/"
    assert address in page
    assert "Give everybody “short” from now on?" in client.get(address).content.decode()
    assert client.post(address).status_code == 302
    assert pipeline.versions.count() == 2
    page = client.get(f"/admin/pipelines/pipeline/{pipeline.pk}/conversion/").content.decode()
    assert "Everybody takes “short” since version 2" in page and "chosen by manager" in page and address not in page
    back = f"/admin/pipelines/pipeline/{pipeline.pk}/reopen/test/"
    assert back in page and "Take the choice back?" in client.get(back).content.decode()
    client.post(back)
    assert address in client.get(f"/admin/pipelines/pipeline/{pipeline.pk}/conversion/").content.decode()
    assert (
        "/winner/" not in sign_in("viewer").get(f"/admin/pipelines/pipeline/{pipeline.pk}/conversion/").content.decode()
    )


def test_a_split_without_goals_tells_who_drew_what_and_can_still_be_ended(
    api: Api, test_clock: None, sign_in: SignIn
) -> None:
    pipeline = active(api.team, [SPLIT, {"type": "wait", "delay": "1d", "key": "rest"}])
    set_test_clock(NOON)
    for number in range(20):
        Contact.objects.create(team=api.team, email=f"c{number}@example.org")
    run_until_idle(now=NOON)
    (contest,) = api.get("pipelines/welcome/conversion/").json()["splits"]
    assert (contest["goal"], contest["best"], contest["winner"]) == (None, None, None)
    assert sum(each["runs"] for each in contest["variants"]) == 20
    client = sign_in("manager")
    page = client.get(f"/admin/pipelines/pipeline/{pipeline.pk}/conversion/").content.decode()
    assert "This pipeline has no goals" in page and "Without a goal nobody can say" in page
    for each in contest["variants"]:
        assert f'{each["variant"]}</th><td class="pl-number">{each["runs"]}</td>' in page
    address = f"/admin/pipelines/pipeline/{pipeline.pk}/winner/test/short/"
    question = client.get(address).content.decode()
    assert address in page and "Without a goal" in question and "By “" not in question


def test_the_report_costs_the_same_for_many_runs(team: Team, test_clock: None, django_assert_num_queries: Any) -> None:
    pipeline = tried(team, runs=30)
    with django_assert_num_queries(5):
        conversion(pipeline=pipeline)
