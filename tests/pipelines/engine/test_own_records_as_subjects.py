"""Records of types that a team defines itself go through pipelines as contacts do."""

from typing import Any

import pytest

from contacts import hooks
from contacts.models import Record, RecordType, Segment, SegmentMembership
from crm.models import Message, Team
from pipelines.documents import document_of
from pipelines.engine.enroll import enroll
from pipelines.engine.glance import look
from pipelines.engine.sweep import sweep
from pipelines.engine.tick import run_until_idle
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun
from pipelines.operations import InvalidDocument
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, log
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.counting import statements

PRODUCT = [
    {"key": "name", "type": "text", "required": True},
    {"key": "quantity", "type": "integer"},
    {"key": "seller", "type": "email"},
    {"key": "state", "type": "select", "options": ["new", "low", "fine"]},
]
AUTOMATIC = {"type": "created", "model": "records.product", "automatic": True}
MAIL = {
    "type": "send_email",
    "if": {"field": "product.quantity", "operator": "less_than", "value": 5},
    "with": {"to": "{{ product.seller }}", "subject": "{{ product.name }}", "text": "Only {{ subject.quantity }} left"},
}


@pytest.fixture(autouse=True)
def product(team: Team) -> RecordType:
    return RecordType.objects.create(team=team, key="product", label="Product", fields=PRODUCT)


@pytest.fixture
def order(team: Team) -> RecordType:
    return RecordType.objects.create(team=team, key="order", label="Order", fields=PRODUCT)


def about_products(team: Team, *steps: dict[str, Any], **more: Any) -> Pipeline:
    given: dict[str, Any] = {"triggers": [AUTOMATIC], **more}
    return active(team, list(steps), subject="records.product", **given)


def record(kind: RecordType, name: str = "Lamp", quantity: int = 3) -> Record:
    values = {"name": name, "quantity": quantity, "seller": "sam@example.com"}
    return Record.objects.create(team=kind.team, type=kind, values=values)


def test_a_new_record_enters_and_its_fields_are_read_by_conditions_and_messages(
    team: Team, product: RecordType, order: RecordType, run_at: Run
) -> None:
    about_products(team, MAIL)
    low, plenty = record(product), record(product, "Sofa", 50)
    record(order)

    run_at(NOON)

    runs = {run.subject_id: run for run in PipelineRun.objects.all()}
    assert runs.keys() == {low.pk, plenty.pk}
    assert log(runs[plenty.pk]) == [(1, "skipped", "skipped")]
    assert [(m.recipient, m.subject, m.text.strip()) for m in Message.objects.all()] == [
        ("sam@example.com", "Lamp", "Only 3 left")
    ]


def test_records_of_another_type_or_team_cannot_be_put_in_by_hand(
    team: Team, product: RecordType, order: RecordType, run_at: Run
) -> None:
    pipeline = about_products(team, MAIL, triggers=[])
    other = Team.objects.create(name="Other", slug="other")
    theirs = RecordType.objects.create(team=other, key="product", label="Product", fields=PRODUCT)
    mine, wrong, foreign = record(product), record(order), record(theirs)

    result = enroll(pipeline=pipeline, subject_ids=[mine.pk, wrong.pk, foreign.pk])

    assert len(result.enrolled) == 1
    assert result.decisions[wrong.pk][1] == result.decisions[foreign.pk][1] == "There is no such record in this team."


def test_records_created_in_bulk_enter_by_the_hook_and_the_rest_by_the_sweep(
    team: Team, product: RecordType, order: RecordType, run_at: Run
) -> None:
    about_products(team, MAIL)
    run_at(NOON)
    rows = [Record(team=team, type=kind, values={"name": "Lamp"}) for kind in (product, order) for _ in range(2)]
    made = Record.objects.bulk_create(rows)
    first, second = made[0], made[1]

    hooks.announce_created(model=Record, ids=[first.pk, made[2].pk], team=team)
    assert set(PipelineRun.objects.values_list("subject_id", flat=True)) == {first.pk}

    sweep(now=NOON, glance=look(real_now=NOON, now=NOON, host="here"))
    sweep(now=NOON, glance=look(real_now=NOON, now=NOON, host="here"))
    assert set(PipelineRun.objects.values_list("subject_id", flat=True)) == {first.pk, second.pk}
    assert not EnrollmentDecision.objects.exists()


def test_steps_change_the_record_find_its_like_and_put_it_into_segments(
    team: Team, product: RecordType, run_at: Run
) -> None:
    Segment.objects.create(team=team, key="low", name="Low")
    search = {"model": "records.product", "where": "state == 'low'"}
    about_products(
        team,
        {"type": "update_record", "with": {"values": {"state": "low"}}},
        {"type": "condition", "key": "seen", "if": "product.state == 'low'"},
        {"type": "find_records", "key": "like", "with": search, "set": {"n": "= steps.like.count"}},
        {"type": "add_to_segment", "with": {"segment": "low"}},
        {"type": "update_record", "with": {"values": {"quantity": "= vars.n"}}},
        variables=[{"name": "n", "type": "number"}],
    )
    lamp = record(product)

    run_at(NOON)

    run = PipelineRun.objects.get()
    assert run.status == RunStatus.COMPLETED, run.reason
    assert (2, "completed", "true") in log(run)
    lamp.refresh_from_db()
    assert (lamp.values["state"], lamp.values["quantity"]) == ("low", 1)
    assert SegmentMembership.objects.get().subject == lamp


def test_a_value_that_does_not_fit_the_type_is_refused(team: Team, product: RecordType, run_at: Run) -> None:
    about_products(team, {"type": "update_record", "with": {"values": {"state": "gone"}}})
    record(product)

    run_at(NOON)

    assert PipelineRun.objects.get().status == RunStatus.FAILED


def test_a_wait_is_over_when_a_step_of_another_run_changes_the_record(
    team: Team, product: RecordType, run_at: Run
) -> None:
    wait = {"type": "wait_for", "with": {"condition": "product.state == 'fine'"}}
    pipeline = about_products(team, wait)
    lamp = record(product)
    run_at(NOON)
    change = {"type": "update_record", "with": {"values": {"state": "fine"}}}
    by_hand = about_products(team, change, key="by_hand", triggers=[])

    enroll(pipeline=by_hand, subject_ids=[lamp.pk])
    run_at(NOON)

    assert PipelineRun.objects.get(pipeline=pipeline).status == RunStatus.COMPLETED


def test_a_type_that_the_team_does_not_have_is_refused_and_the_document_keeps_its_name(team: Team) -> None:
    with pytest.raises(InvalidDocument, match=r"there is no type of record 'records\.robot'"):
        active(team, [{"type": "end"}], subject="records.robot", triggers=[])
    with pytest.raises(InvalidDocument, match=r"records\.<type>"):
        active(team, [{"type": "end"}], subject="contacts.record", triggers=[])

    document = document_of(about_products(team, MAIL))
    assert document["subject"] == document["triggers"][0]["model"] == "records.product"


def test_a_simulation_plays_with_a_record_there_is_or_with_a_sample(team: Team, product: RecordType) -> None:
    pipeline = about_products(team, MAIL)
    lamp = record(product, "Lamp", 2)
    PipelineRun.objects.all().delete()
    document = document_of(pipeline)

    real = simulate(team=team, document=document, scenario=scenario_of({"subject": lamp.pk}, now=NOON))
    sample = simulate(
        team=team,
        document=document,
        scenario=scenario_of({"subject": {"name": "Desk", "quantity": 1, "seller": "d@example.com"}}, now=NOON),
    )
    ours = simulate(team=team, document=document, scenario=scenario_of({}, now=NOON))

    assert [message["subject"] for message in real["messages"] + sample["messages"]] == ["Lamp", "Desk"]
    assert ours["status"] == "completed"
    assert Record.objects.count() == 1


def test_many_records_cost_as_many_statements_as_one(team: Team, product: RecordType, run_at: Run) -> None:
    about_products(team, {"type": "update_record", "with": {"values": {"state": "low"}}})
    # The first pass fills caches and does what is done once a day.
    counts = [statements_for(team, product, many) for many in (1, 1, 20)]
    assert counts[1] == counts[2]


def statements_for(team: Team, product: RecordType, many: int) -> int:
    made = Record.objects.bulk_create([Record(team=team, type=product, values={"name": "x"}) for _ in range(many)])

    def work() -> None:
        hooks.announce_created(model=Record, ids=[each.pk for each in made], team=team)
        run_until_idle(now=NOON)

    return statements(work)


def test_a_change_of_a_record_begins_what_is_about_its_type(
    team: Team, product: RecordType, order: RecordType, run_at: Run
) -> None:
    changed = {"field": "product.quantity", "operator": "changed_to", "value": 9}
    updated = {"type": "updated", "model": "records.product", "where": changed}
    pipeline = about_products(team, {"type": "end"}, triggers=[updated])
    rows = [record(product), record(order)]

    for row in rows:
        row.values = {**row.values, "quantity": 9}
        row.save()
    run_at(NOON)

    assert [run.subject_id for run in PipelineRun.objects.filter(pipeline=pipeline)] == [rows[0].pk]
    assert not EnrollmentDecision.objects.exists()
