"""Steps that find, make and change records, and put them into segments and other pipelines."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contacts.models import Company, Contact, Deal, FieldDefinition, Record, RecordType, Segment, SegmentMembership
from crm.models import Task, Team
from pipelines.engine.tick import run_until_idle
from pipelines.models import Pipeline, PipelineRun, RunContext, StepExecution
from pipelines.operations import InvalidDocument
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.states import RunStatus
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, document, log
from tests.pipelines.engine.conftest import Run

PRODUCT = [
    {"key": "name", "type": "text", "required": True},
    {"key": "quantity", "type": "integer"},
    {"key": "minimum", "type": "integer"},
    {"key": "active", "type": "boolean"},
]


@pytest.fixture
def product(team: Team) -> RecordType:
    return RecordType.objects.create(team=team, key="product", label="Product", fields=PRODUCT)


def stock(team: Team, product: RecordType, *rows: tuple[str, int, int, bool]) -> list[Record]:
    return [
        Record.objects.create(
            team=team, type=product, values={"name": name, "quantity": have, "minimum": need, "active": active}
        )
        for name, have, need, active in rows
    ]


def found(team: Team, where: Any, *, model: str = "contacts.contact", **more: Any) -> StepExecution:
    """The visit of a step that looks for records, done for one new contact."""
    given = {"model": model, "where": where, **more}
    keep = {"type": "set_variable", "with": {"n": "= steps.find.count"}}
    active(
        team, [{"key": "find", "type": "find_records", "with": given}, keep],
        key="finder", variables=[{"name": "n", "type": "number"}],
        triggers=[{"type": "created", "model": "contacts.company", "automatic": True}], subject="contacts.company",
    )  # fmt: skip
    Company.objects.create(team=team, name="Acme", industry="Tea")
    run_until_idle(now=NOON)
    return StepExecution.objects.order_by("id")[0]


WHERE: list[tuple[Any, set[str]]] = [
    ({"field": "lead_source", "operator": "equals", "value": "web"}, {"a", "b"}),
    ({"field": "plan", "operator": "equals", "value": "pro"}, {"a"}),
    ({"field": "custom.seats", "operator": "greater_than", "value": 3}, {"b"}),
    ("custom.seats >= 3 and lead_source == 'web'", {"a", "b"}),
    ("custom.seats >= 3 or lead_source == 'fair'", {"a", "b", "c"}),
    ({"not": {"field": "lead_source", "operator": "equals", "value": "web"}}, {"c", "d"}),
    ({"field": "first_name", "operator": "in_list", "value": ["a", "d"]}, {"a", "d"}),
    ({"field": "lead_source", "operator": "equals", "value": "{{ company.industry }}"}, {"d"}),
    ("lead_source == subject.industry", {"d"}),
    ({"any": [{"field": "plan", "operator": "is_not_empty"}, "first_name == 'd'"]}, {"a", "d"}),
    ([{"field": "record.plan", "operator": "equals", "value": None}], {"b", "c", "d"}),
    ({"field": "first_name", "operator": "equals", "value": 5}, set()),
]


@pytest.mark.parametrize(("where", "names"), WHERE, ids=[str(where) for where, _ in WHERE])
def test_records_are_found_by_structured_conditions_and_by_expressions(
    team: Team, run_at: Run, where: Any, names: set[str]
) -> None:
    other = Team.objects.create(name="Other", slug="other")
    Contact.objects.create(team=team, first_name="a", lead_source="web", custom={"plan": "pro", "seats": 3})
    Contact.objects.create(team=team, first_name="b", lead_source="web", custom={"seats": 9})
    Contact.objects.create(team=team, first_name="c", lead_source="fair")
    Contact.objects.create(team=team, first_name="d", lead_source="Tea", custom={"seats": "many"})
    Contact.objects.create(team=other, first_name="d", lead_source="web", custom={"plan": "pro", "seats": 9})
    visit = found(team, where)
    assert visit.error is None
    ids = (visit.output or {})["ids"]
    assert set(Contact.objects.filter(pk__in=ids, team=team).values_list("first_name", flat=True)) == names
    assert len(ids) == len(names) == (visit.output or {})["count"]


def test_what_is_written_in_a_record_is_never_worked_out_again(team: Team, run_at: Run) -> None:
    Contact.objects.create(team=team, first_name="x", lead_source="= 1 + 1")
    given = {
        "model": "contacts.contact",
        "where": {"field": "lead_source", "operator": "equals", "value": "{{ company.industry }}"},
    }
    active(team, [{"key": "find", "type": "find_records", "with": given}], key="f", subject="contacts.company",
           triggers=[{"type": "created", "model": "contacts.company", "automatic": True}])  # fmt: skip
    Company.objects.create(team=team, name="Acme", industry="= 1 + 1")
    run_at(NOON)
    assert (StepExecution.objects.get().output or {})["count"] == 1


def test_a_search_has_an_order_and_a_limit(team: Team, run_at: Run, product: RecordType) -> None:
    rows = stock(team, product, ("a", 5, 1, True), ("b", 9, 1, True), ("c", 7, 1, True), ("d", 1, 1, False))
    visit = found(team, "active", model="records.product", order="-quantity", limit=2)
    assert (visit.output or {})["ids"] == [rows[1].pk, rows[2].pk]


def test_runs_that_look_for_the_same_look_once(team: Team, run_at: Run, product: RecordType) -> None:
    stock(team, product, ("a", 5, 1, True))
    where = {"field": "active", "operator": "is_true"}
    active(team, [{"key": "find", "type": "find_records", "with": {"model": "records.product", "where": where}}])
    for number in range(20):
        Contact.objects.create(team=team, first_name=f"c{number}")
    with CaptureQueriesContext(connection) as queries:
        run_at(NOON)
    searches = [query["sql"] for query in queries if query["sql"].startswith('SELECT "contacts_record"')]
    assert len(searches) == 1 and StepExecution.objects.filter(outcome="next").count() == 20


def test_a_record_made_by_a_step_is_found_by_the_next_and_can_be_changed(
    team: Team, run_at: Run, product: RecordType
) -> None:
    values = {"name": "{{ contact.first_name }}", "quantity": "= 2 + 3"}
    active(
        team,
        [
            {"key": "make", "type": "create_record", "with": {"model": "records.product", "values": values}},
            {"key": "find", "type": "find_records", "with": {"model": "records.product", "where": "quantity == 5"}},
            {"key": "mark", "type": "update_record",
             "with": {"record": "{{ steps.find.records[0] }}", "values": {"active": True}}},
            {"key": "more", "type": "update_record",
             "with": {"record": "{{ steps.make.id }}", "model": "records.product", "values": {"minimum": "7"}}},
        ],
    )  # fmt: skip
    for name in ("Ann", "Bo"):
        Contact.objects.create(team=team, first_name=name)
    run_at(NOON)
    assert {run.status for run in PipelineRun.objects.all()} == {RunStatus.COMPLETED}
    assert sorted(row.values["name"] for row in Record.objects.all()) == ["Ann", "Bo"]
    assert all(row.values["minimum"] == 7 and row.values["quantity"] == 5 for row in Record.objects.all())
    assert Record.objects.order_by("-pk")[0].values["active"] is True


def test_contacts_companies_deals_and_tasks_are_made(team: Team, run_at: Run) -> None:
    active(
        team,
        [
            {"key": "firm", "type": "create_record",
             "with": {"model": "contacts.company", "values": {"name": "{{ contact.first_name }} Ltd"}}},
            {"key": "deal", "type": "create_record",
             "with": {"model": "contacts.deal", "values": {
                 "title": "First order", "company": "{{ steps.firm.id }}", "contact": "{{ contact }}",
                 "amount": "120.50", "note": "from a pipeline"}}},
            {"key": "task", "type": "create_record", "with": {"model": "crm.task", "values": {"title": "Call"}}},
        ],
    )  # fmt: skip
    ann = Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    deal = Deal.objects.get()
    assert deal.company is not None and deal.company.name == "Ann Ltd" and deal.company.team == team
    assert (deal.contact, str(deal.amount), deal.custom) == (ann, "120.50", {"note": "from a pipeline"})
    assert Task.objects.get().title == "Call"
    outputs = [row.output or {} for row in StepExecution.objects.exclude(outcome=None)]
    made = {output["id"] for output in outputs if "id" in output}
    assert made == {deal.pk, deal.company.pk}


@pytest.mark.parametrize(
    ("given", "held"),
    [(0.1, "0.10"), (19.99, "19.99"), ("= 0.1 + 0.2", "0.30"), ("= 100 / 3", "33.33"), ("= 1 / 8", "0.13"),
     ("= deal.amount * 0.9", "17.99")],
)  # fmt: skip
def test_numbers_that_were_reckoned_are_rounded_to_what_the_column_holds(
    team: Team, run_at: Run, given: Any, held: str
) -> None:
    auto = {"type": "created", "model": "contacts.deal", "automatic": True}
    step = {"type": "update_record", "with": {"values": {"amount": given}}}
    active(team, [step], subject="contacts.deal", triggers=[auto])
    deal = Deal.objects.create(team=team, title="First", amount="19.99")
    run_at(NOON)
    deal.refresh_from_db()
    assert str(deal.amount) == held


def test_a_record_that_a_step_makes_enters_its_automatic_pipelines_and_circles_end(team: Team, run_at: Run) -> None:
    values = {"first_name": "Again"}
    active(team, [{"type": "create_record", "with": {"model": "contacts.contact", "values": values}}])
    Contact.objects.create(team=team, first_name="First")
    run_at(NOON)
    assert Contact.objects.count() == 10 and PipelineRun.objects.count() == 9


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ({"model": "records.product", "values": {"quantity": 1}}, "name: A value is needed."),
        ({"model": "contacts.contact", "values": {"first_name": "{{ contact.last_name }}"}}, "needs first_name or"),
        ({"model": "contacts.deal", "values": {"title": "x", "company": 99_999}}, "company: there is no such record"),
        ({"model": "contacts.deal", "values": {"title": "x", "stage": "{{ 'lost in space' }}"}}, "stage"),
    ],
    ids=["missing value", "nameless", "stranger", "choice"],
)
def test_a_record_that_cannot_be_made_fails_its_step_with_a_sentence(
    team: Team, run_at: Run, product: RecordType, step: dict[str, Any], sentence: str
) -> None:
    active(team, [{"type": "create_record", "with": step}])
    run = PipelineRun.objects.filter(subject_id=Contact.objects.create(team=team, first_name="Ann").pk).get()
    run_at(NOON)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED and sentence in (StepExecution.objects.get().error or "")
    assert not Record.objects.exists() and not Deal.objects.exists()


def define(team: Team, model: str = "contacts.contact") -> None:
    for key, type_ in {"seats": "integer", "vip": "boolean", "plan": "text"}.items():
        needed = key == "plan"
        FieldDefinition.objects.create(team=team, model=model, key=key, label=key, type=type_, required=needed)


HELD: list[tuple[dict[str, Any], dict[str, Any] | str]] = [
    ({"seats": "12", "custom.vip": "true", "note": "free"}, {"seats": 12, "vip": True, "note": "free"}),
    ({"seats": "= 4 + 3"}, {"seats": 7}),
    ({"seats": "{{ contact.first_name }}"}, "seats: This is not a number."),
    ({"vip": 5, "lead_source": "web"}, "vip: Use true or false."),
    ({"plan": None}, "plan: A value is needed."),
]


@pytest.mark.parametrize(("values", "held"), HELD, ids=[str(values) for values, _ in HELD])
def test_what_a_step_writes_into_defined_fields_is_held_to_them_as_in_a_simulation(
    team: Team, run_at: Run, values: dict[str, Any], held: dict[str, Any] | str
) -> None:
    define(team)
    define(team, "contacts.company")
    steps = [
        {"key": "mark", "type": "update_record", "with": {"values": values}},
        {"key": "make", "type": "create_record", "with": {
            "model": "contacts.company", "values": {"name": "Acme", "seats": "= contact.seats", "vip": "false"}}},
    ]  # fmt: skip
    active(team, steps, key="held")
    ann = Contact.objects.create(team=team, first_name="Ann")
    scenario = scenario_of({"subject": ann.pk}, now=NOON)
    told = simulate(team=team, document=document(steps, triggers=[]), scenario=scenario)
    run_at(NOON)
    ann.refresh_from_db()
    run = PipelineRun.objects.get()
    assert told["status"] == run.get_status_display() == ("failed" if isinstance(held, str) else "completed")
    if isinstance(held, str):
        assert StepExecution.objects.get().error == told["steps"][0]["error"] == held
        assert ann.custom == {} and ann.lead_source == "" and not Company.objects.exists()
    else:
        assert ann.custom == held
        assert Company.objects.get().custom == {"seats": held["seats"], "vip": False}


def test_what_is_personal_does_not_stand_in_the_log_of_a_run(team: Team, run_at: Run) -> None:
    define(team)
    FieldDefinition.objects.filter(key="seats").update(personal=True)
    kind = [{"key": "name", "type": "text", "personal": True}, {"key": "size", "type": "integer"}]
    RecordType.objects.create(team=team, key="guest", label="Guest", fields=kind)
    steps = [
        {"key": "mark", "type": "update_record", "with": {"values": {"seats": "3", "custom.vip": True}}},
        {"key": "make", "type": "create_record",
         "with": {"model": "records.guest", "values": {"name": "Ann", "size": 2}}},
        {"key": "note", "type": "update_record", "with": {"values": {"lead_source": "= steps.mark.seats"}}},
    ]  # fmt: skip
    active(team, steps)
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    mark, make, _ = StepExecution.objects.order_by("id")
    assert mark.output == {"seats": "…", "custom.vip": True}
    assert (make.output or {})["name"] == "…" and (make.output or {})["size"] == 2
    assert Contact.objects.get().custom == {"seats": 3, "vip": True} and Contact.objects.get().lead_source == "3"
    assert Record.objects.get().values["name"] == "Ann"


def test_what_is_personal_stands_neither_beside_an_error_nor_in_reasons_nor_on_the_page(
    team: Team, run_at: Run, admin_client: Client
) -> None:
    define(team)
    FieldDefinition.objects.filter(key="seats").update(personal=True)
    kind = [{"key": "pet", "type": "text", "personal": True}, {"key": "size", "type": "integer"}]
    RecordType.objects.create(team=team, key="guest", label="Guest", fields=kind)
    steps = [
        {"key": "judge", "type": "condition", "if": {"field": "contact.seats", "operator": "less_than", "value": 7}},
        {"key": "make", "type": "create_record",
         "with": {"model": "records.guest", "values": {"pet": "Minnie", "size": 2}}},
        {"key": "mark", "type": "update_record", "with": {"values": {"seats": "= steps.make.size + 98763"}},
         "set": {"total": "= contact.hat"}},
        {"key": "note", "type": "update_record", "with": {"values": {"lead_source": "= steps.make.pet"}}},
    ]  # fmt: skip
    active(team, steps, variables=[{"name": "total", "type": "number"}])
    Contact.objects.create(team=team, first_name="Ann", custom={"seats": -4711, "hat": "wool"})
    run_at(NOON)
    judge, _, mark = StepExecution.objects.order_by("id")
    assert (judge.why or [])[0]["actual"] == "…" and (judge.why or [])[0]["met"]
    assert (mark.output or {})["seats"] == "…" and "total" in (mark.output or {})["error"]["message"]
    assert RunContext.objects.get().outputs["make"]["pet"] == "Minnie"
    # As logs are that were written before the field was marked.
    StepExecution.objects.filter(pk=judge.pk).update(why=[{**(judge.why or [])[0], "actual": -4711}])
    StepExecution.objects.filter(pk=mark.pk).update(output={**(mark.output or {}), "seats": 98765})
    run = PipelineRun.objects.get()
    page = admin_client.get(f"/admin/pipelines/pipelinerun/{run.pk}/change/").content.decode()
    api = Api(team)
    told = page + api.get(f"pipeline-runs/{run.pk}/").content.decode() + api.get("logs/").content.decode()
    assert "size" in page and not any(word in told for word in ("Minnie", "4711", "98765"))


def test_why_somebody_did_not_enter_is_told_without_what_is_personal(
    team: Team, run_at: Run, admin_client: Client
) -> None:
    define(team)
    FieldDefinition.objects.filter(key="seats").update(personal=True)
    auto = {"type": "created", "model": "contacts.contact", "automatic": True}
    clauses = [{"field": "contact.seats", "operator": "equals", "value": 98765},
               {"field": "contact.first_name", "operator": "equals", "value": "Bea"}]  # fmt: skip
    active(team, [{"type": "wait"}], triggers=[{**auto, "where": {"any": clauses}}])
    ann = Contact.objects.create(team=team, first_name="Ann", custom={"seats": 4711})
    run_at(NOON)
    api = Api(team)
    [decision] = api.get("enrollment-decisions/").json()["results"]
    assert [(each["expected"], each["actual"]) for each in decision["why"]] == [("…", "…"), ("Bea", "Ann")]
    about = {"subject": {"type": "contacts.contact", "id": ann.pk}}
    pages = [
        api.post("triggers/test/", about),
        api.get(f"contacts/{ann.pk}/explain/"),
        admin_client.get("/admin/pipelines/enrollmentdecision/"),
        admin_client.get(f"/admin/pipelines/pipeline/{Pipeline.objects.get().pk}/ways-in/"),
        admin_client.get(f"/admin/pipelines/enrollmentdecision/{decision['id']}/change/"),
    ]
    for page in pages:
        told = page.content.decode()
        assert "Ann" in told and "Bea" in told and "98765" not in told and "4711" not in told


def test_runs_that_write_defined_fields_read_the_definitions_once(team: Team, run_at: Run) -> None:
    define(team)
    active(team, [{"type": "update_record", "with": {"values": {"seats": "3"}}}])
    contacts = [Contact.objects.create(team=team, first_name=f"C{number}") for number in range(30)]
    with CaptureQueriesContext(connection) as queries:
        run_at(NOON)
    assert sum("contacts_fielddefinition" in query["sql"] for query in queries) == 1
    assert Contact.objects.filter(custom__seats=3).count() == len(contacts)


def test_nobody_reaches_the_records_of_another_team(team: Team, run_at: Run, product: RecordType) -> None:
    other = Team.objects.create(name="Other", slug="other")
    theirs = RecordType.objects.create(team=other, key="product", label="Product", fields=PRODUCT)
    record = stock(other, theirs, ("x", 1, 1, True))[0]
    step = {"record": record.pk, "model": "records.product", "values": {"name": "stolen"}}
    active(team, [{"type": "update_record", "with": step}, {"type": "wait"}])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    record.refresh_from_db()
    assert record.values["name"] == "x"
    assert PipelineRun.objects.get().status == RunStatus.FAILED


def test_steps_make_segments_fill_and_empty_them(team: Team, run_at: Run) -> None:
    Segment.objects.create(team=team, key="new", name="New ones")
    active(
        team,
        [
            {"type": "create_segment", "with": {"segment": "hot"}},
            {"type": "add_to_segment", "with": {"segment": "hot"}},
            {"type": "add_to_segment", "with": {"segment": "new"}},
            {"type": "wait", "delay": "1d"},
            {"type": "remove_from_segment", "with": {"segment": "new"}},
        ],
    )
    people = [Contact.objects.create(team=team, first_name=f"c{number}") for number in range(3)]
    run_at(NOON)
    assert set(Segment.objects.values_list("key", "name")) == {("hot", "Hot"), ("new", "New ones")}
    rows = SegmentMembership.objects.order_by("pk").values_list("segment__key", "subject_id", "run_id")
    assert {row[:2] for row in rows} == {(key, person.pk) for key in ("hot", "new") for person in people}
    assert all(run for _, _, run in rows)
    run_at(NOON.replace(day=3))
    assert {row.segment.key for row in SegmentMembership.objects.all()} == {"hot"}


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ({"type": "add_to_segment", "with": {"segment": "unknown"}}, "steps[0].with.segment"),
        ({"type": "add_to_segment", "with": {"segment": "{{ contact.first_name }}"}}, "steps[0].with.segment"),
        ({"type": "find_records", "with": {"model": "records.unknown"}}, "steps[0].with.model"),
        ({"type": "find_records", "with": {"model": "auth.user"}}, "steps[0].with.model"),
        ({"type": "find_records", "with": {"model": "contacts.deal", "limit": 501}}, "steps[0].with.limit"),
        ({"type": "create_record", "with": {"model": "{{ contact.custom.x }}", "values": {"a": 1}}},
         "steps[0].with.model"),
        ({"type": "enroll", "with": {"pipeline": "unknown"}}, "steps[0].with.pipeline"),
    ],
)  # fmt: skip
def test_what_the_team_does_not_have_is_a_problem_of_the_document(team: Team, step: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        active(team, [step])
    assert path in [problem.path for problem in refused.value.problems]


def test_a_subject_enters_another_pipeline_and_leaves_it(team: Team, run_at: Run) -> None:
    active(team, [{"type": "wait", "delay": "30d"}], key="nurture", triggers=[{"type": "manual"}],
           variables=[{"name": "why", "type": "string"}])  # fmt: skip
    active(
        team,
        [
            {"type": "enroll", "with": {"pipeline": "nurture", "variables": {"why": "{{ contact.lead_source }}"}}},
            {"type": "wait", "delay": "1d"},
            {"type": "unenroll", "with": {"pipeline": "nurture"}},
        ],
    )
    people = [
        Contact.objects.create(team=team, first_name="x", lead_source=source) for source in ("web", "fair", "web")
    ]
    run_at(NOON)
    inside = PipelineRun.objects.filter(pipeline__key="nurture")
    assert sorted((run.subject_id, run.context.vars["why"]) for run in inside) == sorted(
        (person.pk, person.lead_source) for person in people
    )
    assert {run.depth for run in inside} == {1}
    run_at(NOON.replace(day=3))
    assert {(run.status, run.reason) for run in inside.all()} == {(RunStatus.CANCELLED, "unenrolled")}


def test_a_pipeline_that_takes_nobody_fails_the_step_with_a_sentence(team: Team, run_at: Run) -> None:
    draft = active(team, [{"type": "wait"}], key="nurture", triggers=[{"type": "manual"}])
    active(team, [{"type": "enroll", "with": {"pipeline": "nurture"}}])
    type(draft).objects.filter(pk=draft.pk).update(status=type(draft).Status.PAUSED)
    run = PipelineRun.objects.filter(subject_id=Contact.objects.create(team=team, first_name="x").pk).get()
    run_at(NOON)
    assert log(run)[-1][1:] == ("failed", "error")
    assert "is not active" in (StepExecution.objects.get(run_id=run.pk).error or "")
