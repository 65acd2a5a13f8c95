"""The page that tells why."""

from django.test import Client

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Pipeline
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.engine.building import AUTOMATIC, active, email

CUSTOMER = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}


def page(client: Client, contact: Contact, **query: str) -> str:
    answer = client.get(f"/admin/explain/contacts.contact/{contact.pk}/", query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_page_of_a_contact_leads_there(viewer: Client, team: Team) -> None:
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    answer = viewer.get(f"/admin/contacts/contact/{ann.pk}/change/")
    assert f"/admin/explain/contacts.contact/{ann.pk}/" in answer.content.decode()


def test_each_pipeline_is_answered_for_and_can_be_asked_alone(viewer: Client, welcome: Pipeline, team: Team) -> None:
    active(team, [email()], key="picky", triggers=[{**AUTOMATIC, "where": CUSTOMER, "key": "new"}])
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    told = page(viewer, ann)
    assert "The run is on its way" in told and "kept out by the trigger ‘new’" in told
    assert "it was lead" in told and "would <b>not</b> enter" in told
    assert "on its way" not in page(viewer, ann, pipeline="picky")


def test_nobody_reads_about_contacts_of_others(sign_in: SignIn, team: Team) -> None:
    ann = Contact.objects.create(team=team, email="ann@example.org")
    other = Team.objects.create(name="Other", slug="other")
    stranger = sign_in("manager", of=other)
    assert stranger.get(f"/admin/explain/contacts.contact/{ann.pk}/").status_code == 404
    assert stranger.get(f"/admin/explain/auth.user/{ann.pk}/").status_code == 404
    assert Client().get(f"/admin/explain/contacts.contact/{ann.pk}/").status_code == 302
