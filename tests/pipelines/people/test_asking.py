"""A run asks a person, and goes on with the answer."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact
from crm.models import Message, Task, Team
from pipelines.engine.controls import cancel_runs, pause_runs, resume_runs
from pipelines.engine.tick import process_due_runs
from pipelines.models import HumanTask, PipelineRun, StepExecution
from pipelines.operations import InvalidDocument
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, later, log
from tests.pipelines.engine.conftest import Run
from tests.pipelines.people.asking import ask, enter, member, the_task, variables
from tests.pipelines.triggers.test_event_triggers import HOLD, on

GOOD = {"values": {"callDate": "2027-03-05T09:00", "agenda": "Prices", "size": "large"}}
Status = HumanTask.Status


def state(run: PipelineRun) -> RunStatus:
    run.refresh_from_db()
    return RunStatus(run.status)


def test_an_answer_lets_the_run_go_on_in_the_same_request(team: Team, run_at: Run) -> None:
    ann = member(team, "ann")
    ask(team, given={"assignee": "ann@acme.example", "due": "2d", "priority": "high"})
    run = enter(team)
    run_at(NOON)
    task, human = the_task()
    assert (task.title, task.assignee, task.due_at, task.priority) == ("Is Bo a fit?", ann, later(days=2), "high")
    assert state(run) == RunStatus.WAITING and human.status == Status.OPEN
    answer = Api(team, created_by=ann).post(f"tasks/{task.pk}/complete/", GOOD)
    assert answer.status_code == 200, answer.content
    assert answer.json()["status"] == "done" and answer.json()["answer"]["agenda"] == "Prices"
    assert state(run) == RunStatus.COMPLETED
    assert variables(run) == {"verdict": "completed", "when": "2027-03-05T09:00:00+00:00"}
    assert log(run) == [(1, "completed", "completed")]


def test_a_declared_answer_is_an_edge(team: Team, run_at: Run) -> None:
    member(team, "ann")
    ask(
        team,
        given={"form": [], "outcomes": ["approve", "reject"], "assignee": "ann@acme.example"},
        on={"reject": "bye"},
        then=[{"type": "end", "with": {"reason": "won"}}, {"key": "bye", "type": "end", "with": {"reason": "lost"}}],
    )
    run = enter(team)
    run_at(NOON)
    task, _ = the_task()
    api = Api(team)
    missing = api.post(f"tasks/{task.pk}/complete/", {})
    assert missing.status_code == 400 and missing.json()["errors"][0]["path"] == "outcome"
    wrong = api.post(f"tasks/{task.pk}/complete/", {"outcome": "perhaps"})
    assert wrong.status_code == 400 and "approve, reject" in wrong.json()["errors"][0]["message"]
    assert api.post(f"tasks/{task.pk}/complete/", {"outcome": "reject"}).status_code == 200
    run.refresh_from_db()
    assert run.reason == "lost" and variables(run)["verdict"] == "reject"


def test_an_answer_starts_the_pipelines_that_listen_for_it(team: Team, run_at: Run) -> None:
    ask(team)
    active(team, HOLD, key="after", triggers=[on("form_answered")])
    asked = enter(team)
    run_at(NOON)
    task, _ = the_task()
    assert Api(team).post(f"tasks/{task.pk}/complete/", GOOD).status_code == 200
    run_at(later(minutes=1))
    told = PipelineRun.objects.get(pipeline__key="after", subject_id=asked.subject_id).context.trigger
    assert told["values"]["agenda"] == "Prices" and told["outcome"] == "completed"


def test_answers_that_do_not_fit_are_told_by_field_and_change_nothing(team: Team, run_at: Run) -> None:
    ask(team)
    run = enter(team)
    run_at(NOON)
    task, human = the_task()
    answer = Api(team).post(f"tasks/{task.pk}/complete/", {"values": {"size": "huge", "color": "red"}})
    assert answer.status_code == 400 and answer["Content-Type"] == "application/problem+json"
    assert {error["path"] for error in answer.json()["errors"]} == {"values.callDate", "values.size", "values.color"}
    human.refresh_from_db()
    assert human.status == Status.OPEN and state(run) == RunStatus.WAITING


def test_the_second_answer_is_told_who_was_quicker(team: Team, run_at: Run) -> None:
    ann, bea = member(team, "ann", role="manager"), member(team, "bea", role="manager")
    ask(team)
    run = enter(team)
    run_at(NOON)
    task, _ = the_task()
    assert Api(team, created_by=ann).post(f"tasks/{task.pk}/complete/", GOOD).status_code == 200
    second = Api(team, created_by=bea).post(f"tasks/{task.pk}/complete/", GOOD)
    assert second.status_code == 409 and "Ann answered this already" in second.json()["detail"]
    again = Api(team, created_by=ann).post(f"tasks/{task.pk}/complete/", GOOD)
    assert again.status_code == 200, "the same answer of the same person, as after a lost connection"
    assert StepExecution.objects.filter(run_id=run.pk).count() == 1


def test_when_nobody_answers_in_time_the_run_takes_the_way_of_the_timeout(team: Team, run_at: Run) -> None:
    ask(team, timeout="P3D", on={"timeout": "late"}, then=[{"type": "end"}, {"key": "late", "type": "end"}])
    run = enter(team)
    run_at(NOON)
    task, human = the_task()
    assert task.due_at == later(days=3)
    run_at(later(days=3))
    human.refresh_from_db()
    task.refresh_from_db()
    assert (human.status, task.status) == (Status.EXPIRED, Task.Status.CANCELLED)
    assert [outcome for _, _, outcome in log(run)] == ["timeout", "completed"]
    assert variables(run)["verdict"] == "timeout"
    late = Api(team).post(f"tasks/{task.pk}/complete/", GOOD)
    assert late.status_code == 409 and "time was over" in late.json()["detail"]


def test_a_cancelled_run_takes_its_task_back(team: Team, run_at: Run) -> None:
    ask(team)
    run = enter(team)
    run_at(NOON)
    cancel_runs(run_ids=[run.pk])
    task, human = the_task()
    assert (human.status, task.status) == (Status.CANCELLED, Task.Status.CANCELLED)
    refused = Api(team).post(f"tasks/{task.pk}/complete/", GOOD)
    assert refused.status_code == 409 and "stopped" in refused.json()["detail"]


def test_an_answer_for_a_paused_run_is_kept_until_it_goes_on(team: Team, run_at: Run) -> None:
    ask(team)
    run = enter(team)
    run_at(NOON)
    pause_runs(run_ids=[run.pk])
    task, _ = the_task()
    assert Api(team).post(f"tasks/{task.pk}/complete/", GOOD).status_code == 200
    assert state(run) == RunStatus.PAUSED
    resume_runs(run_ids=[run.pk])
    process_due_runs()
    assert state(run) == RunStatus.COMPLETED and variables(run)["when"] == "2027-03-05T09:00:00+00:00"


def test_a_task_without_a_name_goes_to_the_owner_of_the_record(team: Team, run_at: Run) -> None:
    ann = member(team, "ann")
    ask(team)
    enter(team, owner=ann)
    run_at(NOON)
    assert the_task()[0].assignee == ann


def test_a_group_takes_its_own_tasks_and_no_others(team: Team, run_at: Run) -> None:
    sal = member(team, "sal", groups=["Sales"])
    pat = member(team, "pat", groups=["purchasing"])
    ask(team, given={"role": "sales"})
    enter(team, owner=pat)
    run_at(NOON)
    task, _ = the_task()
    assert task.assignee is None
    other = Api(team, role="member", created_by=pat)
    assert other.post(f"tasks/{task.pk}/claim/").status_code == 403
    assert other.post(f"tasks/{task.pk}/complete/", GOOD).status_code == 403
    mine = Api(team, role="member", created_by=sal)
    assert mine.post(f"tasks/{task.pk}/claim/").json()["assignee"] == sal.pk
    assert HumanTask.objects.get().status == Status.CLAIMED
    assert mine.post(f"tasks/{task.pk}/complete/", GOOD).status_code == 200


def test_a_group_in_which_nobody_works_is_everybodys(team: Team, run_at: Run) -> None:
    pat = member(team, "pat")
    ask(team, given={"role": "legal"})
    enter(team)
    run_at(NOON)
    assert Api(team, role="member", created_by=pat).post(f"tasks/{the_task()[0].pk}/complete/", GOOD).status_code == 200


def test_somebody_elses_task_is_answered_by_a_manager_or_handed_over(team: Team, run_at: Run) -> None:
    ann, bea = member(team, "ann"), member(team, "bea")
    ask(team, given={"assignee": "ann@acme.example"})
    enter(team)
    run_at(NOON)
    task, _ = the_task()
    stranger = Api(team, role="member", created_by=bea)
    refused = stranger.post(f"tasks/{task.pk}/complete/", GOOD)
    assert refused.status_code == 403 and "Ann's" in refused.json()["detail"]
    assert stranger.post(f"tasks/{task.pk}/reassign/", {"assignee": bea.pk}).status_code == 403
    handed = Api(team, role="member", created_by=ann).post(f"tasks/{task.pk}/reassign/", {"assignee": bea.pk})
    assert handed.status_code == 200 and handed.json()["assignee"] == bea.pk
    assert stranger.post(f"tasks/{task.pk}/complete/", GOOD).status_code == 200


@pytest.mark.parametrize("user_id", [999_999, "viewer"])
def test_a_task_is_handed_only_to_those_who_can_do_it(team: Team, run_at: Run, user_id: Any) -> None:
    viewer = member(team, "vic", role="viewer")
    ask(team)
    enter(team)
    run_at(NOON)
    body = {"assignee": viewer.pk if user_id == "viewer" else user_id}
    answer = Api(team).post(f"tasks/{the_task()[0].pk}/reassign/", body)
    assert answer.status_code == 400 and answer.json()["errors"][0]["path"] == "assignee"


def test_a_task_with_a_form_cannot_be_waved_through(team: Team, run_at: Run) -> None:
    ask(team)
    enter(team)
    run_at(NOON)
    task, _ = the_task()
    api = Api(team)
    for body in ({"status": "done"}, {"status": "cancelled"}, {"assignee": member(team, "ann").pk}):
        assert api.patch(f"tasks/{task.pk}/", body).status_code == 400, body
    assert api.patch(f"tasks/{task.pk}/", {"priority": "low"}).status_code == 200
    assert api.delete(f"tasks/{task.pk}/").status_code == 409


def test_the_list_of_tasks_says_what_is_asked_in_one_statement_more(team: Team, run_at: Run) -> None:
    ask(team)
    for number in range(3):
        enter(team, f"Bo{number}")
    run_at(NOON)
    api = Api(team)
    shown = api.get("tasks/").json()["results"]
    assert [field["name"] for field in shown[0]["form"]] == ["callDate", "agenda", "size"]
    assert shown[0]["outcomes"] == ["completed"] and shown[0]["form"][0]["label"] == "Call date"
    costs = []
    for size in (1, 3):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            api.get("tasks/", page_size=size)
        costs.append(len(asked))
    assert costs[0] == costs[1]


def test_a_batch_of_tasks_costs_what_one_costs(team: Team, run_at: Run) -> None:
    member(team, "ann")
    ask(team, given={"assignee": "ann@acme.example"})
    costs = []
    for count in (1, 40):
        for number in range(count):
            Contact.objects.create(team=team, first_name=f"Bo{number}", email=f"bo{count}{number}@example.org")
        with CaptureQueriesContext(connection) as asked:
            process_due_runs()
        inserts = [query for query in asked if query["sql"].startswith("INSERT") and "queue" not in query["sql"]]
        costs.append(len([each for each in inserts if "crm_task" in each["sql"] or "humantask" in each["sql"]]))
    assert costs == [2, 2] and HumanTask.objects.count() == 41
    assert Message.objects.count() == 41


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"form": [{"name": "a", "type": "select"}]}, "steps[0].with.form[0].options"),
        ({"form": [{"name": "outcome", "type": "text"}]}, "steps[0].with.form[0].name"),
        ({"outcomes": ["timeout"]}, "steps[0].with.outcomes[0]"),
        ({"remind": "5s"}, "steps[0].with.remind"),
        ({"assignee": "stranger@else.example"}, "steps[0].with.assignee"),
        ({"assignee": ["{{ contact.owner }}", "stranger@else.example"]}, "steps[0].with.assignee[1]"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_with_its_path(team: Team, given: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        active(team, [{"type": "human_task", "with": {"title": "x", **given}}])
    assert path in [problem.path for problem in refused.value.problems]


def test_a_plain_task_is_taken_handed_over_and_done_the_same_way(team: Team) -> None:
    ann, bea = member(team, "ann"), member(team, "bea")
    task = Task.objects.create(team=team, title="Call", due_at=datetime(2027, 1, 1, tzinfo=UTC))
    api = Api(team, role="member", created_by=ann)
    assert api.post(f"tasks/{task.pk}/claim/").json()["assignee"] == ann.pk
    assert api.post(f"tasks/{task.pk}/reassign/", {"assignee": bea.pk}).json()["assignee"] == bea.pk
    assert api.post(f"tasks/{task.pk}/complete/").json()["status"] == "done"
    assert api.post(f"tasks/{task.pk}/complete/").status_code == 409
    assert api.get(f"tasks/{task.pk}/").json()["form"] is None
