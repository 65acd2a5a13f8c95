"""People answer in a story: on time, too late, one way or the other, and never with what the form refuses."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from contacts.models import Contact
from crm.models import Member, Team
from pipelines.models import HumanTask
from pipelines.simulation.scenario import ScenarioError
from tests.pipelines.engine.building import email, later
from tests.pipelines.simulation.conftest import Play
from tests.pipelines.simulation.test_a_story import visits

ASK = {
    "key": "review", "type": "human_task", "timeout": "3d", "on": {"timeout": "late", "no": "end"},
    "with": {"title": "Is {{ contact.first_name }} a fit?", "outcomes": ["yes", "no"],
             "form": [{"name": "score", "type": "number", "required": True}]},
}  # fmt: skip
STEPS: list[dict[str, Any]] = [
    ASK,
    {"key": "fine", **email("{{ steps.review.score }} points"), "next": "end"},
    {"key": "late", **email()},
]


@pytest.fixture(autouse=True)
def maya(team: Team) -> User:
    user = User.objects.create_user("maya", email="maya@acme.example", password="x")
    Member.objects.create(team=team, user=user, role="owner")
    return user


def test_an_answer_lets_the_run_go_on_with_its_values(play: Play) -> None:
    report = play(STEPS, responses={"review": [{"after": "1d", "outcome": "yes", "values": {"score": 7}}]})
    assert visits(report)[-2:] == [("review", "completed", "yes"), ("fine", "completed", "next")]
    review = report["steps"][-2]
    assert (review["entered_at"], review["left_at"]) == (later(), later(days=1))
    assert [each["text"] for each in report["messages"] if each["step"] == "fine"] == ["7 points"]
    assert not HumanTask.objects.exists()


def test_another_answer_leads_another_way(play: Play) -> None:
    report = play(STEPS, responses={"review": {"after": "1h", "outcome": "no", "values": {"score": 1}}})
    assert report["steps"][-1]["outcome"] == "no" and report["finished_at"] == later(hours=1)


@pytest.mark.parametrize("responses", [{}, {"review": [{"after": "9d", "outcome": "yes", "values": {"score": 1}}]}])
def test_without_an_answer_in_time_the_task_runs_out(play: Play, responses: dict[str, Any]) -> None:
    report = play(STEPS, responses=responses)
    assert [each["step"] for each in report["messages"] if each["step"] != "review"] == ["late"]
    assert report["finished_at"] == later(days=3)


def test_an_answer_that_the_form_refuses_is_told_with_its_path(play: Play) -> None:
    with pytest.raises(ScenarioError) as refused:
        play(STEPS, responses={"review": [{"outcome": "yes", "values": {"score": "many"}}]})
    assert refused.value.path == "responses.review[0].values.score"
    with pytest.raises(ScenarioError) as refused:
        play(STEPS, responses={"review": [{"outcome": "maybe", "values": {"score": 1}}]})
    assert refused.value.path == "responses.review[0].outcome"


TELL = [{"key": "tell", "type": "notify", "with": {"title": "Late", "to": "{{ contact.owner.manager }}"}}]


def owned(**owner: Any) -> dict[str, Any]:
    return {"first_name": "Ann", "email": "ann@example.org", "owner": owner}


def test_the_owner_of_a_sample_works_under_whom_the_story_says_or_under_whom_they_do(play: Play, maya: User) -> None:
    rita = User.objects.create_user("rita", email="rita@acme.example")
    Member.objects.create(team=Team.objects.get(), user=rita, manager=Member.objects.get(user=maya))

    def told(**owner: Any) -> list[str]:
        return [note["to"] for note in play(TELL, subject=owned(**owner))["notifications"]]

    assert told(email="new@acme.example", manager={"email": "boss@acme.example", "first_name": "Bo"}) == [
        "boss@acme.example"
    ]
    assert told(email="rita@acme.example") == ["maya@acme.example"]
    assert told(email="rita@acme.example", manager="boss@acme.example") == ["boss@acme.example"]
    assert told(email="rita@acme.example", manager=None) == ["rita@acme.example"]
    assert set(User.objects.values_list("username", flat=True)) == {"maya", "rita"}


def test_a_story_in_which_somebody_manages_themselves_is_told_with_its_path(play: Play) -> None:
    for owner in (
        {"email": "a@acme.example", "manager": "a@acme.example"},
        {"email": "a@acme.example", "manager": {"email": "b@acme.example", "manager": "a@acme.example"}},
    ):
        with pytest.raises(ScenarioError) as refused:
            play(TELL, subject=owned(**owner))
        assert refused.value.path.startswith("subject.owner.manager")


def test_a_story_about_a_record_tells_the_manager_whom_the_engine_tells(play: Play, team: Team, maya: User) -> None:
    rita = User.objects.create_user("rita", email="rita@acme.example")
    Member.objects.create(team=team, user=rita, manager=Member.objects.get(user=maya))
    ann = Contact.objects.create(team=team, first_name="Ann", owner=rita)
    (note,) = play(TELL, subject=ann.pk)["notifications"]
    assert note["to"] == "maya@acme.example"
