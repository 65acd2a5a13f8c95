"""Members have a manager: one of the same team, never themselves, and nobody who works under them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from crm.models import Member, Role, Team
from crm.people import ImpossibleManager, set_manager
from tests.api import Api
from tests.pipelines.admin.pages import form_of, text_of
from tests.project.processes import eventually

pytestmark = pytest.mark.django_db
PAGE = "/admin/crm/member/"


@pytest.fixture
def team() -> Team:
    return Team.objects.create(name="Acme", slug="acme")


def member(team: Team, name: str, *, role: str = Role.MEMBER, manager: Member | None = None) -> Member:
    user = User.objects.create_user(name, email=f"{name}@{team.slug}.example", first_name=name.title(), is_staff=True)
    return Member.objects.create(team=team, user=user, role=role, manager=manager)


@pytest.fixture
def boss(team: Team) -> Member:
    return member(team, "olga", role=Role.OWNER)


@pytest.fixture
def browser(boss: Member) -> Client:
    client = Client()
    client.force_login(boss.user)
    return client


def changed(browser: Client, who: Member, **values: Any) -> Any:
    """What comes of the page of a member with these fields."""
    page = f"{PAGE}{who.pk}/change/"
    return browser.post(page, {**form_of(browser.get(page), "member_form"), **values}, follow=True)


def test_a_manager_is_chosen_shown_and_taken_away_on_the_page_of_a_member(browser: Client, boss: Member) -> None:
    ann = member(boss.team, "ann")
    changed(browser, ann, manager=str(boss.pk))
    ann.refresh_from_db()
    assert ann.manager == boss
    row = text_of(browser.get(f"{PAGE}?q=ann"))
    assert "Ann" in row and "Olga" in row
    assert form_of(browser.get(f"{PAGE}{ann.pk}/change/"), "member_form")["manager"] == str(boss.pk)
    changed(browser, ann, manager="")
    ann.refresh_from_db()
    assert ann.manager is None


def test_somebody_new_comes_with_a_manager(browser: Client, boss: Member) -> None:
    browser.post(f"{PAGE}add/", {"email": "bo@acme.example", "role": "member", "groups": "", "manager": str(boss.pk)})
    assert Member.objects.get(user__email="bo@acme.example").manager == boss
    browser.post(f"{PAGE}add/", {"email": "cy@acme.example", "role": "member", "groups": "", "manager": ""})
    assert Member.objects.get(user__email="cy@acme.example").manager is None


def test_nobody_is_their_own_manager_nor_that_of_somebody_above_them(browser: Client, boss: Member) -> None:
    ann = member(boss.team, "ann", manager=boss)
    bo = member(boss.team, "bo", manager=ann)
    for who, under, said in (
        (ann, ann, "Nobody is their own manager."),
        (ann, bo, "Bo works under this person already: that would be a circle."),
        (boss, bo, "Bo works under this person already: that would be a circle."),
    ):
        before = who.manager_id
        assert said in text_of(changed(browser, who, manager=str(under.pk)))
        who.refresh_from_db()
        assert who.manager_id == before
    # The two beside each other is no circle.
    changed(browser, bo, manager=str(boss.pk))
    bo.refresh_from_db()
    assert bo.manager == boss


def test_a_manager_is_of_the_same_team(browser: Client, boss: Member, client: Client) -> None:
    ann, stranger = member(boss.team, "ann"), member(Team.objects.create(name="Other", slug="other"), "eve")
    refused = text_of(changed(browser, ann, manager=str(stranger.pk)))
    assert "Select a valid choice" in refused and "eve (" not in refused
    new = {"email": "bo@acme.example", "role": "member", "groups": "", "manager": str(stranger.pk)}
    assert "Select a valid choice" in text_of(browser.post(f"{PAGE}add/", new))
    client.force_login(User.objects.create_superuser("root", "root@acme.example", "pw"))
    assert "A manager belongs to the same team." in text_of(changed(client, ann, manager=str(stranger.pk)))
    assert "Select a valid choice" in text_of(client.post(f"{PAGE}add/", {**new, "team": str(boss.team_id)}))
    assert list(Member.objects.exclude(manager=None)) == []
    assert not Member.objects.filter(user__email="bo@acme.example").exists()


def test_only_people_of_the_team_are_offered(browser: Client, boss: Member) -> None:
    member(boss.team, "ann")
    member(Team.objects.create(name="Other", slug="other"), "eve")
    asked = {"app_label": "crm", "model_name": "member", "field_name": "manager", "term": ""}
    offered = browser.get("/admin/autocomplete/", asked).json()["results"]
    assert {each["text"] for each in offered} == {"olga (Owner)", "ann (Member)"}


def test_offering_people_costs_the_same_with_few_and_with_many(
    browser: Client, boss: Member, django_assert_num_queries: Any
) -> None:
    asked = {"app_label": "crm", "model_name": "member", "field_name": "manager", "term": ""}
    browser.get("/admin/autocomplete/", asked)
    for number in range(15):
        member(boss.team, f"m{number}", manager=boss)
    with django_assert_num_queries(5):
        assert len(browser.get("/admin/autocomplete/", asked).json()["results"]) == 16


def test_who_leaves_leaves_their_people_without_a_manager(browser: Client, boss: Member) -> None:
    ann = member(boss.team, "ann", manager=boss)
    bo = member(boss.team, "bo", manager=ann)
    browser.post(f"{PAGE}{ann.pk}/delete/", {"post": "yes"})
    bo.refresh_from_db()
    assert bo.manager is None and not Member.objects.filter(pk=ann.pk).exists()


def test_the_api_tells_the_manager_and_finds_their_people(boss: Member) -> None:
    ann = member(boss.team, "ann", manager=boss)
    api = Api(boss.team)
    assert {row["id"]: row["manager"] for row in api.get("members/").json()["results"]} == {
        boss.pk: None, ann.pk: boss.pk,
    }  # fmt: skip
    assert [row["id"] for row in api.get("members/", manager=boss.pk).json()["results"]] == [ann.pk]
    assert api.patch(f"members/{ann.pk}/", {"manager": ann.pk}).status_code in (403, 405)


def test_whoever_writes_members_is_told_the_same(boss: Member) -> None:
    ann = member(boss.team, "ann", manager=boss)
    stranger = member(Team.objects.create(name="Other", slug="other"), "eve")
    for manager in (ann, boss, stranger):
        with pytest.raises(ImpossibleManager):
            set_manager(member=boss, manager=manager)
    set_manager(member=ann, manager=None)
    set_manager(member=boss, manager=ann)
    boss.refresh_from_db()
    assert boss.manager == ann


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_two_changes_at_once_make_no_circle_together(boss: Member) -> None:
    ann = member(boss.team, "ann")

    def refused() -> str:
        try:
            set_manager(member=boss, manager=ann)
        except ImpossibleManager as error:
            return str(error)
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            set_manager(member=ann, manager=boss)
            other = pool.submit(refused)

            def it_waits() -> bool:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
                return bool(cursor.fetchone()[0])

            eventually(it_waits)
        assert "that would be a circle" in other.result()
