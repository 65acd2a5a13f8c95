"""Several people share the tasks of a step: each gets the next one, in turn."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact
from crm.models import Member, Task, Team
from pipelines.engine.tick import process_due_runs
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.people.asking import ask, enter, member

THREE = ["ann@acme.example", "bea@acme.example", "cem@acme.example"]


def given_to() -> list[str]:
    return list(Task.objects.order_by("pk").values_list("assignee__username", flat=True))


def people(team: Team) -> None:
    for name in ("ann", "bea", "cem"):
        member(team, name)


def test_tasks_go_round_whether_they_come_together_or_one_by_one(team: Team, run_at: Run) -> None:
    people(team)
    ask(team, given={"assignee": THREE})
    for name in ("One", "Two"):
        enter(team, name)
    run_at(NOON)
    assert sorted(given_to()) == ["ann", "bea"]
    for minute, name in enumerate(("Three", "Four", "Five")):
        enter(team, name)
        run_at(later(minutes=minute + 1))
    assert given_to()[2:] == ["cem", "ann", "bea"]


def test_who_left_the_team_is_passed_over(team: Team, run_at: Run) -> None:
    people(team)
    ask(team, given={"assignee": THREE})
    Member.objects.filter(user__username="bea").delete()
    for minute, name in enumerate(("One", "Two", "Three")):
        enter(team, name)
        run_at(later(minutes=minute))
    assert given_to() == ["ann", "cem", "ann"]


def test_people_may_stand_in_a_variable_and_nobody_is_nobodys_task(team: Team, run_at: Run) -> None:
    people(team)
    step = {"key": "ask", "type": "human_task", "with": {"title": "Call", "assignee": "{{ people }}"}}
    active(team, [step], variables=[{"name": "people", "type": "list", "default": THREE[1:]}])
    active(team, [step], key="nobody", variables=[{"name": "people", "type": "list", "default": ["x@else.example"]}])
    enter(team, "One")
    run_at(NOON)
    assert set(given_to()) == {"bea", None}


def test_each_step_has_turns_of_its_own(team: Team, run_at: Run) -> None:
    people(team)
    ask(team, given={"assignee": THREE}, then=[{"type": "human_task", "with": {"title": "And?", "assignee": THREE}}])
    active(team, [{"type": "human_task", "with": {"title": "Other", "assignee": THREE}}], key="other")
    enter(team, "One")
    run_at(NOON)
    assert given_to() == ["ann", "ann"]


def test_a_batch_of_turns_costs_what_one_costs(team: Team, run_at: Run) -> None:
    people(team)
    ask(team, given={"assignee": THREE, "notify": False})
    costs = []
    for count in (1, 30):
        for number in range(count):
            Contact.objects.create(team=team, first_name=f"Bo{number}", email=f"bo{count}{number}@example.org")
        with CaptureQueriesContext(connection) as asked:
            process_due_runs()
        costs.append(len([each for each in asked if "enginestate" in each["sql"] and "turn:" in each["sql"]]))
    assert 0 < costs[0] == costs[1] <= 3, costs
    assert sorted(given_to()).count("bea") == 10
