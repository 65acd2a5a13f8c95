"""What pipelines and colleagues write while a page is open stays when the page is saved."""

import json
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contacts.models import Company, Contact, Deal, FieldDefinition, Record, RecordType
from crm.models import AuditEntry, Team
from pipelines.engine.enroll import enroll
from pipelines.engine.tick import process_due_runs
from tests.contacts.conftest import SignIn
from tests.pipelines.engine.building import active

OWN = [{"key": key, "label": key.title(), "type": "integer"} for key in ("shoe", "hat", "glove")]
KINDS: list[Any] = [
    (Contact, {"first_name": "Ann", "job_title": "Boss"}, "job_title", {"lifecycle_stage": "customer"}),
    (Company, {"name": "Acme", "address": "Rome\nItaly", "phone": "1"}, "phone", {"industry": "Tea"}),
    (Deal, {"title": "Tea", "amount": "1200.50", "expected_close": "2027-05-01"}, "title", {"stage": "won"}),
]


def page_of(row: Any) -> str:
    return f"/admin/contacts/{row._meta.model_name}/{row.pk}/change/"


def opened(client: Client, row: Any) -> dict[str, Any]:
    """What a browser holds of the page, and would send back."""
    page = client.get(page_of(row))
    form = page.context["adminform"].form
    assert b'name="shown"' in page.content
    values = {name: form[name].value() for name in form.fields}
    for name, value in dict(values).items():
        if name == "last_interaction":
            values |= {"last_interaction_0": "", "last_interaction_1": ""}
        elif isinstance(value, str):
            values[name] = value.replace("\n", "\r\n")
    return {name: "" if value is None else value for name, value in values.items()}


def saved(client: Client, row: Any, typed: dict[str, Any]) -> list[str]:
    """Save, and answer what the page warns of."""
    answer = client.post(page_of(row), typed)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    row.refresh_from_db()
    return [str(each) for each in get_messages(answer.wsgi_request) if each.level_tag == "warning"]


@pytest.mark.parametrize(("model", "values", "ours", "theirs"), KINDS)
def test_only_what_the_person_changed_is_written(
    sign_in: SignIn, team: Team, model: Any, values: dict[str, Any], ours: str, theirs: dict[str, Any]
) -> None:
    for place, field in enumerate(OWN[:2]):
        FieldDefinition.objects.create(team=team, model=model._meta.label_lower, position=place, **field)
    row = model.objects.create(team=team, custom={"shoe": 38, "plan": "free", "gone": 1}, **values)
    client = sign_in()
    typed = opened(client, row) | {ours: "Changed", "custom": '{"plan": "free", "new": 1}'}
    now = {"shoe": 39, "hat": 58, "plan": "pro", "gone": 1, "score": 7}
    more = {"address": "Milan"} if model is Company else {}
    model.objects.filter(pk=row.pk).update(custom=now, **theirs, **more)
    assert saved(client, row, typed) == []
    assert {name: getattr(row, name) for name in (ours, *theirs, *more)} == {ours: "Changed", **theirs, **more}
    assert row.custom == {"shoe": 39, "hat": 58, "plan": "pro", "score": 7, "new": 1}
    audit = AuditEntry.objects.get(action__endswith=".changed").details["fields"]
    assert len(audit) == 2 and not {"Stage", "Industry", "Shoe", "Hat", "Lifecycle stage"} & set(audit)


@pytest.mark.parametrize(("model", "values", "ours", "theirs"), KINDS)
def test_who_writes_over_what_was_written_meanwhile_is_told(
    sign_in: SignIn, team: Team, model: Any, values: dict[str, Any], ours: str, theirs: dict[str, Any]
) -> None:
    FieldDefinition.objects.create(team=team, model=model._meta.label_lower, **OWN[0])
    row = model.objects.create(team=team, custom={"shoe": 38, "plan": "free"}, **values)
    client = sign_in()
    typed = opened(client, row) | {ours: "Ours", "own_shoe": "40", "custom": '{"plan": "max"}'}
    model.objects.filter(pk=row.pk).update(**{ours: "Theirs"}, custom={"shoe": 39, "plan": "pro"})
    told = " ".join(saved(client, row, typed))
    assert (getattr(row, ours), row.custom) == ("Ours", {"shoe": 40, "plan": "max"})
    assert all(f"became “{was}” while you were writing" in told for was in ("Theirs", "39", "pro"))


@pytest.mark.parametrize(("model", "values", "ours", "theirs"), KINDS)
def test_saving_an_untouched_page_writes_nothing(
    sign_in: SignIn, team: Team, model: Any, values: dict[str, Any], ours: str, theirs: dict[str, Any]
) -> None:
    FieldDefinition.objects.create(team=team, model=model._meta.label_lower, key="size", label="Size", type="number")
    row = model.objects.create(team=team, custom={"size": 1.5, "list": [2, 1], "yes": True}, **values)
    before = model.objects.values().get()
    client = sign_in()
    saved(client, row, opened(client, row))
    assert model.objects.values().get() == before


def test_custom_values_that_grew_meanwhile_are_refused_and_not_lost(sign_in: SignIn, team: Team) -> None:
    rows: list[Any] = [Contact(team=team, first_name="Ann"), Company(team=team, name="Acme")]
    client = sign_in()
    for row in rows:
        row.save()
        typed = opened(client, row) | {"custom": '{"mine": 1}'}
        type(row).objects.update(custom={f"k{n}": n for n in range(100)})
        answer = client.post(page_of(row), typed)
        assert "At most 100" in str(answer.context["adminform"].form.errors["custom"])
        row.refresh_from_db()
        assert len(row.custom) == 100


def test_a_deal_that_a_pipeline_won_meanwhile_stays_won(sign_in: SignIn, team: Team) -> None:
    deal = Deal.objects.create(team=team, title="Tea")
    update = {"type": "update_record", "with": {"values": {"stage": "won"}}}
    pipeline = active(team, [update], subject="contacts.deal", triggers=[{"type": "manual"}])
    client = sign_in()
    typed = opened(client, deal) | {"title": "More tea"}
    enroll(pipeline=pipeline, subject_ids=[deal.pk])
    process_due_runs()
    saved(client, deal, typed)
    assert (deal.title, deal.stage) == ("More tea", "won")


def test_values_of_own_records_stay_in_fields_and_in_json(sign_in: SignIn, team: Team) -> None:
    kind = RecordType.objects.create(team=team, key="size", label="Size", fields=OWN)
    row = Record.objects.create(team=team, type=kind, values={"shoe": 38})
    client = sign_in()
    by_field = opened(client, row) | {"own_glove": "8"}
    Record.objects.update(values={"shoe": 39, "hat": 58})
    assert saved(client, row, by_field) == [] and row.values == {"shoe": 39, "hat": 58, "glove": 8}
    by_json = opened(client, row) | {"values": json.dumps({"shoe": 39, "hat": 60})}
    Record.objects.update(values={"shoe": 41, "hat": 59, "glove": 8})
    told = saved(client, row, by_json)
    assert row.values == {"shoe": 41, "hat": 60}
    assert told == ["hat became “59” while you were writing. What you wrote stands there now."]
    before = Record.objects.values().get()
    saved(client, row, opened(client, row))
    assert Record.objects.values().get() == before


def test_who_may_only_look_is_not_shown_the_memory_of_a_page(sign_in: SignIn, team: Team) -> None:
    deal = Deal.objects.create(team=team, title="Tea")
    page = sign_in("viewer").get(page_of(deal))
    assert page.status_code == 200 and b"Shown" not in page.content


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_a_row_is_locked_from_its_reading_to_its_writing(sign_in: SignIn, team: Team) -> None:
    deal = Deal.objects.create(team=team, title="Tea")
    client = sign_in()
    typed = opened(client, deal) | {"title": "More tea"}
    with CaptureQueriesContext(connection) as queries:
        saved(client, deal, typed)
    said = [each["sql"] for each in queries]
    looks = [sql for sql in said if sql.startswith("SELECT") and 'FROM "contacts_deal"' in sql]
    assert 'FOR NO KEY UPDATE OF "contacts_deal"' in looks[0]
    writing = next(sql for sql in said if sql.startswith('UPDATE "contacts_deal"'))
    assert '"title"' in writing and '"stage"' not in writing and '"custom"' not in writing
