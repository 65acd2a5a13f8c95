"""What a pipeline and a run may not exceed, and the sentence that says so."""

from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Team
from pipelines.engine.enroll import enroll
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun, StepExecution
from pipelines.operations import import_document
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, document, email, log
from tests.pipelines.engine.conftest import Run

Decision = EnrollmentDecision.Decision
STEPS = [email(delay="1d")]


def people(team: Team, count: int) -> list[Contact]:
    return [Contact.objects.create(team=team, email=f"c{n}@example.org") for n in range(count)]


def test_contacts_enter_until_it_is_full_and_the_others_are_told_why(team: Team, run_at: Run) -> None:
    pipeline = active(team, STEPS, settings={"max_executions": 2})
    people(team, 3)
    assert PipelineRun.objects.count() == 2
    refused = EnrollmentDecision.objects.get()
    assert refused.decision == Decision.LIMIT and "takes 2 records" in str(refused.why)
    pipeline.refresh_from_db()
    assert pipeline.enrolled_total == 2


def test_a_batch_takes_the_places_that_are_left(team: Team, run_at: Run) -> None:
    active(team, STEPS, settings={"max_executions": 3})
    people(team, 1)
    bulk_create_contacts(team=team, items=[{"email": f"b{n}@example.org"} for n in range(5)])
    assert PipelineRun.objects.count() == 3
    assert EnrollmentDecision.objects.filter(decision=Decision.LIMIT).count() == 3


def test_who_is_in_already_takes_no_second_place(team: Team, run_at: Run) -> None:
    pipeline = active(team, STEPS, settings={"max_executions": 3}, triggers=[{"type": "manual"}])
    ids = [contact.pk for contact in people(team, 4)]
    enroll(pipeline=pipeline, subject_ids=ids[:2])
    result = enroll(pipeline=pipeline, subject_ids=ids)
    assert len(result.enrolled) == 1
    assert [result.decisions[pk][0] for pk in ids[:2]] == [Decision.DUPLICATE, Decision.DUPLICATE]
    assert result.decisions[ids[3]][0] == Decision.LIMIT
    pipeline.refresh_from_db()
    assert pipeline.enrolled_total == 3


def test_whoever_is_refused_replaces_nobody(team: Team, run_at: Run) -> None:
    trigger = {"type": "created", "model": "contacts.contact", "automatic": True, "reentry": "restart"}
    pipeline = active(team, STEPS, settings={"max_executions": 1}, triggers=[trigger])
    (contact,) = people(team, 1)
    enroll(pipeline=pipeline, subject_ids=[contact.pk], trigger=pipeline.triggers.get())
    assert PipelineRun.objects.get().status == RunStatus.PENDING


def test_a_limit_that_is_set_later_counts_those_who_are_in(team: Team, run_at: Run) -> None:
    active(team, STEPS)
    people(team, 2)
    import_document(team=team, document=document(STEPS, settings={"max_executions": 3}), activate=True)
    bulk_create_contacts(team=team, items=[{"email": f"b{n}@example.org"} for n in range(3)])
    assert PipelineRun.objects.count() == 3
    assert Pipeline.objects.get().enrolled_total == 3


def errors() -> list[str | None]:
    return list(StepExecution.objects.exclude(error=None).order_by("id").values_list("error", flat=True))


def test_a_run_that_goes_in_a_circle_is_stopped_after_a_thousand_visits(team: Team, run_at: Run) -> None:
    active(team, [{"key": "a", "type": "wait"}, {"key": "b", "type": "wait", "next": "a"}])
    people(team, 1)
    run_at(NOON)
    run = PipelineRun.objects.get()
    assert (run.status, run.reason, run.seq) == (RunStatus.FAILED, "too_many_visits", 1_000)
    (said,) = errors()
    assert "looks like a circle" in str(said)


def test_pipelines_that_call_each_other_without_end_are_stopped_at_the_eighth(team: Team, run_at: Run) -> None:
    call = {"key": "again", "type": "call", "with": {"pipeline": "welcome"}}
    import_document(team=team, document=document([{"type": "wait"}]), activate=True)
    active(team, [call])
    people(team, 1)
    run_at(NOON)
    assert PipelineRun.objects.count() == 9
    assert set(PipelineRun.objects.values_list("status", flat=True)) == {RunStatus.FAILED}
    assert any("more than 8 pipelines in a row have called each other" in str(said) for said in errors())


def test_a_run_that_would_remember_more_than_ten_megabytes_fails_with_a_sentence(team: Team, run_at: Run) -> None:
    variables = [{"name": name, "type": "any", "default": ""} for name in ("text", "copy")]
    twice = {"key": "twice", "type": "set_variable", "with": {"copy": "{{ text }}"}}
    pipeline = active(team, [twice, {"type": "wait"}], triggers=[{"type": "manual"}], variables=variables)
    small, large = people(team, 2)
    for contact, size in ((small, 4_000_000), (large, 6_000_000)):
        enroll(pipeline=pipeline, subject_ids=[contact.pk], variables={"text": "x" * size})
    run_at(NOON)
    assert PipelineRun.objects.get(subject_id=small.pk).status == RunStatus.COMPLETED
    failed = PipelineRun.objects.get(subject_id=large.pk)
    assert (failed.status, failed.reason) == (RunStatus.FAILED, "context_too_large")
    assert log(failed) == [(1, "failed", "error")] and "more than 10.0 MiB" in str(errors())


def test_what_is_remembered_is_counted_as_it_is_stored_whatever_the_letters(
    team: Team, run_at: Run, settings: Settings
) -> None:
    settings.PIPELINES_MAX_CONTEXT_BYTES = 100_000
    variables = [{"name": name, "type": "any", "default": ""} for name in ("text", "copy")]
    twice = {"key": "twice", "type": "set_variable", "with": {"copy": "{{ text }}"}}
    pipeline = active(team, [twice, {"type": "wait"}], triggers=[{"type": "manual"}], variables=variables)
    small, large = people(team, 2)
    for contact, letters in ((small, 24_000), (large, 26_000)):
        enroll(pipeline=pipeline, subject_ids=[contact.pk], variables={"text": "ж" * letters})
    run_at(NOON)
    assert PipelineRun.objects.get(subject_id=small.pk).status == RunStatus.COMPLETED
    assert PipelineRun.objects.get(subject_id=large.pk).reason == "context_too_large"


@pytest.mark.parametrize("way", ["rounds", "branches", "a called pipeline", "a list to go through"])
def test_what_blocks_leave_and_keep_counts_as_well(team: Team, run_at: Run, settings: Settings, way: str) -> None:
    settings.PIPELINES_MAX_CONTEXT_BYTES = 20_000
    names = [{"name": name, "type": "any", "default": ""} for name in ("text", "copy")]
    text = {"key": "write", "type": "set_variable", "with": {"copy": "{{ text }}{{ text }}{{ text }}"}}
    found = {"key": "found", "type": "find_records", "with": {"model": "contacts.contact"}}
    blocks: dict[str, list[dict[str, Any]]] = {
        "rounds": [{"key": "b", "type": "loop", "with": {"times": 3, "concurrency": 3, "steps": [found]}}],
        "branches": [
            {"key": "b", "type": "parallel", "with": {"branches": [{"name": "a", "steps": [text]}], "export": ["copy"]}}
        ],
        "a called pipeline": [
            {"key": "fill", "type": "set_variable", "with": {"copy": "{{ text }}{{ text }}"}},
            {"key": "b", "type": "call", "with": {"pipeline": "inner", "set": {"text": "x" * 2_000}}},
        ],
        "a list to go through": [{
            "key": "b", "type": "loop",
            "with": {"over": "= [text, text, text, text]", "as": "each", "steps": [{"key": "in", "type": "wait"}]},
        }],
    }  # fmt: skip
    active(team, [text], key="inner", triggers=[], variables=names)
    read = {"type": "wait", "if": "steps.b != null"}
    pipeline = active(team, [*blocks[way], read], triggers=[{"type": "manual"}], variables=names)
    first, *_ = people(team, 30)
    enroll(pipeline=pipeline, subject_ids=[first.pk], variables={"text": "x" * 6_000})
    run_at(NOON)
    run = PipelineRun.objects.get(pipeline=pipeline, parent=None)
    assert (run.status, run.reason) == (RunStatus.FAILED, "context_too_large")
    assert way != "a list to go through" or not PipelineRun.objects.filter(parent=run).exists(), "nobody set out"
    said = "This run would remember more than 19.5 KiB: let its steps keep less, such as ids instead of records."
    assert said in errors()


def test_a_run_within_the_limit_of_the_settings_goes_on(team: Team, run_at: Run, settings: Settings) -> None:
    settings.PIPELINES_MAX_CONTEXT_BYTES = 20_000
    keep = {"type": "set_variable", "with": {"copy": "{{ text }}"}}
    names = [{"name": name, "type": "any", "default": ""} for name in ("text", "copy")]
    pipeline = active(team, [keep], triggers=[{"type": "manual"}], variables=names)
    (ann,) = people(team, 1)
    enroll(pipeline=pipeline, subject_ids=[ann.pk], variables={"text": "x" * 9_000})
    run_at(NOON)
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED
