"""Teams, members, keys, tasks, messages, templates and suppressions through HTTP."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from contacts.models import Contact
from crm.models import ApiKey, Member, Message, MessageTemplate, Suppression, Task, Team, Topic
from crm.teams import create_team
from tests.api import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return create_team(name="Acme", slug="acme")


@pytest.fixture
def api(team: Team) -> Api:
    return Api(team)


def test_a_key_knows_its_own_team_only(api: Api) -> None:
    Team.objects.create(name="B", slug="b")
    (team,) = api.get("teams/").json()["results"]
    assert team["slug"] == "acme"
    assert api.patch(f"teams/{team['id']}/", {"sender_name": "Ann of Acme"}).json()["sender_name"] == "Ann of Acme"
    assert api.patch(f"teams/{team['id']}/", {"timezone": "Mars/Olympus"}).status_code == 400
    assert Api(api.team, role="manager").patch(f"teams/{team['id']}/", {"name": "X"}).status_code == 403


def test_members_are_listed(api: Api) -> None:
    user = User.objects.create_user("ann", email="ann@acme.example", first_name="Ann")
    Member.objects.create(team=api.team, user=user, role="member")
    (member,) = api.get("members/").json()["results"]
    assert (member["email"], member["role"]) == ("ann@acme.example", "member")
    assert api.post("members/", {"user": user.pk}).status_code in (403, 405)


def test_a_key_shows_no_secret_and_makes_no_keys(api: Api) -> None:
    (key,) = api.get("api-keys/").json()["results"]
    assert "digest" not in key and api.token not in str(key)
    assert api.post("api-keys/", {"name": "more"}).status_code in (403, 405)
    assert api.post(f"api-keys/{key['id']}/revoke/").json()["revoked_at"]
    assert api.get("teams/").status_code == 401


def test_a_task_is_made_done_and_found(api: Api) -> None:
    made = api.post("tasks/", {"title": "Call Ann", "due_at": "2020-01-01T00:00:00Z", "priority": "high"})
    assert made.status_code == 201, made.content
    pk = made.json()["id"]
    assert [row["id"] for row in api.get("tasks/", overdue="true").json()["results"]] == [pk]
    assert api.post(f"tasks/{pk}/complete/").json()["status"] == "done"
    assert api.post(f"tasks/{pk}/complete/").status_code == 409
    assert api.get("tasks/", overdue="true").json()["results"] == []
    assert Task.objects.get().completed_at is not None


def test_a_task_goes_to_members_only(api: Api) -> None:
    stranger = User.objects.create_user("stranger")
    for who in (stranger.pk, 999_999):
        refused = api.post("tasks/", {"title": "x", "assignee": who})
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["message"] == f'Invalid pk "{who}" - object does not exist.'


def test_an_uncertain_message_is_decided_once(api: Api) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    message = Message.objects.create(team=api.team, recipient="a@x.example", state="uncertain", created_at=now)
    assert [row["id"] for row in api.get("messages/", undecided="true").json()["results"]] == [message.pk]
    assert Api(api.team, role="member").post(f"messages/{message.pk}/accept/").status_code == 403
    assert api.post(f"messages/{message.pk}/accept/").json()["decided_at"]
    assert api.post(f"messages/{message.pk}/resend/").status_code == 409


def test_templates_are_the_teams_own(api: Api) -> None:
    assert MessageTemplate.objects.for_team(api.team).count() == 10
    made = api.post("templates/", {"key": "hi", "name": "Hi", "subject": "Hi", "text": "Hello"})
    assert made.status_code == 201
    assert api.post("templates/", {"key": "hi", "name": "Hi", "subject": "Hi", "text": "Hello"}).status_code == 400
    assert api.delete(f"templates/{made.json()['id']}/").status_code == 204


def test_an_address_is_suppressed_in_lower_case(api: Api) -> None:
    made = api.post("suppressions/", {"address": "Ann@X.Example ", "reason": "manual"})
    assert made.json()["address"] == "ann@x.example"
    assert api.patch(f"suppressions/{made.json()['id']}/", {"address": "b@x.example"}).status_code in (403, 405)
    assert api.delete(f"suppressions/{made.json()['id']}/").status_code == 204
    assert not Suppression.objects.exists()


def key_from(*args: str) -> str:
    out = StringIO()
    call_command("create_api_key", *args, stdout=out)
    return out.getvalue().strip()


def test_the_command_prints_the_key_alone(db: None) -> None:
    token = key_from("--team", "new-team", "--role", "admin", "--name", "setup", "--create-team")
    assert token.startswith("crmk_") and "\n" not in token
    key = ApiKey.objects.get()
    assert (key.team.slug, key.role, key.expires_at) == ("new-team", "admin", None)
    assert MessageTemplate.objects.for_team(key.team).exists()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--team", "none", "--name", "x"], "There is no team"),
        (["--team", "acme", "--name", "x", "--scopes", "contacts:eat"], "Unknown scopes"),
        (["--team", "acme", "--name", "x", "--expires-days", "0"], "at least 1"),
    ],
)
def test_the_command_says_what_is_wrong(team: Team, args: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        key_from(*args)


def test_a_person_with_two_teams_chooses(team: Team, client: Any) -> None:
    other = Team.objects.create(name="Other", slug="other")
    user = User.objects.create_user("ann", password="x", is_staff=True)
    for each in (team, other):
        Member.objects.create(team=each, user=user, role="owner")
    third = Team.objects.create(name="Third", slug="third")
    client.force_login(user)
    assert b"Other" in client.get("/admin/team/").content
    client.post("/admin/team/", {"team": other.pk})
    assert b"Other" in client.get("/admin/").content
    client.post("/admin/team/", {"team": third.pk})
    assert b"Third" not in client.get("/admin/").content


def test_pages_tell_times_as_the_team_lives_them(team: Team, client: Any) -> None:
    Team.objects.filter(pk=team.pk).update(timezone="Asia/Tokyo")
    user = User.objects.create_user("ann", password="x", is_staff=True)
    Member.objects.create(team=team, user=user, role="owner")
    Task.objects.create(team=team, title="Call", due_at=datetime(2027, 1, 1, 20, tzinfo=UTC))
    client.force_login(user)
    assert b"2 Jan 2027, 05:00" in client.get("/admin/crm/task/").content


@pytest.mark.parametrize(
    ("path", "body", "wrong", "meant"),
    [
        ("topics/", {"key": "news", "name": "News", "confrim": True}, "confrim", "Did you mean 'confirm'?"),
        ("sending-rules/", {"hours": ["09:00-17:00"]}, "hours", "Known: caps,"),
        ("contacts/bulk/", {"items": [{"first_name": "Ann", "e_mail": "a@example.org"}]}, "items[0].e_mail", "'email'"),
        ("contacts/", {"first_name": "Ann", "\ud800": 1}, "\\ud800", "There is no such field."),
        ("contacts/", {"first_name": "Ann", "lifecycle_stage": "\ud800"}, "lifecycle_stage", "\\ud800"),
    ],
)
def test_a_key_that_nobody_reads_is_refused(api: Api, path: str, body: Any, wrong: str, meant: str) -> None:
    answer = api.post(path, body)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["path"] == wrong and meant in error["message"]
    assert not Topic.objects.exists() and not Contact.objects.exists()


def test_an_answer_can_be_changed_and_put_back(api: Api) -> None:
    made = api.post("topics/", {"key": "news", "name": "News"}).json()
    answer = api.put(f"topics/{made['id']}/", {**made, "name": "Letters"})
    assert (answer.status_code, answer.json()["name"]) == (200, "Letters")
