"""Events and changes of records put records into pipelines: once each, for a reason that is kept."""

from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection

from contacts.models import Contact, Deal
from contacts.operations import bulk_update_contacts
from crm.models import Team
from pipelines.engine.dispatch import dispatch
from pipelines.engine.events import Fact, publish_all
from pipelines.models import EnrollmentDecision, Event, Pipeline, PipelineRun, Trigger
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.counting import statements

Decision = EnrollmentDecision.Decision
HOLD = [{"key": "hold", "type": "wait", "delay": "30d"}]


def listening(team: Team, *triggers: dict[str, Any], key: str = "p", steps: Any = HOLD, **more: Any) -> Pipeline:
    return active(team, steps, key=key, triggers=list(triggers), **more)


def on(event: str, **more: Any) -> dict[str, Any]:
    return {"type": "event", "event": event, **more}


def changed(**more: Any) -> dict[str, Any]:
    return {"type": "updated", "model": "contacts.contact", **more}


def ann(team: Team, **values: Any) -> Contact:
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", **values)


def fact(contact: Contact, kind: str, **payload: Any) -> Fact:
    of = ContentType.objects.get_for_model(Contact)
    return Fact(contact.team_id, kind, of.pk, contact.pk, payload)


def inside(pipeline: Pipeline) -> list[int | None]:
    return list(PipelineRun.objects.filter(pipeline=pipeline).order_by("pk").values_list("subject_id", flat=True))


def reasons(pipeline: Pipeline) -> list[tuple[int, str]]:
    rows = EnrollmentDecision.objects.filter(pipeline=pipeline).order_by("pk")
    return [(row.decision, str((row.why or [{}])[-1].get("error", ""))) for row in rows]


def test_an_event_lets_its_record_in_with_what_it_carries(team: Team, run_at: Run) -> None:
    where = {"field": "cart.value", "operator": "greater_than", "value": 50}
    paid = on("order.paid", where=where, set={"cart": "{{ trigger.cart }}"})
    pipeline = listening(team, paid, variables=[{"name": "cart", "type": "object", "required": True}])
    contact = ann(team)
    publish_all([fact(contact, "order.paid", cart={"value": 80}), fact(contact, "order.sent", cart={"value": 99})])
    assert run_at(NOON).enrolled == 1
    run = PipelineRun.objects.get()
    assert (run.subject_id, run.trigger_id) == (contact.pk, pipeline.triggers.get().pk)
    assert run.context.vars["cart"] == {"value": 80} and run.context.trigger["cart"] == {"value": 80}
    publish_all([fact(ann(team), "order.paid", cart={"value": 20})])
    run_at(later(hours=1))
    refused = EnrollmentDecision.objects.get()
    assert refused.decision == Decision.CONDITIONS and (refused.why or [])[0]["actual"] == 20
    assert refused.event_id == Event.objects.latest("pk").pk
    assert Trigger.objects.get().fired_total == 1


def test_every_event_of_a_batch_decides_for_itself(team: Team, run_at: Run) -> None:
    reentry = {"key": "{{ trigger.cart }}", "release": "never"}
    pipeline = listening(team, on("left", reentry=reentry))
    contact = ann(team)
    publish_all([fact(contact, "left", cart=number) for number in (1, 2, 2, 3)])
    run_at(NOON)
    assert sorted(run.context.trigger["cart"] for run in PipelineRun.objects.all()) == [1, 2, 3]
    assert reasons(pipeline) == [(Decision.DUPLICATE, "")]
    second = PipelineRun.objects.get(context__trigger__cart=2)
    assert EnrollmentDecision.objects.get().why == [
        {"run": second.pk, "note": f"Run {second.pk} is on its way in this pipeline."}
    ]


def test_other_teams_and_closed_pipelines_hear_nothing(team: Team, run_at: Run) -> None:
    other = Team.objects.create(name="Other", slug="other")
    elsewhere, off = (
        listening(other, on("left"), key="elsewhere"),
        listening(team, on("left", enabled=False), key="off"),
    )
    paused = listening(team, on("left"), key="paused")
    Pipeline.objects.filter(pk=paused.pk).update(status=Pipeline.Status.PAUSED)
    publish_all([fact(ann(team), "left")])
    run_at(NOON)
    assert [inside(each) for each in (elsewhere, off, paused)] == [[], [], []]


def test_a_pipeline_about_nothing_runs_once_per_event(team: Team, run_at: Run) -> None:
    pipeline = listening(team, on("stock.low"), subject=None)
    publish_all([Fact(team.pk, "stock.low", payload={"sku": sku}) for sku in ("a", "b")])
    run_at(NOON)
    assert inside(pipeline) == [None, None]
    assert sorted(run.context.trigger["sku"] for run in PipelineRun.objects.all()) == ["a", "b"]


def test_a_change_of_a_deal_lets_its_contact_in(team: Team, run_at: Run) -> None:
    won = {"field": "trigger.changes.stage", "operator": "is_not_empty"}
    trigger = {"type": "updated", "model": "contacts.deal", "subject": "{{ trigger.record.contact }}", "where": won}
    pipeline = listening(team, trigger)
    contact = ann(team)
    deal = Deal.objects.create(team=team, title="Big", contact=contact)
    deal.stage = Deal.Stage.WON
    deal.save()
    run_at(NOON)
    assert inside(pipeline) == [contact.pk]


def test_a_change_tells_what_it_was_and_what_it_is(team: Team, run_at: Run) -> None:
    became = {"field": "contact.lifecycle_stage", "operator": "changed_to", "value": "customer"}
    pipeline = listening(team, changed(where=became, reentry="always"))
    contact = ann(team, custom={"plan": "free"})
    contact.lifecycle_stage = "customer"
    contact.save()
    contact.first_name = "Anna"
    contact.custom = {"plan": "pro"}
    contact.save()
    run_at(NOON)
    run = PipelineRun.objects.get(pipeline=pipeline)
    assert run.context.trigger["changes"] == {"lifecycle_stage": ["lead", "customer"]}
    assert Event.objects.filter(type="updated").latest("pk").payload["changes"] == {
        "first_name": ["Ann", "Anna"], "plan": ["free", "pro"],
    }  # fmt: skip
    assert Event.objects.get(type="stage_changed").payload == {
        "from": "lead", "to": "customer", "field": "lifecycle_stage",
    }  # fmt: skip


def test_only_the_fields_that_matter_let_in(team: Team, run_at: Run) -> None:
    pipeline = listening(team, changed(fields=["email", "plan"], reentry="always"))
    contact = ann(team)
    contact.first_name = "Anna"
    contact.save()
    contact.custom = {"plan": "pro"}
    contact.save()
    contact.save()
    run_at(NOON)
    assert [run.context.trigger["fields"] for run in PipelineRun.objects.filter(pipeline=pipeline)] == [["plan"]]


def test_records_changed_in_bulk_are_heard_too(team: Team, run_at: Run) -> None:
    pipeline = listening(team, changed(fields=["language"]))
    contacts = [ann(team), ann(team, language="de")]
    bulk_update_contacts(team=team, ids=[contact.pk for contact in contacts], values={"language": "de"})
    run_at(NOON)
    assert inside(pipeline) == [contacts[0].pk]


def test_a_pipeline_does_not_begin_by_its_own_change_but_others_do(team: Team, run_at: Run) -> None:
    steps = [{"type": "update_record", "with": {"values": {"job_title": "{{ contact.job_title }}+"}}}, *HOLD]
    first = listening(team, changed(fields=["job_title"], reentry="always"), steps=steps, key="first")
    second = listening(team, changed(fields=["job_title"], reentry="always"), key="second")
    contact = ann(team)
    contact.job_title = "x"
    contact.save()
    run_at(NOON)
    contact.refresh_from_db()
    assert (contact.job_title, len(inside(first)), len(inside(second))) == ("x+", 1, 2)
    assert reasons(first)[0][0] == Decision.SUPPRESSED


def test_pipelines_that_start_each_other_by_changes_come_to_an_end(team: Team, run_at: Run) -> None:
    def step(name: str) -> list[dict[str, Any]]:
        return [{"type": "update_record", "with": {"values": {name: "{{ run.id }}"}}}]

    for mine, other in (("job_title", "lead_source"), ("lead_source", "job_title")):
        listening(team, changed(fields=[mine], reentry="always"), steps=step(other), key=f"on_{mine}")
    contact = ann(team)
    contact.job_title = "go"
    contact.save()
    run_at(NOON)
    assert PipelineRun.objects.count() == 9
    (last,) = EnrollmentDecision.objects.filter(decision=Decision.LIMIT)
    assert "circle" in (last.why or [])[0]["error"]


def test_what_comes_in_quick_succession_counts_once(team: Team, run_at: Run) -> None:
    pipeline = listening(team, changed(debounce="10m", reentry="always"))
    contact = ann(team)

    def rename(name: str, at: datetime) -> None:
        run_at(at)
        contact.first_name = name
        contact.save()
        run_at(at)

    rename("Anna", NOON)
    rename("Annika", later(minutes=9))
    run_at(later(minutes=18))
    assert inside(pipeline) == []
    run_at(later(minutes=19))
    run = PipelineRun.objects.get(pipeline=pipeline)
    assert run.context.trigger["changes"] == {"first_name": ["Ann", "Annika"]}
    run_at(later(hours=2))
    assert inside(pipeline) == [contact.pk]


def test_a_deleted_record_is_told_to_a_pipeline_about_nothing(team: Team, run_at: Run) -> None:
    pipeline = listening(team, {"type": "deleted", "model": "contacts.contact"}, subject=None)
    ann(team).delete()
    run_at(NOON)
    assert PipelineRun.objects.get(pipeline=pipeline).context.trigger["record"]["email"] == "ann@example.org"


def test_a_trigger_that_cannot_be_worked_out_keeps_nobody_else_waiting(team: Team, run_at: Run) -> None:
    broken = listening(team, on("left", set={"n": "= 1 / trigger.zero"}), key="broken",
                       variables=[{"name": "n", "type": "number"}])  # fmt: skip
    good = listening(team, on("left"), key="good")
    contact = ann(team)
    publish_all([fact(contact, "left", zero=0)])
    run_at(NOON)
    assert (inside(broken), inside(good)) == ([], [contact.pk])
    assert reasons(broken)[0][0] == Decision.ERROR and reasons(broken)[0][1]


def test_a_batch_costs_the_same_for_one_event_and_for_two_hundred(team: Team, run_at: Run) -> None:
    listening(team, on("left", reentry="always"))
    contact = ann(team)
    publish_all([fact(contact, "left")])
    dispatch(now=NOON)
    most = 16 if connection.vendor == "postgresql" else 17
    for size in (1, 200):
        publish_all([fact(contact, "left", n=n) for n in range(size)])
        assert statements(lambda: dispatch(now=NOON)) <= most
