"""People of one team, each signed in with a browser of their own."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from crm.models import Member, Team
from crm.teams import create_team
from pipelines.models import Pipeline
from tests.pipelines.engine.building import active, email

SignIn = Callable[..., Client]


@pytest.fixture
def team(db: None) -> Team:
    return create_team(name="Acme", slug="acme")


@pytest.fixture
def sign_in(team: Team) -> SignIn:
    """A client for a new member with this role, of this team or another."""

    def signed_in(role: str, *, of: Team | None = None) -> Client:
        home = of or team
        user = User.objects.create_user(f"{role}@{home.slug}.example", email=f"{role}@{home.slug}.example")
        Member.objects.create(team=home, user=user, role=role)
        client = Client()
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def manager(sign_in: SignIn) -> Client:
    return sign_in("manager")


@pytest.fixture
def viewer(sign_in: SignIn) -> Client:
    return sign_in("viewer")


@pytest.fixture
def welcome(team: Team) -> Pipeline:
    """Two mails, a day apart, for every new contact."""
    return active(team, [email(key="hello"), email("Still there?", subject="Again", key="again", delay="1d")])
