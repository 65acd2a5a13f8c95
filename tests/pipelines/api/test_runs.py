"""Runs, the log, the status, the test clock and the calculators through HTTP."""

from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact, Record, RecordType
from crm.models import Team
from pipelines.engine.enroll import enroll
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.operations import import_document
from tests.api import Api
from tests.pipelines.engine.building import active, document, email

pytestmark = pytest.mark.django_db
EXAMPLES = Path(__file__).parents[1] / "operations" / "examples"
NAME = {"key": "name", "type": "text"}
NOON = "2027-03-01T12:00:00Z"


@pytest.fixture
def live(api: Api, test_clock: None) -> Api:
    api.post("engine/tick/", {"now": NOON})
    api.post("pipelines/import/?activate=true", document([email(), email(subject="Again", delay="1d")]))
    return api


def a_contact(api: Api, **values: Any) -> int:
    answer = api.post("contacts/", {"first_name": "Ann", "email": "ann@example.org", **values})
    assert answer.status_code == 201, answer.content
    return int(answer.json()["id"])


def test_a_run_tells_where_it_stands_and_what_happened(live: Api) -> None:
    contact = a_contact(live)
    (run,) = live.get("pipeline-runs/", contact=contact).json()["results"]
    assert (run["status"], run["next_step_at"], run["pipeline"]) == ("pending", NOON, "welcome")
    report = live.post("engine/tick/", {"now": NOON}).json()
    assert (report["sent"], report["failed"]) == (1, 0)
    run = live.get(f"pipeline-runs/{run['id']}/").json()
    assert run["next_step_at"] == "2027-03-02T12:00:00Z"
    assert [(line["action"], line["outcome"]) for line in run["logs"]] == [("send_email", "next")]
    live.post("engine/tick/", {"now": "2027-03-02T12:00:00Z"})
    run = live.get(f"pipeline-runs/{run['id']}/").json()
    assert (run["status"], len(run["logs"]), len(mail.outbox)) == ("completed", 2, 2)


def test_runs_and_decisions_are_found_by_what_they_are_about(live: Api) -> None:
    team = live.team
    kinds = [RecordType.objects.create(team=team, key=key, label=key, fields=[NAME]) for key in ("product", "order")]
    made = [active(team, [{"type": "wait", "delay": 60}], key=kind.key, subject=f"records.{kind.key}",
                   triggers=[{"type": "created", "model": f"records.{kind.key}"}]) for kind in kinds]  # fmt: skip
    product, order = (Record.objects.create(team=team, type=kind, values={"name": "Lamp"}) for kind in kinds)
    contact = a_contact(live)

    def found(**asked: Any) -> list[tuple[str, int]]:
        rows = live.get("pipeline-runs/", **asked).json()["results"]
        return [(row["subject"]["type"], row["subject"]["id"]) for row in rows]

    assert found(subject=f"records.product:{product.pk}") == [("records.product", product.pk)]
    assert found(subject=f"contacts.record:{order.pk}") == [("records.order", order.pk)]
    assert found(subject=f"records.order:{product.pk}") == found(subject="none") == []
    assert found(subject=f"contacts.contact:{contact}") == found(contact=contact) == [("contacts.contact", contact)]
    assert live.get("enrollment-decisions/", subject=f"records.{made[0].key}:{product.pk}").json()["results"] == []
    for wrong in ("records.product", "auth.user:1", f"contacts.contact:{'9' * 30}", "records.product:x"):
        refused = live.get("pipeline-runs/", subject=wrong)
        assert refused.status_code == 400 and "records.<type>:<id>" in refused.json()["errors"][0]["message"]


def test_an_operator_stops_and_starts_a_run(live: Api) -> None:
    a_contact(live)
    run = PipelineRun.objects.get().pk
    assert live.post(f"pipeline-runs/{run}/pause/").json()["status"] == "paused"
    assert live.post(f"pipeline-runs/{run}/pause/").status_code == 409
    assert live.get("pipeline-runs/", status_group="paused").json()["results"][0]["id"] == run
    assert live.post(f"pipeline-runs/{run}/resume/").json()["status"] == "pending"
    assert live.post(f"pipeline-runs/{run}/cancel/").json()["status"] == "cancelled"
    refused = live.post(f"pipeline-runs/{run}/retry/")
    assert refused.status_code == 409 and "cancelled" in refused.json()["detail"]


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry"])
def test_only_leaders_operate_runs(live: Api, verb: str) -> None:
    a_contact(live)
    run = PipelineRun.objects.get().pk
    assert Api(live.team, role="member").post(f"pipeline-runs/{run}/{verb}/").status_code == 403
    stranger = Api(Team.objects.create(name="B", slug="b"))
    assert stranger.post(f"pipeline-runs/{run}/{verb}/").status_code == 404


def test_the_log_and_the_status_are_the_teams_own(live: Api) -> None:
    a_contact(live)
    live.post("engine/tick/", {"now": NOON})
    assert [line["step"] for line in live.get("logs/").json()["results"]] == [
        PipelineRun.objects.select_related("last_step").get().last_step.key  # type: ignore[union-attr]
    ]
    status = live.get("status/").json()
    assert (status["runs"]["pending"], status["sent_today"]) == (1, 1)
    stranger = Api(Team.objects.create(name="B", slug="b"))
    assert stranger.get("logs/").json()["results"] == []
    assert stranger.get("status/").json()["runs"]["pending"] == 0


def test_the_log_goes_on_page_by_page(live: Api) -> None:
    for number in range(5):
        a_contact(live, email=f"c{number}@example.org")
    live.post("engine/tick/", {"now": NOON})
    live.post("engine/tick/", {"now": "2027-03-02T12:00:00Z"})
    seen, path = [], "logs/?page_size=3"
    while path:
        page = live.get(path).json()
        seen += [line["id"] for line in page["results"]]
        path = (page["next"] or "").partition("/api/v1/")[2]
    assert len(seen) == 10 and seen == sorted(seen, reverse=True)


def test_a_quiet_team_looks_at_a_stretch_of_the_log_at_a_time_and_misses_nothing(
    live: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.api.engine.STRETCH", 4)
    a_contact(live)
    live.post("engine/tick/", {"now": NOON})
    (mine,) = live.get("logs/").json()["results"]
    row = StepExecution.objects.get(pk=mine["id"])
    other = import_document(team=Team.objects.create(name="B", slug="b"), document=document([email()]))
    for _ in range(10):
        row.pk, row.step_id = row.pk + 1, other.steps.get().pk
        row.save(force_insert=True)
    seen, path, pages = [], "logs/", 0
    while path:
        page = live.get(path).json()
        seen += [line["id"] for line in page["results"]]
        path, pages = (page["next"] or "").partition("/api/v1/")[2], pages + 1
    assert seen == [mine["id"]] and pages == 3
    assert len(live.get(f"logs/?run={mine['run']}").json()["results"]) == 1


def test_the_test_clock_is_not_there_in_production(api: Api) -> None:
    assert api.post("engine/tick/", {"now": NOON}).status_code == 404


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"expr": "a.b * 2 + 1", "context": {"a": {"b": 4}}}, {"value": 9}),
        ({"expr": "upper(name)", "context": {"name": "ann"}}, {"value": "ANN"}),
    ],
)
def test_expressions_are_worked_out(api: Api, body: dict[str, Any], answer: dict[str, Any]) -> None:
    assert api.post("expressions/evaluate/", body).json() == answer


def test_a_condition_is_worked_out_with_its_reasons(api: Api) -> None:
    condition = {"field": "contact.email", "operator": "contains", "value": "@x"}
    answer = api.post("expressions/evaluate/", {"condition": condition, "context": {"contact": {"email": "a@x.org"}}})
    assert answer.json()["met"] is True and answer.json()["why"][0]["actual"] == "a@x.org"
    assert api.post("expressions/evaluate/", {"expr": "1 +"}).status_code == 400
    assert api.post("expressions/evaluate/", {}).status_code == 400


def test_schedules_are_right_on_the_days_of_the_clock_change(api: Api) -> None:
    body = {"expr": "30 1 * * *", "tz": "America/New_York", "from": "2026-11-01T00:00:00Z", "count": 3}
    assert api.post("cron/next/", body).json() == {
        "next": ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z", "2026-11-03T06:30:00Z"]
    }
    for wrong in ("* * * * * *", "@daily", "61 * * * *", "nonsense"):
        assert api.post("cron/next/", {"expr": wrong}).status_code == 400


@pytest.fixture
def broken(api: Api, test_clock: None) -> Api:
    """Two runs that failed because a value does not fit, and that would work now."""
    api.post("engine/tick/", {"now": NOON})
    long = {"key": "copy", "type": "update_record", "with": {"values": {"lead_source": "= contact.job_title"}}}
    api.post("pipelines/import/?activate=true", document([long, {"key": "hello", **email()}]))
    for _ in range(2):
        a_contact(api, job_title="x" * 120)
    api.post("engine/tick/", {"now": NOON})
    Contact.objects.update(job_title="short")
    return api


def test_what_failed_alike_is_counted_first_and_then_retried_together(broken: Api) -> None:
    (first, _) = broken.get("pipeline-runs/", status="failed").json()["results"]
    error = broken.get(f"pipeline-runs/{first['id']}/").json()["logs"][-1]["error"]
    wanted = {"pipeline": "welcome", "step": "copy", "error": error}
    free = {"entered_again": 0, "note": ""}
    none = {"count": 0, "retried": 0, **free}
    assert broken.post("pipeline-runs/retry/", wanted).json() == {"count": 2, "retried": 0, **free}
    assert broken.post("pipeline-runs/retry/", {**wanted, "error": "else"}).json() == none
    assert broken.post("pipeline-runs/retry/", {**wanted, "confirm": True}).json() == {"count": 2, "retried": 2, **free}
    broken.post("engine/tick/", {"now": "2027-03-01T13:00:00Z"})
    assert len(broken.get("pipeline-runs/", status="completed").json()["results"]) == 2
    assert broken.post("pipeline-runs/retry/", {**wanted, "pipeline": "nobody"}).status_code == 404


def test_who_came_in_again_since_is_not_retried_beside_himself(broken: Api) -> None:
    (first, second) = broken.get("pipeline-runs/", status="failed").json()["results"]
    (since,) = enroll(pipeline=Pipeline.objects.get(), subject_ids=[first["subject"]["id"]]).enrolled
    wanted = {"pipeline": "welcome", "step": "copy"}
    one = broken.post(f"pipeline-runs/{first['id']}/retry/")
    assert one.status_code == 409 and f"came in again since, in run {since}" in one.json()["detail"]
    replayed = broken.post(f"pipeline-runs/{first['id']}/replay/", {"step": "copy", "confirm": True})
    assert replayed.status_code == 409 and f"in run {since}" in replayed.json()["detail"]
    note = f"1 of them stays as it is: its record came in again since, in run {since}."
    told = {"count": 2, "entered_again": 1, "note": note}
    assert broken.post("pipeline-runs/retry/", wanted).json() == {**told, "retried": 0}
    assert broken.post("pipeline-runs/retry/", {**wanted, "confirm": True}).json() == {**told, "retried": 1}
    broken.post("engine/tick/", {"now": "2027-03-01T13:00:00Z"})
    assert {PipelineRun.objects.get(pk=pk).get_status_display() for pk in (second["id"], since)} == {"completed"}
    assert len(mail.outbox) == 2
    # It has ended: nobody is in the way any more, and who is in again holds the key again.
    assert broken.post(f"pipeline-runs/{first['id']}/retry/").status_code == 200
    assert enroll(pipeline=Pipeline.objects.get(), subject_ids=[first["subject"]["id"]]).enrolled == []


def test_replaying_asks_before_it_sends_and_says_where_it_cannot(broken: Api) -> None:
    (run, _) = broken.get("pipeline-runs/", status="failed").json()["results"]
    path = f"pipeline-runs/{run['id']}/replay/"
    refused = broken.post(path, {"step": "hello"})
    assert refused.status_code == 409 and "sends again" in refused.json()["detail"]
    assert broken.post(path, {"step": "nowhere"}).status_code == 409
    replayed = broken.post(path, {"step": "hello", "confirm": True})
    assert (replayed.status_code, replayed.json()["status"]) == (200, "pending")
    broken.post("engine/tick/", {"now": "2027-03-01T13:00:00Z"})
    assert len(mail.outbox) == 1
    copy = broken.post(path, {"step": "hello", "mode": "clone", "confirm": True}).json()
    assert copy["id"] != run["id"]


@pytest.mark.parametrize(("policy", "asks"), [("follow", True), ("pin", False)])
def test_replaying_asks_about_what_the_version_sends_by_which_the_run_goes(
    api: Api, test_clock: None, policy: str, asks: bool
) -> None:
    api.post("engine/tick/", {"now": NOON})
    quiet = {"key": "first", "type": "set_variable", "with": {"seen": True}}
    more: dict[str, Any] = {"variables": [{"name": "seen", "type": "boolean"}], "settings": {"versioning": policy}}
    api.post("pipelines/import/?activate=true", document([quiet], **more))
    a_contact(api)
    api.post("engine/tick/", {"now": NOON})
    api.post("pipelines/import/?activate=true", document([quiet, {"key": "hello", **email()}], **more))
    (run,) = api.get("pipeline-runs/").json()["results"]
    answer = api.post(f"pipeline-runs/{run['id']}/replay/", {"step": "first"})
    assert (answer.status_code == 409) == asks, answer.content
    if asks:
        assert answer.json()["detail"] == "This sends again: hello. Confirm that you want it."
    api.post("engine/tick/", {"now": NOON})
    assert mail.outbox == []


def test_only_operators_retry_and_replay(broken: Api, team: Team) -> None:
    viewer = Api(team, role="viewer")
    (run, _) = broken.get("pipeline-runs/", status="failed").json()["results"]
    assert viewer.post(f"pipeline-runs/{run['id']}/replay/", {"step": "hello"}).status_code == 403
    assert viewer.post("pipeline-runs/retry/", {"pipeline": "welcome", "step": "copy"}).status_code == 403


def test_a_failed_run_says_what_failed_inside_its_loop(live: Api) -> None:
    body = [{"key": "charge", "type": "set_variable", "with": {"sum": "= sum + 1"}}]
    steps = [{"key": "rounds", "type": "loop", "with": {"times": 2, "steps": body}}]
    paid = document(steps, key="paid", variables=[{"name": "sum", "type": "number"}])
    live.post("pipelines/import/?activate=true", paid)
    a_contact(live)
    live.post("engine/tick/", {"now": NOON})
    run = live.get("pipeline-runs/", pipeline="paid").json()["results"][-1]
    run = live.get(f"pipeline-runs/{run['id']}/").json()
    assert (run["status"], run["reason"]) == ("failed", "error")
    assert run["error"].startswith("Round 1 of 2 failed at charge: sum: expected a number, got nothing")
    assert run["logs"][-1]["error"] == run["error"]
    (other,) = live.get("pipeline-runs/", pipeline="welcome").json()["results"]
    assert live.get(f"pipeline-runs/{other['id']}/").json()["error"] is None


@pytest.fixture
def blocks(live: Api) -> Api:
    """Somebody in a pipeline with a loop in a branch, and a call in another."""
    rounds = {"key": "each", "type": "loop", "with": {"times": 2, "steps": [{"key": "item", **email()}]}}
    call = {"key": "ask", "type": "call", "with": {"pipeline": "other"}}
    parts = [{"name": "left", "steps": [rounds]}, {"name": "right", "steps": [call]}]
    fork = {"key": "fork", "type": "parallel", "with": {"branches": parts}}
    active(live.team, [{"key": "gift", **email()}], key="other", triggers=[{"type": "manual"}])
    active(live.team, [{"key": "first", **email()}, fork], key="blocks")
    a_contact(live)
    live.post("engine/tick/", {"now": NOON})
    return live


def test_the_log_of_a_run_tells_what_happened_inside_it_and_where(blocks: Api) -> None:
    (whole,) = blocks.get("pipeline-runs/", pipeline="blocks").json()["results"]
    assert (whole["parent"], whole["root"]) == (None, None)
    run = blocks.get(f"pipeline-runs/{whole['id']}/").json()
    assert [line["id"] for line in run["logs"]] == sorted(line["id"] for line in run["logs"])
    assert {(line["step"], line["branch"]) for line in run["logs"]} == {
        ("first", ""), ("item", "fork.left/each.0"), ("item", "fork.left/each.1"), ("each", "fork.left"),
        ("gift", "fork.right/other"), ("ask", "fork.right"), ("fork", ""),
    }  # fmt: skip
    assert {line["run"] for line in run["logs"] if not line["branch"]} == {whole["id"]}
    inner = next(line["run"] for line in run["logs"] if line["branch"] == "fork.left/each.1")
    part = blocks.get(f"pipeline-runs/{inner}/").json()
    assert (part["root"], part["logs"][0]["branch"]) == (whole["id"], "")
    branch = blocks.get(f"pipeline-runs/{part['parent']}/").json()
    assert {line["branch"] for line in branch["logs"]} == {"", "each.0", "each.1"}


def test_branches_that_edges_draw_are_told_by_their_names(live: Api, admin_client: Client) -> None:
    keys = ("begin", "left", "right", "check", "both")
    steps: list[dict[str, Any]] = [{"key": key, "type": "wait"} for key in keys]
    edges = [{"from": one, "to": other} for one, other in (("begin", "left"), ("begin", "right"), ("right", "check"))]
    edges += [{"from": one, "to": "both"} for one in ("left", "check")]
    drawn = {**document(steps, key="drawn"), "edges": edges}
    assert live.post("pipelines/import/?activate=true", drawn).status_code == 201
    a_contact(live)
    live.post("engine/tick/", {"now": NOON})
    run = live.get("pipeline-runs/", pipeline="drawn").json()["results"][-1]
    logs = live.get(f"pipeline-runs/{run['id']}/").json()["logs"]
    assert {(visit["branch"], visit["step"]) for visit in logs if visit["branch"]} == {
        ("fork_begin.left", "left"), ("fork_begin.right", "right"), ("fork_begin.right", "check"),
    }  # fmt: skip
    page = admin_client.get(f"/admin/pipelines/pipelinerun/{run['id']}/change/").content.decode()
    assert "branch ‘left’" in page and "round 1" not in page
    child = live.get("pipeline-runs/", root=run["id"]).json()["results"][0]
    assert "branch ‘" in admin_client.get(f"/admin/pipelines/pipelinerun/{child['id']}/change/").content.decode()


def test_what_failed_inside_is_not_what_the_run_failed_with(live: Api) -> None:
    divide = {"key": "charge", "type": "set_variable", "with": {"sum": "= 100 / (item - 3)"}}
    body = [{"key": "pause", "type": "wait"}, divide]
    rounds = {"key": "each", "type": "loop", "with": {"over": "= [3]", "tolerate": 1, "steps": body}}
    choice = {"key": "choice", "type": "condition", "if": "1 > 2", "on": {"false": "fail"}}
    active(live.team, [rounds, choice], key="paid", variables=[{"name": "sum", "type": "number"}])
    a_contact(live)
    live.post("engine/tick/", {"now": NOON})
    (run,) = live.get("pipeline-runs/", pipeline="paid").json()["results"]
    run = live.get(f"pipeline-runs/{run['id']}/").json()
    failed = next(line for line in run["logs"] if line["error"])
    # Both have the same number of visits behind them.
    assert (run["status"], run["seq"], failed["seq"], failed["branch"]) == ("failed", 2, 2, "each.0")
    assert run["error"] is None


def test_a_run_costs_the_same_with_few_rounds_inside_and_with_many(live: Api) -> None:
    counts = []
    for times in (1, 15):
        rounds = {"key": "each", "type": "loop", "with": {"times": times, "steps": [email(), email()]}}
        active(live.team, [rounds], key=f"rounds{times}")
        a_contact(live, email=f"c{times}@example.org")
        live.post("engine/tick/", {"now": NOON})
        run = live.get("pipeline-runs/", pipeline=f"rounds{times}").json()["results"][0]["id"]
        with CaptureQueriesContext(connection) as queries:
            assert len(live.get(f"pipeline-runs/{run}/").json()["logs"]) == 2 * times + 1
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 15
