"""Why did Ann (not) get this mail: the first answer that fits, with the values as they were."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact, Segment
from contacts.segments import add_members
from crm.models import MessageTemplate, Suppression, Team
from pipelines.engine.controls import cancel_runs, pause_runs
from pipelines.engine.enroll import enroll
from pipelines.engine.events import publish
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun
from pipelines.simulation.explain import explain
from tests.api import Api
from tests.pipelines.engine.building import AUTOMATIC, NOON, active, email, later
from tests.pipelines.engine.conftest import Run

CUSTOMER = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}


@pytest.fixture
def ann(team: Team) -> Contact:
    """Someone who is there before anything else."""
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")


def newcomer(team: Team) -> Contact:
    return Contact.objects.create(team=team, first_name="Zoe", email="zoe@example.org")


def asked(pipeline: Pipeline, contact: Contact, **more: Any) -> dict[str, Any]:
    (answer,) = explain(team=contact.team, subject=contact, pipeline=pipeline, now=NOON, **more)
    return answer


def test_a_message_that_was_sent_names_its_run_version_and_trigger(team: Team, run_at: Run) -> None:
    pipeline = active(team, [{"key": "hello", **email()}], triggers=[{**AUTOMATIC, "key": "new"}])
    zoe = newcomer(team)
    run_at(NOON)
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"], answer["at"]) == ("sent", "hello", NOON)
    assert "was sent to zoe@example.org" in answer["sentence"]
    assert answer["entered"] == {"at": NOON, "by": "new", "version": 1}
    assert [each["step"] for each in answer["path"]] == ["hello"]


def test_a_step_whose_condition_said_no_tells_expected_and_actual(team: Team, run_at: Run) -> None:
    pipeline = active(team, [{"key": "hello", "if": CUSTOMER, **email()}])
    zoe = newcomer(team)
    run_at(NOON)
    Contact.objects.update(lifecycle_stage="customer")
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"]) == ("skipped", "hello")
    assert (answer["why"][0]["expected"], answer["why"][0]["actual"]) == ("customer", "lead")


def test_suppression_is_named(team: Team, run_at: Run) -> None:
    pipeline = active(team, [email()])
    Suppression.objects.create(team=team, address="zoe@example.org", reason="unsubscribed")
    zoe = newcomer(team)
    run_at(NOON)
    answer = asked(pipeline, zoe)
    assert answer["verdict"] == "skipped" and "suppression list (unsubscribed)" in answer["sentence"]


def test_who_is_on_the_way_is_told_when(team: Team, run_at: Run) -> None:
    pipeline = active(team, [{"key": "hello", "delay": "2d", **email()}])
    zoe = newcomer(team)
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"], answer["at"]) == ("on_its_way", "hello", later(days=2))
    pause_runs(run_ids=[PipelineRun.objects.get().pk])
    assert "paused" in asked(pipeline, zoe)["sentence"]


def test_a_branch_that_led_elsewhere_is_named_with_its_clause(team: Team, run_at: Run) -> None:
    steps = [
        {"key": "check", "type": "condition", "if": CUSTOMER, "on": {"true": "thank", "false": "end"}},
        {"key": "thank", **email()},
    ]
    pipeline = active(team, steps)
    zoe = newcomer(team)
    run_at(NOON)
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"]) == ("led_elsewhere", "check")
    assert answer["why"][0]["actual"] == "lead"


def test_of_several_decisions_the_one_that_led_away_is_named(team: Team, run_at: Run) -> None:
    zed = {"field": "contact.first_name", "operator": "equals", "value": "Zoe"}
    steps = [
        {"key": "check", "type": "condition", "if": CUSTOMER, "on": {"true": "thank", "false": "named"}},
        {"key": "thank", **email(), "next": "end"},
        {"key": "named", "type": "condition", "if": zed, "on": {"true": "end", "false": "end"}},
    ]
    pipeline = active(team, steps)
    zoe = newcomer(team)
    run_at(NOON)
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"], answer["why"][0]["actual"]) == ("led_elsewhere", "check", "lead")


def test_a_decision_inside_a_block_is_named(team: Team, run_at: Run) -> None:
    check = {"key": "check", "type": "condition", "if": CUSTOMER, "on": {"true": "thank", "false": "end"}}
    branch = {"name": "mail", "steps": [check, {"key": "thank", **email()}]}
    steps = [
        {"key": "both", "type": "parallel", "with": {"branches": [branch]}},
        {"key": "after", "type": "condition", "if": CUSTOMER, "on": {"true": "end", "false": "end"}},
    ]
    pipeline = active(team, steps)
    zoe = newcomer(team)
    run_at(NOON)
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"]) == ("led_elsewhere", "check")


def test_a_wait_that_nobody_answered_led_elsewhere_too(team: Team, run_at: Run) -> None:
    wait = {"key": "wait", "type": "wait_for", "with": {"events": [{"event": "replied"}]}, "timeout": "1d"}
    steps: list[dict[str, Any]] = [{**wait, "on": {"replied": "thank", "timeout": "end"}}, {"key": "thank", **email()}]
    pipeline = active(team, steps)
    zoe = newcomer(team)
    run_at(NOON)
    run_at(later(days=2))
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"]) == ("led_elsewhere", "wait")
    assert "said timeout" in answer["sentence"]


def test_who_reached_a_goal_on_the_way_to_a_message_was_not_led_elsewhere(team: Team, run_at: Run) -> None:
    steps: list[dict[str, Any]] = [
        {"key": "check", "type": "condition", "if": CUSTOMER, "on": {"true": "end", "false": "rest"}},
        {"key": "rest", "type": "wait", "delay": "2d"},
        {"key": "thank", **email()},
    ]
    pipeline = active(team, steps, goals=[{"key": "buy", "event": "order.paid", "exit": True}])
    zoe = newcomer(team)
    run_at(NOON)
    kind = ContentType.objects.get_for_model(Contact).pk
    publish(team_id=team.pk, type="order.paid", subject_type_id=kind, subject_id=zoe.pk)
    run_at(later(hours=1))
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["step"]) == ("ended", "rest")
    assert answer["sentence"] == "The run ended as completed (goal: buy) before ‘rest’."
    assert answer["why"][0]["event"] == "order.paid"


def test_who_is_on_the_way_but_past_a_branch_is_told_of_the_branch(team: Team, run_at: Run) -> None:
    for key in ("thank", "remind"):
        MessageTemplate.objects.create(team=team, key=key, name=key, subject=key, text=key)
    thank, remind = (
        {"key": key, "type": "send_email", "delay": "2d", "with": {"template": key}} for key in ("thank", "remind")
    )
    block = {
        "key": "both",
        "type": "parallel",
        "with": {"branches": [{"name": "mail", "steps": [thank]}]},
        "next": "end",
    }
    steps: list[dict[str, Any]] = [
        {"key": "check", "type": "condition", "if": CUSTOMER, "on": {"true": "both", "false": "remind"}},
        block, remind,
    ]  # fmt: skip
    pipeline = active(team, steps)
    zoe = newcomer(team)
    (before,) = explain(team=team, subject=zoe, pipeline=pipeline, template="thank", now=NOON)
    assert (before["verdict"], before["step"]) == ("on_its_way", "check")
    run_at(NOON)
    (thanked,) = explain(team=team, subject=zoe, pipeline=pipeline, template="thank", now=NOON)
    assert (thanked["verdict"], thanked["step"], thanked["why"][0]["actual"]) == ("led_elsewhere", "check", "lead")
    (reminded,) = explain(team=team, subject=zoe, pipeline=pipeline, template="remind", now=NOON)
    assert (reminded["verdict"], reminded["at"]) == ("on_its_way", later(days=2))


def test_a_run_that_was_ended_says_so(team: Team, run_at: Run) -> None:
    pipeline = active(team, [{"key": "hello", "delay": "2d", **email()}])
    zoe = newcomer(team)
    cancel_runs(run_ids=[PipelineRun.objects.get().pk], reason="asked us to")
    answer = asked(pipeline, zoe)
    assert answer["verdict"] == "ended" and "asked us to" in answer["sentence"]
    assert answer["now"][0]["would_enroll"]


def test_who_was_kept_out_is_told_the_clause_and_what_would_happen_now(team: Team, run_at: Run) -> None:
    pipeline = active(team, [email()], triggers=[{**AUTOMATIC, "where": CUSTOMER}])
    zoe = newcomer(team)
    Contact.objects.update(lifecycle_stage="customer")
    answer = asked(pipeline, zoe)
    assert (answer["verdict"], answer["why"][0]["actual"]) == ("not_enrolled", "lead")
    assert answer["now"][0]["would_enroll"] is True
    Contact.objects.update(lifecycle_stage="former")
    assert asked(pipeline, zoe)["now"][0]["why"][0]["actual"] == "former"


def test_who_was_there_before_the_pipeline_is_told_that_nothing_came(ann: Contact, team: Team) -> None:
    pipeline = active(team, [email()])
    assert "existed before" in asked(pipeline, ann)["sentence"]
    carts = active(team, [email()], key="carts", triggers=[{"type": "event", "event": "cart.abandoned"}])
    assert "‘cart.abandoned’" in asked(carts, ann)["sentence"]


def test_one_template_is_asked_about_wherever_it_is_sent(team: Team, run_at: Run) -> None:
    MessageTemplate.objects.create(team=team, key="hello", name="Hello", subject="Hello", text="Hello")
    active(team, [{"key": "mail", "type": "send_email", "with": {"template": "hello"}}], key="one")
    active(team, [email()], key="two")
    zoe = newcomer(team)
    run_at(NOON)
    (answer,) = explain(team=team, subject=zoe, template="hello", now=NOON)
    assert (answer["pipeline"], answer["verdict"], answer["template"]) == ("one", "sent", "hello")


def test_more_history_costs_no_more_statements(team: Team, run_at: Run) -> None:
    pipelines = [active(team, [email(), {"type": "wait", "delay": 60}, email()], key=f"p{n}") for n in range(3)]
    zoe = newcomer(team)

    def statements() -> int:
        with CaptureQueriesContext(connection) as seen:
            explain(team=team, subject=zoe, now=NOON)
        return len(seen)

    few = statements()
    run_at(later(minutes=5))
    assert len(pipelines) == 3 and statements() <= few


def test_the_api_explains_to_its_own_team_only(team: Team, run_at: Run) -> None:
    active(team, [email()])
    zoe = newcomer(team)
    run_at(NOON)
    answer = Api(team, role="viewer").get(f"contacts/{zoe.pk}/explain/", pipeline="welcome")
    assert answer.status_code == 200 and answer.json()["results"][0]["verdict"] == "sent"
    assert Api(team).get(f"contacts/{zoe.pk}/explain/", pipeline="nope").status_code == 400
    assert Api(team).get(f"contacts/{zoe.pk}/explain/", colour="red").status_code == 400
    unknown = Api(team).get(f"contacts/{zoe.pk}/explain/", template="helo")
    assert unknown.status_code == 400 and unknown.json()["errors"][0]["path"] == "template"
    MessageTemplate.objects.create(team=team, key="unused", name="Unused", subject="Hi", text="Hi")
    assert Api(team).get(f"contacts/{zoe.pk}/explain/", template="unused").json()["results"] == []
    other = Team.objects.create(name="Other", slug="other")
    assert Api(other).get(f"contacts/{zoe.pk}/explain/").status_code == 404


NEVER = [
    ({"type": "event", "event": "cart.abandoned"}, "No event ‘cart.abandoned’ has come for it.",
     "when the event ‘cart.abandoned’ comes"),
    ({"type": "event", "event": "contact_inactive", "silence": "30d"}, "It has never been silent for 30 days.",
     "after 30 days of silence"),
    ({"type": "updated", "model": "contacts.contact"}, "No change of it has been heard of.", "when it changes"),
    ({"type": "updated", "model": "contacts.contact", "fields": ["city", "phone"]},
     "No change of its city or phone has been heard of.", "when its city or phone changes"),
    ({"type": "deleted", "model": "contacts.deal", "subject": "trigger.contact_id"},
     "No record was deleted that leads to it.", "when a record is deleted that leads to it"),
    ({"type": "segment", "segment": "hot"}, "It has not entered the segment ‘hot’ since the pipeline listens.",
     "when it enters the segment ‘hot’"),
    ({"type": "cron", "cron": "0 9 * * *"}, "No schedule has taken it in.", "when the schedule comes next"),
    ({"type": "webhook", "event": "lead.posted"}, "Nothing that was posted to a webhook was about it.",
     "when something about it is posted to the webhook"),
    ({"type": "manual"}, "Nobody has put it into this pipeline.", "by hand"),
    ({**AUTOMATIC}, "It existed before the pipeline took in new records.", "as a new record"),
]  # fmt: skip


@pytest.mark.parametrize(("trigger", "sentence", "occasion"), NEVER, ids=[sentence for _, sentence, _ in NEVER])
def test_who_never_came_to_a_door_is_told_what_each_door_waits_for(
    ann: Contact, team: Team, trigger: dict[str, Any], sentence: str, occasion: str
) -> None:
    Segment.objects.create(team=team, key="hot", name="Hot")
    answer = asked(active(team, [email()], triggers=[trigger]), ann)
    assert (answer["sentence"], answer["now"][0]["occasion"]) == (sentence, occasion)


def test_every_door_that_is_open_is_told_and_none_that_is_closed(ann: Contact, team: Team) -> None:
    doors = [
        {"type": "event", "event": "cart.abandoned"}, {"type": "event", "event": "cart.lost"},
        {"type": "manual"}, {**AUTOMATIC, "enabled": False},
    ]  # fmt: skip
    told = asked(active(team, [email()], triggers=doors), ann)["sentence"]
    assert told == "No event ‘cart.abandoned’ or ‘cart.lost’ has come for it. Nobody has put it into this pipeline."
    closed = active(team, [email()], key="closed", triggers=[{**AUTOMATIC, "enabled": False}])
    assert asked(closed, ann)["sentence"] == "None of its ways in is switched on, and nobody has put it in."


def test_what_a_schedule_looks_for_is_told_clause_by_clause(ann: Contact, team: Team) -> None:
    each = {"model": "contacts.contact", "where": {"field": "lifecycle_stage", "operator": "equals", "value": "former"}}
    pipeline = active(team, [email()], triggers=[{"type": "cron", "cron": "0 9 * * *", "for_each": each}])
    now = asked(pipeline, ann)["now"][0]
    assert (now["would_enroll"], now["reason"], now["why"][0]["actual"]) == (False, "conditions not met", "lead")
    Contact.objects.update(lifecycle_stage="former")
    assert asked(pipeline, ann)["now"][0]["would_enroll"]


@pytest.mark.parametrize(
    "door", [{"segment": "hot"}, {"where": {"field": "contact.email", "operator": "is_not_empty"}}]
)
def test_a_segment_that_takes_everybody_once_would_not_take_somebody_twice(
    ann: Contact, team: Team, run_at: Run, door: dict[str, Any]
) -> None:
    hot = Segment.objects.create(team=team, key="hot", name="Hot")
    pipeline = active(team, [email()], triggers=[{"type": "segment", **door}])
    run_at(NOON)
    add_members(segment=hot, model=Contact, ids=[ann.pk], now=NOON)
    run_at(later(minutes=1))
    now = asked(pipeline, ann)["now"][0]
    run = PipelineRun.objects.get()
    assert run.finished_at
    assert (now["would_enroll"], now["reason"]) == (False, "was in the pipeline before")
    assert now["why"] == [
        {"run": run.pk, "note": f"Run {run.pk} ended on {told(run.finished_at)}, and nobody comes in twice."}
    ]


def told(moment: datetime) -> str:
    return f"{moment:%d %b %Y, %H:%M} UTC"


def test_who_was_there_lately_is_told_by_which_run_and_from_when_one_may_come_again(
    ann: Contact, team: Team, run_at: Run
) -> None:
    hand = {"type": "manual", "key": "hand", "reentry": {"after": "30d"}}
    pipeline = active(team, [email()], triggers=[hand])
    run_at(NOON)
    enroll(pipeline=pipeline, subject_ids=[ann.pk], now=NOON)
    run_at(NOON)
    run = PipelineRun.objects.get()
    assert run.finished_at is not None
    enroll(pipeline=pipeline, subject_ids=[ann.pk], now=NOON)
    again = run.finished_at + timedelta(days=30)
    sentence = f"Run {run.pk} ended on {told(run.finished_at)}; one may come in again from {told(again)}."
    decision = EnrollmentDecision.objects.get()
    assert decision.why == [{"run": run.pk, "note": sentence, "again_at": again.isoformat()}]
    assert asked(pipeline, ann)["now"][0]["why"] == decision.why
    (later_on,) = explain(team=team, subject=ann, pipeline=pipeline, now=NOON + timedelta(days=31))
    assert later_on["now"][0]["would_enroll"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"triggers": [{**AUTOMATIC, "max_per_hour": 1}]}, "lets in 1 an hour"),
        ({"settings": {"max_executions": 1}}, "takes 1 record in all"),
    ],
)
def test_a_door_with_no_place_left_says_so(
    ann: Contact, team: Team, run_at: Run, more: dict[str, Any], sentence: str
) -> None:
    pipeline = active(team, [email()], **more)
    run_at(NOON)
    assert asked(pipeline, ann)["now"][0]["would_enroll"]
    newcomer(team)
    now = asked(pipeline, ann)["now"][0]
    assert (now["would_enroll"], now["reason"]) == (False, "limit reached") and sentence in now["why"][0]["error"]
