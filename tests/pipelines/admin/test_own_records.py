"""Pipelines about a team's own types of records, and the records in them, in the admin and the API."""

import html
import json
import re

import pytest
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from contacts.models import Record, RecordType
from crm.models import Team
from pipelines.models import Pipeline, PipelineRun
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import PIPELINE, RUN, form_of, text_of, with_automatic, with_step

FIELDS = [
    {"key": "name", "label": "Name", "type": "text"},
    {"key": "quantity", "label": "In stock", "type": "integer"},
]
RECORDS = "/admin/contacts/record/"


@pytest.fixture
def product(team: Team) -> RecordType:
    return RecordType.objects.create(team=team, key="product", label="Product", fields=FIELDS)


@pytest.fixture
def pipeline(manager: Client, team: Team, product: RecordType) -> Pipeline:
    """A pipeline about products, made on its page."""
    record_type = str(ContentType.objects.get_for_model(Record).pk)
    values = {**form_of(manager.get(f"{PIPELINE}add/")), "name": "Restock"}
    values |= {"subject_type": record_type, "subject_record": "product"}
    data = json.dumps({"title": "Order {{ product.name }}"})
    values = with_automatic(with_step(values, "create_task", data=data), int(record_type))
    manager.post(f"{PIPELINE}add/", {**values, "_continue": "1"})
    made = Pipeline.objects.get()
    manager.post(f"{PIPELINE}{made.pk}/activate/", {})
    return made


def test_a_pipeline_about_products_is_made_on_its_page_and_new_products_enter(
    manager: Client, team: Team, product: RecordType, pipeline: Pipeline
) -> None:
    page = manager.get(f"{PIPELINE}{pipeline.pk}/change/")
    assert form_of(page)["subject_record"] == "product"
    assert "product.quantity" in page.content.decode()
    assert "Product" in text_of(manager.get(PIPELINE))

    lamp = Record.objects.create(team=team, type=product, values={"name": "Lamp", "quantity": 1})

    run = PipelineRun.objects.get()
    assert run.subject == lamp
    assert "Lamp" in text_of(manager.get(f"{RUN}{run.pk}/change/"))
    record_page = text_of(manager.get(f"{RECORDS}{lamp.pk}/change/"))
    assert "Pipelines" in record_page and "Restock" in record_page
    assert "Restock" in text_of(manager.get(f"/admin/explain/contacts.record/{lamp.pk}/"))


def test_all_runs_of_a_record_are_one_click_from_each(
    manager: Client, team: Team, product: RecordType, pipeline: Pipeline
) -> None:
    lamp, _ = [Record.objects.create(team=team, type=product, values={"name": name}) for name in ("Lamp", "Desk")]
    run = PipelineRun.objects.get(subject_id=lamp.pk)
    page = manager.get(f"{RUN}{run.pk}/change/").content.decode()
    link = re.search(r'href="([^"]*)">all runs of this record', page)
    assert link is not None
    assert list(manager.get(html.unescape(link[1])).context["cl"].result_list) == [run]


def test_a_pipeline_about_records_must_say_which(manager: Client, product: RecordType) -> None:
    record_type = str(ContentType.objects.get_for_model(Record).pk)
    values = {**form_of(manager.get(f"{PIPELINE}add/")), "name": "Restock", "subject_type": record_type}
    assert "Choose which type of record" in text_of(manager.post(f"{PIPELINE}add/", values))
    assert not Pipeline.objects.exists()


def test_records_are_put_in_from_their_list(
    manager: Client, sign_in: SignIn, team: Team, product: RecordType, pipeline: Pipeline
) -> None:
    rows = [Record(team=team, type=product, values={"name": name}) for name in ("Lamp", "Desk")]
    ids = [row.pk for row in Record.objects.bulk_create(rows)]
    chosen = {"action": "enroll_selected", "_selected_action": [str(pk) for pk in ids]}

    assert "Restock" in text_of(manager.post(RECORDS, chosen))
    answer = manager.post(RECORDS, {**chosen, "value": str(pipeline.pk)}, follow=True)

    assert "2 of 2 entered." in text_of(answer)
    assert set(PipelineRun.objects.values_list("subject_id", flat=True)) == set(ids)
    PipelineRun.objects.all().delete()
    sign_in("viewer").post(RECORDS, {**chosen, "value": str(pipeline.pk)})
    assert not PipelineRun.objects.exists()


def test_a_simulation_offers_a_sample_with_the_fields_of_the_type(manager: Client, pipeline: Pipeline) -> None:
    page = manager.get(f"{PIPELINE}{pipeline.pk}/simulate/")
    sample = next(value for name, value in form_of(page, "story").items() if name == "sample")
    assert json.loads(sample) == {"name": "Name", "quantity": 1}
    played = manager.get(f"{PIPELINE}{pipeline.pk}/simulate/", {"who": "sample", "sample": sample})
    assert "Order Name" in text_of(played)
