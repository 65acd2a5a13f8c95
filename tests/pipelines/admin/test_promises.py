"""Promises are kept, played, edited and removed on the page that tries a pipeline out."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from contacts.models import Company, Contact, Deal, FieldDefinition, Record, RecordType
from crm.models import AuditEntry, Member, Team
from pipelines.documents import document_of
from pipelines.models import Pipeline
from pipelines.operations import import_document, publish
from pipelines.simulation.expect import unmet
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import form_of, text_of
from tests.pipelines.engine.building import document, email

STEPS = [
    {"key": "hello", **email("Hello {{ contact.first_name }}", subject="Hi {{ contact.first_name }}")},
    {"key": "check", "type": "condition", "delay": "1d", "if": "contact.lifecycle_stage == 'customer'",
     "on": {"true": "thank", "false": "end"}},
    {"key": "thank", **email("Thanks", subject="Thanks, {{ contact.plan }}")},
]  # fmt: skip
ANN = {"first_name": "Ann", "email": "ann@example.org", "lifecycle_stage": "customer", "plan": "gold"}
MONDAY = "2027-03-01T09:00:00+00:00"


@pytest.fixture
def thanking(team: Team) -> Pipeline:
    return import_document(team=team, document=document(STEPS))


def address(pipeline: Pipeline, below: str = "") -> str:
    return f"/admin/pipelines/pipeline/{pipeline.pk}/simulate/{below}"


def played(client: Client, pipeline: Pipeline, **story: Any) -> dict[str, str]:
    """The form that keeps what was just shown."""
    asked = {"who": "sample", "start": MONDAY, "sample": json.dumps(ANN), **story}
    return form_of(client.get(address(pipeline), asked), "keep")


def keep(client: Client, pipeline: Pipeline, name: str = "A customer is thanked", **story: Any) -> Any:
    values = {**played(client, pipeline, **story), "name": name}
    return client.post(address(pipeline, "promises/keep/"), values, follow=True)


def promises(pipeline: Pipeline) -> list[Any]:
    return list((document_of(Pipeline.objects.get(pk=pipeline.pk)).get("meta") or {}).get("expect", []))


def links(client: Client, pipeline: Pipeline, what: str) -> list[str]:
    html = client.get(address(pipeline)).content.decode()
    return [part.partition('"')[0] for part in html.split('href="') if part.partition('"')[0].endswith(f"/{what}/")]


def test_what_a_simulation_showed_is_kept_as_a_story_and_what_came_of_it(manager: Client, thanking: Pipeline) -> None:
    told = text_of(keep(manager, thanking))
    assert "“A customer is thanked” is a promise now." in told
    (promise,) = promises(thanking)
    assert promise == {
        "name": "A customer is thanked",
        "given": {"start": "2027-03-01T09:00:00Z", "subject": ANN},
        "then": [
            {"step": "hello", "at": 0},
            {"step": "check", "outcome": "true", "at": "1d"},
            {"step": "thank", "at": "1d"},
            {"message": "hello", "subject": "Hi Ann", "state": "sent", "at": 0},
            {"message": "thank", "subject": "Thanks, gold", "state": "sent", "at": "1d"},
            {"status": "completed", "reason": "end"},
        ],
    }
    assert unmet(document_of(Pipeline.objects.get()), thanking.team) == []
    entry = AuditEntry.objects.get(action="pipeline.keep_promise")
    assert entry.actor is not None and entry.details["promise"] == "A customer is thanked"


def test_a_promise_that_was_kept_keeps_a_later_edit_from_being_published(manager: Client, thanking: Pipeline) -> None:
    keep(manager, thanking)
    publish(pipeline=Pipeline.objects.get())
    page = f"/admin/pipelines/pipeline/{thanking.pk}/change/"
    values = {**form_of(manager.get(page)), "steps-1-delay_text": "2d", "_continue": "1"}
    assert "Saved, not published" in text_of(manager.post(page, values, follow=True))
    told = text_of(manager.get(address(thanking), {"who": "expect"}))
    assert "broken" in told and "check comes 2 days after the start" in told


def test_keeping_a_promise_publishes_nothing_and_says_that_it_waits(manager: Client, team: Team) -> None:
    live = import_document(team=team, document=document(STEPS), activate=True)
    assert "It stands in the draft until you publish." in text_of(keep(manager, live))
    assert live.versions.count() == 1 and len(promises(live)) == 1


def test_days_and_hours_hold_because_the_start_is_written_out(manager: Client, thanking: Pipeline) -> None:
    keep(manager, thanking, start="")
    start = promises(thanking)[0]["given"]["start"]
    assert start.endswith("Z") and abs(datetime.fromisoformat(start) - datetime.now(UTC)) < timedelta(minutes=10)


def test_a_real_person_becomes_a_sample_of_what_the_pipeline_reads(
    manager: Client, team: Team, thanking: Pipeline
) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="plan", label="Plan", personal=True)
    company = Company.objects.create(team=team, name="Secret Ltd")
    ann = Contact.objects.create(
        team=team, first_name="Ann", last_name="Berg", email="ann@private.example", phone="+4930123", company=company,
        lifecycle_stage="customer", job_title="Baker", custom={"plan": "hidden-plan", "unread": "never"},
    )  # fmt: skip
    told = text_of(keep(manager, thanking, who="record", record=str(ann.pk), start=MONDAY))
    assert "Its sample has lifecycle_stage of the record" in told and "marked as personal are left out" in told
    (promise,) = promises(thanking)
    assert promise["given"]["subject"]["lifecycle_stage"] == "customer"
    assert promise["given"]["subject"]["email"] == "sam@example.com"
    text = json.dumps(promise)
    for secret in ("Ann", "Berg", "private.example", "4930123", "Secret", "hidden-plan", "never", "Baker"):
        assert secret not in text
    assert "id" not in promise["given"]["subject"] and promise["then"][-1]["status"] == "completed"
    assert unmet(document_of(Pipeline.objects.get()), team) == []


def test_a_deal_and_a_record_of_an_own_type_are_taken_over_as_well(manager: Client, team: Team) -> None:
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@private.example")
    deal = Deal.objects.create(team=team, title="Secret roof", amount=700, contact=ann)
    large = {"key": "large", "type": "condition", "if": "deal.amount > 500 and deal.contact.email != ''",
             "on": {"true": "end", "false": "end"}}  # fmt: skip
    about = {"subject": "contacts.deal", "triggers": []}
    deals = import_document(team=team, document=document([large], key="deals", **about))
    assert "is a promise now" in text_of(keep(manager, deals, who="record", record=str(deal.pk)))
    fields = [
        {"key": "stock", "label": "Stock", "type": "integer"},
        {"key": "maker", "label": "Maker", "type": "text", "personal": True, "required": True},
    ]
    kind = RecordType.objects.create(team=team, key="product", label="Product", fields=fields)
    lamp = Record.objects.create(team=team, type=kind, values={"stock": 3, "maker": "Secret person"})
    low = {"key": "low", "type": "condition", "if": "product.stock < 5 and product.maker != ''",
           "on": {"true": "end", "false": "end"}}  # fmt: skip
    products = import_document(
        team=team, document=document([low], key="products", subject="records.product", triggers=[])
    )
    assert "is a promise now" in text_of(keep(manager, products, who="record", record=str(lamp.pk)))
    assert promises(deals)[0]["then"][0]["outcome"] == promises(products)[0]["then"][0]["outcome"] == "true"
    assert promises(products)[0]["given"]["subject"]["stock"] == 3
    for secret in ("Secret", "private.example"):
        assert secret not in json.dumps([promises(deals), promises(products)])


def test_an_owner_is_taken_over_with_a_manager_made_up_where_the_pipeline_reads_of_one(
    manager: Client, team: Team
) -> None:
    eve, max_ = (User.objects.create_user(name, f"{name}@private.example") for name in ("eve", "max"))
    Member.objects.create(team=team, user=eve, manager=Member.objects.create(team=team, user=max_))
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@private.example", owner=eve)
    ask = {"key": "ask", "type": "condition", "if": "contact.owner.manager.email != null",
           "on": {"true": "end", "false": "end"}}  # fmt: skip
    pipeline = import_document(team=team, document=document([ask]))
    keep(manager, pipeline, who="record", record=str(ann.pk))
    (promise,) = promises(pipeline)
    assert promise["given"]["subject"]["owner"]["manager"]["email"] == "manager@example.com"
    assert promise["then"][0]["outcome"] == "true" and "private.example" not in json.dumps(promise)
    Contact.objects.update(owner=max_)
    keep(manager, pipeline, "Nobody above", who="record", record=str(ann.pk))
    assert "manager" not in promises(pipeline)[1]["given"]["subject"]["owner"]
    assert promises(pipeline)[1]["then"][0]["outcome"] == "false"


def test_a_name_that_several_have_is_no_record_to_keep_a_promise_for(
    manager: Client, team: Team, thanking: Pipeline
) -> None:
    for name in ("Berg", "Baum"):
        Contact.objects.create(team=team, first_name="Ann", last_name=name)
    ann = str(Contact.objects.latest("pk").pk)
    values = {**played(manager, thanking, who="record", record=ann), "name": "Two", "record": "Ann"}
    told = text_of(manager.post(address(thanking, "promises/keep/"), values, follow=True))
    assert "several records are meant" in told
    assert promises(thanking) == []


def test_what_ways_in_read_is_taken_over_from_a_real_person(manager: Client, team: Team) -> None:
    by_hand = {"type": "manual", "key": "hand", "set": {"job": "{{ contact.job_title }}"},
               "reentry": {"key": "{{ contact.lifecycle_stage }}"}}  # fmt: skip
    greeting = import_document(
        team=team, document=document(STEPS[:1], triggers=[by_hand], variables=[{"name": "job", "type": "string"}])
    )
    ann = Contact.objects.create(team=team, first_name="Ann", job_title="Baker", lifecycle_stage="customer")
    keep(manager, greeting, who="record", record=str(ann.pk), start=MONDAY)
    (promise,) = promises(greeting)
    assert promise["given"]["subject"]["job_title"] == "Baker"
    assert promise["given"]["subject"]["lifecycle_stage"] == "customer"


def test_who_goes_another_way_as_a_sample_is_told_of(manager: Client, team: Team) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="plan", label="Plan", personal=True)
    check = {"key": "check", "type": "condition", "if": "contact.plan == 'gold'", "on": {"true": "end", "false": "end"}}
    pipeline = import_document(team=team, document=document([check, email(key="bye")]))
    ann = Contact.objects.create(team=team, email="ann@private.example", custom={"plan": "gold"})
    assert "another way than what you saw" in text_of(keep(manager, pipeline, who="record", record=str(ann.pk)))


def test_of_several_messages_of_one_step_each_is_promised(manager: Client, team: Team) -> None:
    inner = [{"key": "note", **email("No. {{ item }}", subject="No. {{ item }}")}]
    loop = {"key": "each", "type": "loop", "with": {"over": [1, 2], "steps": inner}}
    pipeline = import_document(team=team, document=document([loop]))
    keep(manager, pipeline)
    then = [each for each in promises(pipeline)[0]["then"] if "message" in each]
    assert [(each["subject"], each.get("visit")) for each in then] == [("No. 1", None), ("No. 2", 2)]
    assert unmet(document_of(Pipeline.objects.get()), team) == []


def test_times_of_more_than_a_week_are_promised_in_weeks_and_hold(manager: Client, team: Team) -> None:
    later = {"key": "later", "delay": "7d", **email(key="later")}
    last = {"key": "last", "delay": "36h30m", **email(key="last")}
    pipeline = import_document(team=team, document=document([later, last]))
    keep(manager, pipeline)
    then = [each["at"] for each in promises(pipeline)[0]["then"] if "step" in each]
    assert then == ["1w", "1w1d12h30m"]
    assert unmet(document_of(Pipeline.objects.get()), team) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [("", "Give the promise a name"), ("Twice", "There is a promise “Twice” already"), ("x" * 121, "at most 120")],
    ids=["empty", "taken", "long"],
)
def test_a_promise_without_a_name_of_its_own_is_not_kept_and_the_story_stays(
    manager: Client, thanking: Pipeline, name: str, told: str
) -> None:
    keep(manager, thanking, "Twice")
    answer = keep(manager, thanking, name)
    assert told in text_of(answer) and "Hi Ann" in answer.content.decode() and len(promises(thanking)) == 1
    assert form_of(answer, "keep")["name"] == name


def test_there_is_a_list_in_words_and_an_empty_one_says_what_promises_are_for(
    manager: Client, thanking: Pipeline
) -> None:
    assert "Nothing is promised yet" in text_of(manager.get(address(thanking)))
    keep(manager, thanking)
    told = text_of(manager.get(address(thanking)))
    sample = "A sample with email ann@example.org, first_name Ann, lifecycle_stage customer, plan gold;"
    assert f"{sample} begins Mon 1 Mar 2027, 09:00 UTC." in told
    assert "is reached after 1 day, with “true”." in told and "sends “Thanks, gold” after 1 day." in told
    assert "It ends completed" in told


def test_one_promise_is_played_or_all(manager: Client, team: Team) -> None:
    stories = [
        {"name": "Good", "given": {}, "then": [{"status": "completed"}]},
        {"name": "Bad", "given": {}, "then": [{"status": "failed"}]},
        {"name": "Odd", "given": {"wishes": 1}, "then": []},
    ]
    pipeline = import_document(team=team, document=document([email()], meta={"expect": stories}))
    told = text_of(manager.get(address(pipeline), {"who": "expect"}))
    assert "the status of the run is 'completed', not 'failed'" in told and "meta.expect[2].given.wishes" in told
    html = manager.get(address(pipeline)).content.decode()
    plays = [part.partition('"')[0] for part in html.split("&amp;only=")[1:]]
    told = text_of(manager.get(address(pipeline), {"who": "expect", "only": plays[0]}))
    assert "the status of the run is 'completed'" in told and "not 'failed'" not in told


def test_a_promise_is_edited_as_json_and_played_before_it_is_saved(manager: Client, thanking: Pipeline) -> None:
    keep(manager, thanking)
    (page,) = links(manager, thanking, "edit")
    promise = json.loads(form_of(manager.get(page), "promise_form")["promise"])
    promise["then"] = [{"step": "thank", "at": "2d"}]
    told = text_of(manager.post(page, {"promise": json.dumps(promise)}, follow=True))
    assert "was saved" in told and "It is not as promised yet: thank comes 1 day after the start" in told
    assert promises(thanking)[0]["then"] == [{"step": "thank", "at": "2d"}]
    assert AuditEntry.objects.filter(action="pipeline.change_promise").count() == 1


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"then": [{"step": "hello", "colour": 1}]}, "then[0].colour"),
        ({"given": {"start": "soon"}}, "given.start"),
        ({"else": 1}, "else"),
        ({"then": [{"condition": "email == 'x'"}]}, "then[0].condition"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_not_saved_and_nothing_typed_is_lost(
    manager: Client, thanking: Pipeline, change: dict[str, Any], place: str
) -> None:
    keep(manager, thanking)
    before = promises(thanking)
    (page,) = links(manager, thanking, "edit")
    typed = json.dumps({**before[0], **change})
    answer = manager.post(page, {"promise": typed})
    assert place in text_of(answer) and f"meta.expect[0].{place}" in answer.content.decode()
    assert json.loads(_typed(answer)) == json.loads(typed) and promises(thanking) == before
    answer = manager.post(page, {"promise": '{"name":'})
    assert "Not valid JSON" in text_of(answer) and _typed(answer) == '{"name":'


def _typed(answer: Any) -> str:
    return form_of(answer, "promise_form")["promise"].strip()


def test_a_promise_that_somebody_else_changed_meanwhile_is_not_written_over(
    manager: Client, thanking: Pipeline
) -> None:
    keep(manager, thanking)
    (page,) = links(manager, thanking, "edit")
    values = form_of(manager.get(page), "promise_form")
    changed = {**promises(thanking)[0], "then": []}
    manager.post(page, {"promise": json.dumps(changed)})
    answer = manager.post(page, values)
    assert "meanwhile" in text_of(answer) and _typed(answer) and promises(thanking) == [changed]


def test_a_promise_is_removed_after_a_question(manager: Client, thanking: Pipeline) -> None:
    keep(manager, thanking)
    keep(manager, thanking, "Another")
    page = links(manager, thanking, "remove")[0]
    assert "Remove the promise “A customer is thanked”?" in text_of(manager.get(page)) and len(promises(thanking)) == 2
    assert "is no promise any more" in text_of(manager.post(page, follow=True))
    assert [each["name"] for each in promises(thanking)] == ["Another"]
    assert AuditEntry.objects.filter(action="pipeline.remove_promise").count() == 1
    assert manager.post(page).status_code == 404


def test_only_who_may_change_the_pipeline_writes_promises(sign_in: SignIn, manager: Client, thanking: Pipeline) -> None:
    keep(manager, thanking)
    values = {**played(manager, thanking), "name": "Mine"}
    pages = [
        address(thanking, "promises/keep/"),
        *links(manager, thanking, "edit"),
        *links(manager, thanking, "remove"),
    ]
    member = sign_in("member")
    html = member.get(address(thanking), {"who": "sample"}).content.decode()
    assert "A customer is thanked" in html and "Keep as a promise" not in html and "/edit/" not in html
    other = sign_in("manager", of=Team.objects.create(name="Other", slug="other"))
    before = promises(thanking)
    for page in pages:
        assert member.post(page, values).status_code == 403
        assert other.post(page, values).status_code == 404
        assert Client().post(page, values).status_code == 302
    assert manager.get(pages[0], values).status_code == 302 and promises(thanking) == before


def test_an_archived_pipeline_promises_nothing_new(manager: Client, thanking: Pipeline) -> None:
    values = {**played(manager, thanking), "name": "Late"}
    Pipeline.objects.update(status=Pipeline.Status.ARCHIVED)
    assert manager.post(address(thanking, "promises/keep/"), values).status_code == 403
    assert promises(thanking) == []
