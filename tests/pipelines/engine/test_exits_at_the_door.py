"""Who meets an exit condition already does not enter, whichever way in, and is told which one and why."""

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.enroll import enroll
from pipelines.engine.events import publish
from pipelines.engine.existing import look_at_existing
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun
from pipelines.simulation.explain import explain
from pipelines.simulation.scenario import Scenario
from pipelines.simulation.simulate import simulate
from pipelines.simulation.triggers import trigger_verdicts
from pipelines.states import RunStatus
from tests.pipelines.engine.building import AUTOMATIC, NOON, active, document, email, later
from tests.pipelines.engine.conftest import Run

CUSTOMER = {"where": {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"},
            "reason": "is a customer"}  # fmt: skip
SAID = {"note": "The exit rule “is a customer” holds already."}


def selling(team: Team, *exits: dict[str, Any], **more: Any) -> Pipeline:
    return active(team, [email(delay="1d")], exit=list(exits or [CUSTOMER]), **more)


def contact(team: Team, stage: str = "customer", **more: Any) -> Contact:
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", lifecycle_stage=stage, **more)


def why() -> list[Any]:
    decision = EnrollmentDecision.objects.get()
    assert decision.decision == EnrollmentDecision.Decision.CONDITIONS
    return list(decision.why or ())


def test_a_new_record_that_meets_the_exit_condition_stays_out_and_the_others_enter(team: Team, run_at: Run) -> None:
    selling(team)
    for stage in ("lead", "customer", "lead"):
        contact(team, stage)
    assert PipelineRun.objects.count() == 2
    note, clause = why()
    assert note == SAID
    assert (clause["field"], clause["actual"], clause["met"]) == ("contact.lifecycle_stage", "customer", True)


def test_who_comes_to_meet_it_leaves_and_may_come_in_again_when_it_is_over(team: Team, run_at: Run) -> None:
    pipeline = selling(team, triggers=[{**AUTOMATIC, "reentry": "once"}, {"type": "manual", "key": "hand"}])
    ann = contact(team)
    assert not enroll(pipeline=pipeline, subject_ids=[ann.pk]).enrolled
    ann.lifecycle_stage = "lead"
    ann.save()
    assert enroll(pipeline=pipeline, subject_ids=[ann.pk]).enrolled
    ann.lifecycle_stage = "customer"
    ann.save()
    run_at(NOON)
    assert PipelineRun.objects.get().reason == "is a customer"


def test_an_event_brings_nobody_in_who_would_leave_at_once(team: Team, run_at: Run) -> None:
    selling(team, triggers=[{"type": "event", "event": "asked"}])
    ann, bob = contact(team), contact(team, "lead")
    for each in (ann, bob):
        kind = ContentType.objects.get_for_model(Contact).pk
        publish(team_id=team.pk, type="asked", subject_type_id=kind, subject_id=each.pk)
    run_at(NOON)
    assert PipelineRun.objects.get().subject_id == bob.pk
    assert why()[0] == SAID


@pytest.mark.parametrize(("given", "enters"), [({}, False), ({"score": 9}, True)], ids=["by default", "given"])
def test_the_condition_sees_variables_as_the_run_would(
    team: Team, run_at: Run, given: dict[str, Any], enters: bool
) -> None:
    pipeline = selling(team, {"where": "score < 5", "reason": "too cold"}, triggers=[],
                       variables=[{"name": "score", "type": "number", "default": 1}])  # fmt: skip
    assert bool(enroll(pipeline=pipeline, subject_ids=[contact(team).pk], variables=given).enrolled) is enters


def test_a_rule_with_an_event_waits_for_its_event(team: Team, run_at: Run) -> None:
    selling(team, {**CUSTOMER, "event": "paid"})
    contact(team)
    assert PipelineRun.objects.count() == 1


CHANGED: dict[str, Any] = {"field": "contact.lifecycle_stage", "operator": "changed"}
LEFT = [CHANGED, {"any": ["event.payload.by == null", CHANGED]}]


@pytest.mark.parametrize("where", LEFT, ids=["by an operator", "by the event"])
def test_the_change_that_brings_somebody_in_is_none_that_ends_it_but_the_next_one_is(
    team: Team, run_at: Run, where: dict[str, Any]
) -> None:
    became = {**CHANGED, "operator": "changed_to", "value": "customer"}
    won = {"type": "updated", "model": "contacts.contact", "where": became}
    selling(team, {"where": where, "reason": "moved on"}, triggers=[won])
    ann = contact(team, "lead")
    ann.lifecycle_stage = "customer"
    ann.save()
    run_at(NOON)
    assert PipelineRun.objects.get().status == RunStatus.PENDING
    ann.lifecycle_stage = "lead"
    ann.save()
    run_at(later(hours=1))
    assert PipelineRun.objects.get().reason == "moved on"


def test_a_condition_that_cannot_be_told_keeps_nobody_out(team: Team, run_at: Run) -> None:
    selling(team, {"where": "contact.custom.points + 1 > 3", "reason": "enough"})
    contact(team)
    assert PipelineRun.objects.count() == 1


def test_who_is_there_already_is_counted_without_them(team: Team, run_at: Run) -> None:
    contact(team), contact(team, "lead")
    trigger = selling(team).triggers.get()
    assert look_at_existing(trigger, now=NOON).total == 1


RULES: dict[str, tuple[dict[str, Any], int]] = {
    "how things are": (CUSTOMER, 0),
    "an event": ({**CUSTOMER, "event": "paid"}, 1),
    "an event of the same": ({**CUSTOMER, "event": "paid", "match": {"id": "= contact.id"}}, 1),
    "a change": ({"where": LEFT[0]}, 1),
    "a change or an event": ({"where": LEFT[1]}, 1),
    "nothing": ({"where": []}, 1),
    "what cannot be told": ({"where": "contact.custom.points + 1 > 3"}, 1),
    "what can be told before it fails": ({"where": "contact.lifecycle_stage == 'customer' or 1 / 0 > 1"}, 0),
}


@pytest.mark.parametrize(("rule", "comes_in"), RULES.values(), ids=RULES)
def test_who_is_there_already_is_counted_exactly_where_the_door_would_let_them_in(
    team: Team, run_at: Run, rule: dict[str, Any], comes_in: int
) -> None:
    ann = contact(team)
    pipeline = selling(team, rule)
    assert look_at_existing(pipeline.triggers.get(), now=NOON).total == comes_in
    assert len(enroll(pipeline=pipeline, subject_ids=[ann.pk]).enrolled) == comes_in


def test_a_rule_that_is_not_published_yet_keeps_nobody_of_them_out(team: Team, run_at: Run) -> None:
    contact(team), contact(team, "lead")
    trigger = active(team, [email(delay="1d")]).triggers.get()
    Pipeline.objects.update(exit_rules=[CUSTOMER])
    trigger.pipeline.refresh_from_db()
    assert look_at_existing(trigger, now=NOON).total == 2


def test_simulation_explanation_and_the_test_of_triggers_tell_the_same(team: Team, run_at: Run) -> None:
    pipeline = selling(team)
    ann = contact(team)
    told = why()
    scenario = Scenario(start=NOON, until=later(days=30), subject=ann.pk)
    story = simulate(team=team, document=document([email(delay="1d")], exit=[CUSTOMER]), scenario=scenario)
    assert (story["status"], story["why"]) == ("not_enrolled", told)
    (verdict,) = trigger_verdicts(team=team, model="contacts.contact", subject=ann.pk)
    assert (verdict["would_enroll"], verdict["why"]) == (False, told)
    (answer,) = explain(team=team, subject=ann, pipeline=pipeline)
    assert (answer["verdict"], answer["why"]) == ("not_enrolled", told)
    assert "The exit rule “is a customer” holds already." in answer["sentence"]
    assert answer["now"][0]["would_enroll"] is False
