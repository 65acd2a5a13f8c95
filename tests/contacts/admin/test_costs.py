"""What a page asks of the database does not grow with what it shows."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contacts.models import Activity, Company, Contact, Deal, Tag
from contacts.operations import add_note, bulk_tag
from crm.models import Member, Message, Task, Team
from pipelines.engine.enroll import enroll
from pipelines.models import Pipeline
from tests.contacts.conftest import SignIn
from tests.pipelines.engine.building import NOON, active


def fill(team: Team, begin: int, end: int) -> None:
    """One of everything per number, each tied to rows of its own."""
    for n in range(begin, end):
        user = User.objects.create(username=f"u{n}")
        Member.objects.create(team=team, user=user, role="member")
        company = Company.objects.create(team=team, name=f"Company {n:03}", owner=user)
        email = f"c{n // 2}@example.org"
        contact = Contact.objects.create(team=team, first_name=f"C{n}", email=email, company=company, owner=user)
        bulk_tag(team=team, ids=[contact.pk], names=[f"tag {n}", "all"])
        Deal.objects.create(team=team, title=f"D{n}", contact=contact, company=company, owner=user, amount=n)
        add_note(subject=[contact, company][n % 2], team=team, text=f"Note {n}", by=user)


def cost(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    return len(queries)


@pytest.mark.parametrize("page", ["contact", "company", "deal", "activity", "tag", "contact/duplicates"])
def test_a_list_of_fifty_costs_what_a_list_of_ten_costs(sign_in: SignIn, team: Team, page: str) -> None:
    client = sign_in()
    fill(team, 0, 10)
    few = cost(client, f"/admin/contacts/{page}/")
    fill(team, 10, 50)
    assert cost(client, f"/admin/contacts/{page}/") == few


def about(team: Team, contact: Contact, pipelines: list[Pipeline], count: int) -> None:
    for n in range(count):
        Task.objects.create(team=team, title=f"T{n}", subject=contact)
        Message.objects.create(team=team, recipient="a@x.org", subject=f"M{n}", about=contact, created_at=NOON)
        Deal.objects.create(team=team, title=f"D{n}", contact=contact)
        add_note(subject=contact, team=team, text=f"Note {n}")
    for pipeline in pipelines:
        enroll(pipeline=pipeline, subject_ids=[contact.pk])


def test_a_long_history_costs_what_a_short_one_costs(sign_in: SignIn, team: Team) -> None:
    pipelines = [
        active(team, [{"type": "wait", "delay": "1d"}], key=f"p{n}", triggers=[{"type": "manual"}]) for n in range(6)
    ]
    client, contact = sign_in(), Contact.objects.create(team=team, first_name="Ann")
    about(team, contact, pipelines[:1], 2)
    path = f"/admin/contacts/contact/{contact.pk}/change/"
    few = cost(client, path)
    about(team, contact, pipelines[1:], 48)
    # Deals that find no room are counted, which a short list spares itself.
    assert cost(client, path) <= few + 1
    assert Activity.objects.count() == 50


def test_filters_and_search_cost_the_same_for_many(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    fill(team, 0, 10)
    tag = Tag.objects.get(name="all")
    pages: list[Callable[[], str]] = [
        lambda: f"/admin/contacts/contact/?tag={tag.pk}",
        lambda: "/admin/contacts/contact/?q=company",
        lambda: f"/admin/contacts/contact/?company__id__exact={Company.objects.order_by('pk')[0].pk}",
    ]
    few = [cost(client, page()) for page in pages]
    fill(team, 10, 50)
    assert [cost(client, page()) for page in pages] == few
