"""Events, waiting, exits, blocks, other pipelines and other records in a story."""

from typing import Any

from django.utils import timezone

from contacts.models import Company, Contact, Segment, SegmentMembership
from crm.consent import Act, subscribe
from crm.models import Subscription, Team, Topic
from pipelines.models import PipelineRun
from tests.pipelines.engine.building import active, email, later
from tests.pipelines.simulation.conftest import Play
from tests.pipelines.simulation.test_a_story import visits

WAIT: dict[str, Any] = {
    "key": "await", "type": "wait_for", "timeout": "3d", "on": {"paid": "thank", "timeout": "remind"},
    "with": {"events": [{"name": "paid", "event": "order.paid"}]},
}  # fmt: skip
THEN: list[dict[str, Any]] = [
    WAIT,
    {"key": "thank", **email("{{ steps.await.payload.total }}"), "next": "end"},
    {"key": "remind", **email(subject="Still there?")},
]


def test_an_event_that_comes_lets_the_run_go_on(play: Play) -> None:
    report = play(THEN, events=[{"after": "2h", "type": "order.paid", "payload": {"total": 70}}])
    assert visits(report)[-2:] == [("await", "completed", "paid"), ("thank", "completed", "next")]
    assert report["steps"][-1]["entered_at"] == later(hours=2)


def test_confirmation_mail_of_the_team_waits_for_a_real_pass(play: Play, team: Team) -> None:
    Topic.objects.create(team=team, key="tips", name="Tips", confirm=True)
    subscribe(team_id=team.pk, address="ada@example.org", topic="tips", act=Act(timezone.now(), "form"))
    assert visits(play([email()]))[-1][1] == "completed"
    assert Subscription.objects.get().mail_at is not None


def test_an_event_that_stays_away_ends_in_the_timeout(play: Play) -> None:
    report = play(THEN, events=[{"after": "9d", "type": "order.paid"}])
    assert [each["step"] for each in report["messages"]] == ["remind"]
    assert report["messages"][0]["at"] == later(days=3)


def test_an_exit_rule_ends_the_story_at_once(play: Play) -> None:
    exits = [{"event": "contact.unsubscribed", "reason": "unsubscribed"}]
    steps = [email(), {"key": "late", "delay": "5d", **email()}]
    report = play(steps, more={"exit": exits}, events=[{"after": "1d", "type": "contact.unsubscribed"}])
    assert (report["reason"], report["finished_at"]) == ("unsubscribed", later(days=1))
    assert len(report["messages"]) == 1


def test_branches_and_iterations_are_named_by_their_way(play: Play) -> None:
    loop = {
        "key": "each",
        "type": "loop",
        "with": {"times": 2, "steps": [{"key": "inner", "type": "wait", "delay": 60}]},
    }
    fork = {
        "key": "fork", "type": "parallel",
        "with": {"branches": [{"name": "left", "steps": [loop]},
                              {"name": "right", "steps": [{"key": "mail", **email()}]}]},
    }  # fmt: skip
    report = play([fork, {"key": "after", "type": "wait"}])
    places = {(each["key"], each["branch"]) for each in report["steps"]}
    assert {
        ("inner", "fork.left/each.0"),
        ("inner", "fork.left/each.1"),
        ("mail", "fork.right"),
        ("after", ""),
    } <= places
    assert report["success"] and report["finished_at"] == later(minutes=2)


def test_a_called_pipeline_is_played_as_it_is_published(team: Team, play: Play) -> None:
    active(team, [{"key": "inside", **email(subject="From inside")}], key="other", triggers=[])
    report = play([{"key": "call", "type": "call", "with": {"pipeline": "other"}}, {"key": "after", "type": "wait"}])
    assert [each["subject"] for each in report["messages"]] == ["From inside"]
    assert ("inside", "other") in {(each["key"], each["branch"]) for each in report["steps"]}
    assert report["success"] and not PipelineRun.objects.exists()


def test_steps_find_the_records_of_the_team_and_no_others(team: Team, play: Play) -> None:
    other = Team.objects.create(name="Other", slug="other")
    for home, count in ((team, 3), (other, 2)):
        for n in range(count):
            Contact.objects.create(team=home, first_name="Ann", email=f"a{n}@{home.slug}.example")
    where = {"field": "first_name", "operator": "equals", "value": "Ann"}
    find = {"key": "find", "type": "find_records", "with": {"model": "contacts.contact", "where": where}}
    report = play([find, {"key": "tell", **email("{{ steps.find.count }}")}])
    assert report["messages"][0]["text"] == "3"


def test_what_a_simulation_makes_exists_only_there(team: Team, play: Play) -> None:
    make = {"key": "make", "type": "create_record",
            "with": {"model": "contacts.company", "values": {"name": "Bolt of {{ contact.first_name }}"}}}  # fmt: skip
    group = {"type": "create_segment", "with": {"segment": "fans", "name": "Fans"}}
    report = play([make, group, {"type": "add_to_segment", "with": {"segment": "fans"}}])
    assert report["success"], report["errors"]
    assert not Company.objects.exists() and not Segment.objects.exists() and not SegmentMembership.objects.exists()
