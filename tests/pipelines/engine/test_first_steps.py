"""A first step whose time has passed is skipped like any other, in a run, in a branch and in a called pipeline."""

from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.advance import advance_lane
from pipelines.engine.enroll import enroll
from pipelines.engine.retrying import retry_runs
from pipelines.models import EnrollmentDecision, PipelineRun, PipelineStep, StepCircuit, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, later, log
from tests.pipelines.engine.conftest import Run

PAST: dict[str, Any] = {"until": "2027-02-01T12:00:00Z", "if_past": "skip"}
COMING: dict[str, Any] = {"until": "2027-03-02T12:00:00Z", "if_past": "skip"}


def mark(key: str, source: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "update_record", "with": {"values": {"lead_source": source}}, **more}


def test_a_run_skips_a_first_step_whose_time_has_passed(team: Team, run_at: Run) -> None:
    active(team, [mark("invite", "invited", delay=PAST), mark("remind", "reminded", delay=PAST), mark("last", "seen")])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    ann.refresh_from_db()
    assert ann.lead_source == "seen"
    rows = StepExecution.objects.filter(event=StepExecution.Event.SKIPPED)
    assert [row.error for row in rows] == ["Its time had passed."] * 2
    assert [row[1] for row in log(PipelineRun.objects.get())] == ["skipped", "skipped", "completed"]


def test_a_run_whose_only_step_is_too_late_ends_without_it(team: Team, run_at: Run) -> None:
    active(team, [mark("invite", "invited", delay=PAST)])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    ann.refresh_from_db()
    assert (ann.lead_source, PipelineRun.objects.get().status) == ("", RunStatus.COMPLETED)


def test_a_first_step_whose_time_comes_waits_for_it(team: Team, run_at: Run) -> None:
    active(team, [mark("invite", "invited", delay=COMING)])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(later(hours=23))
    assert PipelineRun.objects.get().next_step_at == later(days=1)
    run_at(later(days=1))
    ann.refresh_from_db()
    assert ann.lead_source == "invited"


@pytest.mark.parametrize("kind", ["parallel", "loop", "call"])
def test_so_does_the_first_step_of_a_child(team: Team, run_at: Run, kind: str) -> None:
    steps = [mark("invite", "invited", delay=PAST), mark("inside", "inside")]
    block: dict[str, Any] = {"key": "block", "type": kind}
    if kind == "call":
        active(team, steps, key="inner", triggers=[{"type": "manual"}])
        block["with"] = {"pipeline": "inner"}
    else:
        block["with"] = {"branches": [{"name": "a", "steps": steps}]} if kind == "parallel" else {}
        block["with"] |= {"times": 1, "steps": steps} if kind == "loop" else {}
    active(team, [block])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    ann.refresh_from_db()
    assert ann.lead_source == "inside"
    assert set(PipelineRun.objects.values_list("status", "open_children")) == {(RunStatus.COMPLETED.value, 0)}
    assert StepExecution.objects.filter(event=StepExecution.Event.SKIPPED).count() == 1


RENEWAL: dict[str, Any] = {"until": "{{ contact.custom.renewal }}", "for": "1h"}


def test_who_lacks_the_date_of_the_first_step_is_refused_with_a_sentence_and_keeps_nobody_out(
    team: Team, run_at: Run
) -> None:
    renewal = active(team, [mark("remind", "reminded", delay=RENEWAL)], key="renewal")
    active(team, [mark("greet", "greeted")], key="welcome")
    ann = Contact.objects.create(team=team, first_name="Ann")
    bob = Contact.objects.create(team=team, first_name="Bob", custom={"renewal": "2027-03-02T11:00:00Z"})
    entered = {(run.pipeline.key, run.subject_id) for run in PipelineRun.objects.select_related("pipeline")}
    assert entered == {("welcome", ann.pk), ("welcome", bob.pk), ("renewal", bob.pk)}
    decision = EnrollmentDecision.objects.get()
    assert decision.decision == EnrollmentDecision.Decision.ERROR and decision.subject_id == ann.pk
    assert decision.why == [{"error": "The delay of the first step: until: contact.custom.renewal has no date"}]
    run_at(later(days=1))
    bob.refresh_from_db()
    assert bob.lead_source == "reminded"
    cid = Contact.objects.create(team=team, first_name="Cid", custom={"renewal": "2027-04-02T11:00:00Z"})
    result = enroll(pipeline=renewal, subject_ids=[ann.pk, bob.pk])
    assert len(result.enrolled) == 1 and "has no date" in result.decisions[ann.pk][1]
    assert PipelineRun.objects.filter(pipeline=renewal, subject_id=cid.pk).count() == 1


def test_the_delay_of_the_first_step_reads_what_variables_are_by_default(team: Team, run_at: Run) -> None:
    start = [{"name": "start", "type": "datetime", "default": "2027-03-02T12:00:00Z"}]
    active(team, [mark("greet", "greeted", delay={"until": "{{ start }}"})], variables=start)
    Contact.objects.create(team=team, first_name="Ann")
    assert PipelineRun.objects.get().next_step_at == later(days=1)


@pytest.mark.parametrize("to", ["fail", "next", "late"])
def test_a_later_step_without_its_date_takes_its_error_edge_and_says_why(team: Team, run_at: Run, to: str) -> None:
    remind = mark("remind", "reminded", delay=RENEWAL, next="end", on={"error": to})
    active(team, [mark("greet", "greeted"), remind, mark("late", "asked")])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    run, told = PipelineRun.objects.get(), "The delay of this step: until: contact.custom.renewal has no date"
    ann.refresh_from_db()
    assert StepExecution.objects.exclude(error=None).get().error == told
    if to == "fail":
        assert (run.status, run.reason, ann.lead_source) == (RunStatus.FAILED, "error", "greeted")
        assert log(run) == [(1, "completed", "next"), (2, "failed", "error")]
    elif to == "next":
        assert (run.status, ann.lead_source) == (RunStatus.COMPLETED, "greeted")
        assert log(run) == [(1, "completed", "next"), (2, "skipped", "error")]
    else:
        assert (run.status, ann.lead_source) == (RunStatus.COMPLETED, "asked")
        assert log(run) == [(1, "completed", "next"), (2, "skipped", "error"), (3, "completed", "next")]


def test_who_failed_without_a_date_waits_for_it_after_a_retry(team: Team, run_at: Run) -> None:
    active(team, [mark("greet", "greeted"), mark("remind", "reminded", delay=RENEWAL)])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    run = PipelineRun.objects.get(status=RunStatus.FAILED)
    Contact.objects.filter(pk=ann.pk).update(custom={"renewal": "2027-03-02T11:00:00Z"})
    assert retry_runs(run_ids=[run.pk]) == 1
    run_at(NOON)
    run.refresh_from_db()
    assert (run.status, run.next_step_at) == (RunStatus.PENDING, later(days=1))
    run_at(later(days=1))
    ann.refresh_from_db()
    assert ann.lead_source == "reminded"


def test_who_has_no_date_yet_is_asked_again_where_the_step_says_so(team: Team, run_at: Run) -> None:
    rule = {"max": 2, "delay": "1h", "on": ["expression"]}
    active(team, [mark("greet", "greeted"), mark("remind", "reminded", delay=RENEWAL, retry=rule)])
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    run = PipelineRun.objects.get()
    assert (run.status, run.attempt, run.next_step_at) == (RunStatus.PENDING, 1, later(hours=1))
    Contact.objects.filter(pk=ann.pk).update(custom={"renewal": "2027-03-02T11:00:00Z"})
    run_at(later(hours=1))
    run.refresh_from_db()
    assert (run.status, run.next_step_at) == (RunStatus.PENDING, later(days=1))
    run_at(later(days=1))
    ann.refresh_from_db()
    assert ann.lead_source == "reminded"


def test_who_waits_for_a_place_without_a_date_does_not_do_the_step_when_it_has_one(team: Team, run_at: Run) -> None:
    settings = {"max_per_hour": 1}
    active(team, [mark("remind", "reminded", delay=RENEWAL)], settings=settings)
    for name in ("Ann", "Bob"):
        Contact.objects.create(team=team, first_name=name, custom={"renewal": "2027-03-02T11:00:00Z"})
    Contact.objects.update(custom={})
    active(team, [mark("remind", "reminded", delay={**RENEWAL, "for": "2h"})], settings=settings)
    for hours in (0, 1, 2):
        run_at(later(hours=hours))
    assert not Contact.objects.filter(lead_source="reminded").exists()
    assert set(PipelineRun.objects.values_list("status", "reason")) == {(RunStatus.FAILED.value, "error")}


@pytest.mark.parametrize(("tolerate", "ends"), [(0, RunStatus.FAILED), (1, RunStatus.COMPLETED)])
def test_a_round_without_its_date_fails_alone(team: Team, run_at: Run, tolerate: int, ends: RunStatus) -> None:
    body = {"over": "= ['2027-03-01T13:00:00Z', 'never']", "as": "day", "concurrency": 2, "on_branch_error": "wait"}
    inside = [mark("seen", "seen", delay={"until": "{{ day }}"})]
    active(team, [{"key": "days", "type": "loop", "with": {**body, "tolerate": tolerate, "steps": inside}}])
    ann = Contact.objects.create(team=team, first_name="Ann")
    for hour in (0, 1):
        run_at(later(hours=hour))
    ann.refresh_from_db()
    run = PipelineRun.objects.get(parent=None)
    rounds = list(PipelineRun.objects.filter(parent=run).order_by("slot").values_list("status", flat=True))
    assert (run.status, rounds, ann.lead_source) == (ends, [RunStatus.COMPLETED, RunStatus.FAILED], "seen")
    failed = StepExecution.objects.filter(event=StepExecution.Event.FAILED).order_by("id")[0]
    assert failed.error == "The delay of this step: until: day is not a date"


def test_the_first_delay_of_a_branch_reads_what_the_branches_before_it_left(team: Team, run_at: Run) -> None:
    day = {"key": "day", "type": "set_variable", "with": {"start": "2027-03-02T12:00:00Z"}}
    wait = mark("seen", "seen", delay={"until": "{{ steps.day.start }}"})
    branches = [{"name": "a", "steps": [day]}, {"name": "b", "after": ["a"], "steps": [wait]}]
    start = [{"name": "start", "type": "datetime"}]
    active(team, [{"key": "both", "type": "parallel", "with": {"branches": branches}}], variables=start)
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    assert PipelineRun.objects.get(slot=1, parent__isnull=False).next_step_at == later(days=1)
    run_at(later(days=1))
    ann.refresh_from_db()
    assert (ann.lead_source, PipelineRun.objects.get(parent=None).status) == ("seen", RunStatus.COMPLETED)


def test_the_first_delay_of_a_called_pipeline_reads_its_own_variables(team: Team, run_at: Run) -> None:
    start = [{"name": "start", "type": "datetime", "default": "2027-03-09T12:00:00Z"}]
    wait = mark("seen", "seen", delay={"until": "{{ start }}"})
    active(team, [wait], key="inner", variables=start, triggers=[{"type": "manual"}])
    call = {"key": "go", "type": "call", "with": {"pipeline": "inner", "set": {"start": "2027-03-02T12:00:00Z"}}}
    active(team, [call, {"key": "by_default", "type": "call", "with": {"pipeline": "inner"}}])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    assert PipelineRun.objects.get(parent__isnull=False).next_step_at == later(days=1)
    run_at(later(days=1))
    assert PipelineRun.objects.filter(parent__isnull=False).order_by("-id")[0].next_step_at == later(days=8)


def test_the_first_delay_of_a_round_reads_what_the_round_before_exported(team: Team, run_at: Run) -> None:
    """Looking again after one, two and four hours."""
    look = {"key": "look", "type": "set_variable", "delay": "= hours(pause)", "with": {"pause": "= pause * 2"}}
    loop = {"times": 3, "export": ["pause"], "steps": [look]}
    active(
        team, [{"key": "poll", "type": "loop", "with": loop}],
        variables=[{"name": "pause", "type": "number", "default": 1}],
    )  # fmt: skip
    Contact.objects.create(team=team, first_name="Ann")
    for hour in (0, 1, 3, 7):
        run_at(later(hours=hour))
    looked = StepExecution.objects.filter(step_id=PipelineStep.objects.get(key="look").pk).order_by("id")
    assert [row.at for row in looked] == [later(hours=1), later(hours=3), later(hours=7)]


def test_who_has_no_date_at_a_trial_is_asked_for_it_again_and_does_not_enter(team: Team, run_at: Run) -> None:
    pipeline = active(team, [mark("greet", "greeted"), mark("remind", "reminded", delay=RENEWAL)])
    ann = Contact.objects.create(team=team, first_name="Ann")
    _, remind = pipeline.steps.order_by("number")
    far = later(days=9)
    StepCircuit.objects.create(step=remind, opened_at=NOON, retry_at=far, pause=60, failed=1, reached=1)
    run_at(NOON)
    advance_lane(step_id=remind.pk, now=NOON, limit=10, trial=True)
    StepCircuit.objects.all().delete()
    run_at(later(minutes=1))
    ann.refresh_from_db()
    assert ann.lead_source == "greeted"
