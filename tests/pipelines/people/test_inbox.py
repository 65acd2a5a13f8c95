"""My tasks: what waits for me, what I may take, and each answered where it stands."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts.models import Contact
from crm.models import Task, Team
from crm.teams import create_team
from pipelines.models import HumanTask, PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON
from tests.pipelines.engine.conftest import Run
from tests.pipelines.people.asking import ask, enter, member, the_task


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def titles(client: Client, show: str) -> list[str]:
    answer = client.get("/admin/inbox/", {"show": show})
    assert answer.status_code == 200
    return [line.task.title for line in answer.context["lines"]]


def test_everybody_sees_their_own_and_what_they_may_take(team: Team, run_at: Run) -> None:
    sal, pat = member(team, "sal", groups=["sales"]), member(team, "pat", groups=["purchasing"])
    boss = member(team, "boss", role="manager")
    ask(team, given={"role": "sales"})
    enter(team)
    run_at(NOON)
    Task.objects.create(team=team, title="Call", assignee=pat)
    Task.objects.create(team=team, title="Free")
    other = create_team(name="Other", slug="other")
    Task.objects.create(team=other, title="Secret")
    assert titles(signed_in(sal), "mine") == [] and titles(signed_in(pat), "mine") == ["Call"]
    assert set(titles(signed_in(sal), "free")) == {"Is Bo a fit?", "Free"}
    assert titles(signed_in(pat), "free") == ["Free"]
    assert set(titles(signed_in(boss), "free")) == {"Is Bo a fit?", "Free"}
    assert set(titles(signed_in(pat), "all")) == {"Is Bo a fit?", "Free", "Call"}


def test_a_form_is_answered_where_it_stands(team: Team, run_at: Run) -> None:
    ann = member(team, "ann")
    ask(team, given={"assignee": "ann@acme.example"})
    run = enter(team)
    run_at(NOON)
    task, _ = the_task()
    client = signed_in(ann)
    wrong = client.post(f"/admin/inbox/{task.pk}/complete/", {f"t{task.pk}-agenda": "Prices", "outcome": "completed"})
    page = wrong.content.decode()
    assert wrong.status_code == 422 and "This is needed." in page and 'value="Prices"' in page
    good = {f"t{task.pk}-callDate": "2027-03-05T09:00", "outcome": "completed", "show": "mine"}
    done = client.post(f"/admin/inbox/{task.pk}/complete/", good, follow=True)
    assert "is done" in done.content.decode() and titles(client, "mine") == []
    assert PipelineRun.objects.get(pk=run.pk).status == RunStatus.COMPLETED
    late = client.post(f"/admin/inbox/{task.pk}/complete/", {**good, f"t{task.pk}-agenda": "x"}, follow=True)
    assert "answered this already" in late.content.decode()


def test_tasks_are_taken_and_handed_over(team: Team, run_at: Run) -> None:
    ann, bea = member(team, "ann"), member(team, "bea")
    ask(team, given={"role": "member"})
    enter(team)
    run_at(NOON)
    task, human = the_task()
    signed_in(ann).post(f"/admin/inbox/{task.pk}/claim/")
    assert titles(signed_in(ann), "mine") == ["Is Bo a fit?"]
    human.refresh_from_db()
    assert human.status == HumanTask.Status.CLAIMED
    refused = signed_in(bea).post(f"/admin/inbox/{task.pk}/claim/", follow=True)
    assert "Ann" in refused.content.decode() and titles(signed_in(bea), "mine") == []
    signed_in(ann).post(f"/admin/inbox/{task.pk}/reassign/", {"assignee": bea.pk})
    assert titles(signed_in(bea), "mine") == ["Is Bo a fit?"]


def test_late_tasks_come_first_and_say_so(team: Team) -> None:
    ann = member(team, "ann")
    now = timezone.now()
    Task.objects.create(team=team, title="Someday", assignee=ann)
    Task.objects.create(team=team, title="Next week", assignee=ann, due_at=now + timedelta(days=7))
    Task.objects.create(team=team, title="Yesterday", assignee=ann, due_at=now - timedelta(days=1))
    client = signed_in(ann)
    assert titles(client, "mine") == ["Yesterday", "Next week", "Someday"]
    assert "late, 1 day ago" in client.get("/admin/inbox/").content.decode()


def test_an_empty_inbox_says_what_it_is_for(team: Team) -> None:
    page = signed_in(member(team, "ann")).get("/admin/inbox/").content.decode()
    assert "Nothing waits for you" in page


def test_who_may_only_look_only_looks(team: Team, run_at: Run) -> None:
    vic = member(team, "vic", role="viewer")
    ask(team)
    enter(team)
    run_at(NOON)
    task, _ = the_task()
    client = signed_in(vic)
    assert '<form method="post" action="/admin/inbox/' not in client.get("/admin/inbox/?show=all").content.decode()
    for deed in ("complete", "claim", "reassign"):
        assert client.post(f"/admin/inbox/{task.pk}/{deed}/").status_code == 403


def test_tasks_of_other_teams_do_not_exist(team: Team) -> None:
    other = create_team(name="Other", slug="other")
    task = Task.objects.create(team=other, title="Whose business")
    client = signed_in(member(team, "ann", role="owner"))
    assert "Whose business" not in client.get(f"/admin/inbox/?task={task.pk}&show=all").content.decode()
    for deed in ("complete", "claim", "reassign"):
        assert client.post(f"/admin/inbox/{task.pk}/{deed}/").status_code == 404


def test_the_page_costs_the_same_with_one_task_and_with_twenty(team: Team, run_at: Run) -> None:
    ann = member(team, "ann")
    ask(team, given={"assignee": "ann@acme.example", "form": [{"name": "who", "type": "user"}]})
    client = signed_in(ann)
    costs = []
    for count in (1, 19):
        for number in range(count):
            Contact.objects.create(team=team, first_name=f"Bo{number}", email=f"b{count}{number}@example.org")
        run_at(NOON)
        client.get("/admin/inbox/")
        with CaptureQueriesContext(connection) as asked:
            client.get("/admin/inbox/")
        costs.append(len(asked))
    assert costs[0] == costs[1], costs


@pytest.mark.parametrize("query", ["task=x", "task=99999999999999999999", "page=x", "show=nonsense", "task=5"])
def test_odd_addresses_show_the_inbox(team: Team, query: str) -> None:
    assert signed_in(member(team, "ann")).get(f"/admin/inbox/?{query}").status_code == 200


def test_the_ordinary_list_leads_to_the_form(team: Team, run_at: Run) -> None:
    boss = member(team, "boss", role="manager")
    ask(team)
    run = enter(team)
    run_at(NOON)
    task, _ = the_task()
    client = signed_in(boss)
    page = client.get(f"/admin/crm/task/{task.pk}/change/").content.decode()
    assert f"/admin/inbox/?task={task.pk}" in page and 'name="status"' not in page
    body: dict[str, Any] = {"action": "complete", "_selected_action": [task.pk]}
    said = client.post("/admin/crm/task/", body, follow=True).content.decode()
    assert "has a form" in said and PipelineRun.objects.get(pk=run.pk).status == RunStatus.WAITING
    contact = client.get(f"/admin/contacts/contact/{run.subject_id}/change/").content.decode()
    assert "Is Bo a fit?" in contact
    assert f"/admin/inbox/?task={task.pk}" in client.get(f"/admin/inbox/?task={task.pk}").wsgi_request.get_full_path()


def test_a_task_that_asks_nothing_is_finished_in_the_ordinary_list(team: Team, run_at: Run) -> None:
    boss = member(team, "boss", role="manager")
    ask(team, given={"title": "Call Bo", "form": [], "outcomes": []})
    run = enter(team)
    run_at(NOON)
    task, _ = the_task()
    body: dict[str, Any] = {"action": "complete", "_selected_action": [task.pk]}
    said = signed_in(boss).post("/admin/crm/task/", body, follow=True).content.decode()
    assert "1 task completed." in said and "has a form" not in said
    run.refresh_from_db()
    assert run.status != RunStatus.WAITING and the_task()[1].completed_by == boss
