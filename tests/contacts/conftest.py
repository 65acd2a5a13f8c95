"""A team with people of every role, a pipeline, and a browser without a window."""

from typing import Any, Protocol

import pytest
from django.contrib.auth.models import User
from django.test import Client

from crm.models import Member, Role, Team
from crm.teams import create_team
from pipelines.models import Pipeline
from tests.api import Api
from tests.pipelines.engine.building import active, email


class SignIn(Protocol):
    """Signs somebody of the team in."""

    def __call__(self, role: str = Role.OWNER) -> Client: ...


@pytest.fixture
def team(db: None) -> Team:
    return create_team(name="Acme", slug="acme")


@pytest.fixture
def api(team: Team) -> Api:
    return Api(team)


@pytest.fixture
def sign_in(team: Team) -> SignIn:
    """A client signed in as somebody of the team with this role."""

    def enter(role: str = Role.OWNER) -> Client:
        user = User.objects.create_user(f"{role}@acme.example", email=f"{role}@acme.example", is_staff=True)
        Member.objects.create(team=team, user=user, role=role)
        client = Client()
        client.force_login(user)
        return client

    return enter


@pytest.fixture
def manual(team: Team) -> Pipeline:
    """A pipeline that takes contacts by hand."""
    return active(team, [{"type": "wait", "delay": "1d"}, email()], key="by_hand", triggers=[{"type": "manual"}])


FORM: dict[str, Any] = {
    "first_name": "", "last_name": "", "email": "", "phone": "", "job_title": "", "company": "", "owner": "",
    "lifecycle_stage": "lead", "lead_source": "", "timezone": "", "language": "", "last_interaction_0": "",
    "last_interaction_1": "", "custom": "", "tag_names": "",
}  # fmt: skip
