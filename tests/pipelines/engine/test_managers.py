"""`owner.manager` is whom the owner of a record works under in its team: told, asked, shown and compared."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Company, Contact, Deal
from crm.models import Member, MessageTemplate, Notification, Task, Team
from crm.people import set_manager
from pipelines.engine.tick import process_due_runs
from pipelines.models import PipelineRun
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.counting import statements

TELL = {"type": "notify", "with": {"to": "{{ subject.owner.manager }}", "title": "Late"}}


def member(team: Team, name: str, *, role: str = "member", manager: Member | None = None) -> Member:
    user, _ = User.objects.get_or_create(username=name, email=f"{name}@acme.example", first_name=name.title())
    return Member.objects.create(team=team, user=user, role=role, manager=manager)


@pytest.fixture
def max_(team: Team) -> Member:
    return member(team, "max", manager=member(team, "olga", role="owner"))


@pytest.fixture
def rita(team: Team, max_: Member) -> Member:
    return member(team, "rita", manager=max_)


def told() -> list[str]:
    return sorted(Notification.objects.values_list("user__username", flat=True))


@pytest.mark.parametrize("model", ["contacts.contact", "contacts.deal", "contacts.company"])
def test_a_note_reaches_the_manager_of_whoever_owns_the_record(
    team: Team, run_at: Run, rita: Member, model: str
) -> None:
    active(team, [TELL], subject=model, triggers=[{"type": "created", "model": model, "automatic": True}])
    match model:
        case "contacts.contact":
            Contact.objects.create(team=team, first_name="Bo", owner=rita.user)
        case "contacts.deal":
            Deal.objects.create(team=team, title="Roof", owner=rita.user)
        case _:
            Company.objects.create(team=team, name="Acme", owner=rita.user)
    run_at(NOON)
    assert told() == ["max"]


ASKED: list[tuple[str, dict[str, Any]]] = [
    ("create_task", {"title": "Look", "assignee": "{{ contact.owner.manager }}"}),
    ("create_task", {"title": "Look", "assignee": "{{ contact.owner.manager.email }}"}),
    ("human_task", {"title": "Look", "assignee": "{{ contact.owner.manager }}"}),
    ("human_task", {"title": "Look", "assignee": ["{{ contact.owner.manager }}"]}),
    ("create_record", {"model": "crm.task", "values": {"title": "Look", "assignee": "{{ contact.owner.manager }}"}}),
]


@pytest.mark.parametrize(("kind", "given"), ASKED, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(ASKED)])
def test_a_task_lands_on_the_list_of_the_manager(
    team: Team, run_at: Run, rita: Member, max_: Member, kind: str, given: dict[str, Any]
) -> None:
    active(team, [{"type": kind, "with": given}])
    Contact.objects.create(team=team, first_name="Bo", owner=rita.user)
    run_at(NOON)
    assert Task.objects.get().assignee == max_.user


def test_texts_conditions_and_templates_of_the_team_read_the_manager(
    team: Team, run_at: Run, rita: Member, mailoutbox: Any
) -> None:
    said = "Yours, {{ contact.owner.manager.first_name }}"
    MessageTemplate.objects.create(team=team, key="hello", name="Hello", subject="Hi", text=said)
    kept = {"assign": "{% assign who = contact.owner %}{{ who.manager.first_name }}", "mail": "= who.manager.email"}
    steps = [
        {"key": "ask", "type": "condition", "if": "contact.owner.manager.email == 'max@acme.example'",
         "on": {"true": "next", "false": "end"}},
        {"key": "keep", "type": "set_variable", "with": {"who": "= contact.owner"}},
        {"key": "read", "type": "set_variable", "with": kept},
        email(said, key="own"),
        {"key": "team", "type": "send_email", "with": {"template": "hello"}},
    ]  # fmt: skip
    texts = [{"name": name, "type": "string"} for name in kept]
    active(team, steps, variables=[{"name": "who", "type": "object"}, *texts])
    Contact.objects.create(team=team, first_name="Bo", email="bo@example.org", owner=rita.user)
    run_at(NOON)
    assert [mail.body.split("\n")[0].strip() for mail in mailoutbox] == ["Yours, Max", "Yours, Max"]
    variables = PipelineRun.objects.get().context.vars
    assert (variables["assign"], variables["mail"]) == ("Max", "max@acme.example")


def test_a_template_of_the_team_alone_may_read_the_manager(
    team: Team, run_at: Run, rita: Member, mailoutbox: Any
) -> None:
    said = "Yours, {{ contact.owner.manager.first_name }}"
    MessageTemplate.objects.create(team=team, key="hello", name="Hello", subject="Hi", text=said)
    active(team, [{"type": "send_email", "with": {"template": "hello"}}])
    Contact.objects.create(team=team, first_name="Bo", email="bo@example.org", owner=rita.user)
    run_at(NOON)
    assert mailoutbox[0].body.startswith("Yours, Max")


def test_records_that_are_found_and_conditions_of_ways_in_know_the_manager(
    team: Team, run_at: Run, rita: Member, max_: Member
) -> None:
    wanted = "record.owner.manager.email == 'max@acme.example'"
    find = {"key": "mine", "type": "find_records", "with": {"model": "contacts.deal", "where": wanted}}
    task = {"type": "create_task", "with": {"title": "{{ steps.mine.records[0].title }}",
                                            "assignee": "{{ steps.mine.records[0].owner.manager }}"}}  # fmt: skip
    where = "contact.owner.manager.first_name == 'Max'"
    way = {"type": "created", "model": "contacts.contact", "automatic": True, "where": where}
    active(team, [find, task], triggers=[way])
    Deal.objects.create(team=team, title="Of Rita", owner=rita.user)
    Deal.objects.create(team=team, title="Of Max", owner=max_.user)
    Contact.objects.create(team=team, first_name="Bo", owner=rita.user)
    Contact.objects.create(team=team, first_name="Cy", owner=max_.user)
    run_at(NOON)
    made = Task.objects.get()
    assert (made.title, made.assignee) == ("Of Rita", max_.user)
    assert PipelineRun.objects.get().subject_id == Contact.objects.get(first_name="Bo").pk


def test_somebody_of_two_teams_has_the_manager_of_the_team_whose_record_it_is(
    team: Team, run_at: Run, rita: Member
) -> None:
    other = Team.objects.create(name="Other", slug="other")
    member(other, "rita", manager=member(other, "zoe"))
    change = {"type": "update_record", "with": {"values": {"owner": rita.user_id}}}
    for each in (team, other):
        active(each, [TELL], key="as_it_was")
        active(each, [change, TELL], key="changed")
        Contact.objects.create(team=each, first_name="Bo", owner=rita.user)
    run_at(NOON)
    assert told() == ["max", "max", "zoe", "zoe"]


def test_without_a_manager_the_owner_is_told_and_without_an_owner_the_owners_of_the_team(
    team: Team, run_at: Run, rita: Member
) -> None:
    set_manager(member=rita, manager=None)
    who = "{{ contact.owner.manager }}"
    make = {"type": "create_task", "with": {"title": "Look", "assignee": who}}
    turns = {
        "type": "human_task",
        "timeout": "1d",
        "on": {"timeout": "next"},
        "with": {"title": "Look", "assignee": [who]},
    }
    active(team, [TELL, make, turns, {"type": "human_task", "with": {"title": "Look", "assignee": who}}])
    Contact.objects.create(team=team, first_name="Bo", owner=rita.user)
    run_at(NOON)
    run_at(later(days=1))
    assert (told(), [task.assignee for task in Task.objects.all()]) == (["rita"], [rita.user] * 3)
    Contact.objects.create(team=team, first_name="Cy")
    run_at(later(days=1))
    assert told() == ["olga", "rita"]


def test_another_may_be_named_for_owners_without_a_manager(team: Team, run_at: Run, rita: Member) -> None:
    to = '{{ contact.owner.manager.email | default: "olga@acme.example" }}'
    active(team, [{"type": "notify", "with": {"to": to, "title": "Late"}}])
    Contact.objects.create(team=team, first_name="Bo", owner=rita.user)
    run_at(NOON)
    set_manager(member=rita, manager=None)
    Contact.objects.create(team=team, first_name="Cy", owner=rita.user)
    run_at(NOON)
    assert told() == ["max", "olga"]


def test_a_manager_who_may_not_sign_in_any_more_is_passed_over(team: Team, run_at: Run, rita: Member) -> None:
    User.objects.filter(username="max").update(is_active=False)
    active(team, [TELL])
    Contact.objects.create(team=team, first_name="Bo", owner=rita.user)
    run_at(NOON)
    assert told() == ["olga"]


def test_an_owner_who_left_the_team_has_no_manager_in_it(team: Team, run_at: Run, rita: Member) -> None:
    rita.delete()
    active(team, [TELL])
    Contact.objects.create(team=team, first_name="Bo", owner=rita.user)
    run_at(NOON)
    assert told() == ["olga"]


def costs(key: str, *steps: dict[str, Any], count: int) -> tuple[int, int]:
    """Statements of a batch of so many runs, each with another owner, and how many of them join the memberships."""
    team = Team.objects.create(name=key, slug=f"{key}-{count}")
    chief = member(team, "chief")
    active(team, list(steps))
    for number in range(count):
        owner = member(team, f"m{number}", manager=chief)
        Contact.objects.create(team=team, first_name="Bo", owner=owner.user)
    with CaptureQueriesContext(connection) as queries:
        taken = statements(process_due_runs)
    assert not PipelineRun.objects.filter(pipeline__team=team, finished_at=None).exists()
    return taken, sum("membership_of_owner" in query["sql"] for query in queries)


def to(who: str) -> dict[str, Any]:
    return {"type": "notify", "with": {"to": who, "title": "Late"}}


def test_managers_cost_no_statement_and_are_joined_only_where_somebody_reads_them(run_at: Run) -> None:
    run_at(NOON)
    costs("warm", to("{{ contact.owner.manager }}"), count=1)
    plain = costs("plain", to("{{ contact.owner.email }}"), count=2)
    few, many = (costs("read", to("{{ contact.owner.manager }}"), count=count) for count in (2, 20))
    assert (plain[1], few[1], many[1]) == (0, 1, 1)
    assert plain[0] == few[0] == many[0]


def test_owners_that_steps_give_cost_a_statement_for_all_their_managers_and_none_where_nobody_reads_them(
    run_at: Run,
) -> None:
    run_at(NOON)
    chief = member(Team.objects.create(name="Chiefs", slug="chiefs"), "chief")
    change = {"type": "update_record", "with": {"values": {"owner": chief.user_id}}}
    costs("warm", change, to("{{ contact.owner.manager }}"), count=1)
    plain = costs("plain", change, to("{{ contact.owner.email }}"), count=2)
    few, many = (costs("read", change, to("{{ contact.owner.manager }}"), count=count) for count in (2, 20))
    assert plain[0] + 1 == few[0] == many[0]
