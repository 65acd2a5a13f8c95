"""The page that tells why."""

from django.test import Client

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Pipeline
from pipelines.operations import import_document
from pipelines.subjects import subject_types
from tests.api import Api
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.engine.building import AUTOMATIC, active, document, email

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


def test_who_never_came_to_a_pipeline_is_told_what_its_doors_wait_for(viewer: Client, team: Team) -> None:
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    active(team, [email()], key="carts", triggers=[{"type": "event", "event": "cart.abandoned", "key": "lost"}])
    import_document(team=team, document=document([email()], key="later"))
    told = " ".join(page(viewer, ann).split())
    assert "never entered</span> Carts" in told and "No event ‘cart.abandoned’ has come for it." in told
    assert 'when the event ‘cart.abandoned’ comes (“lost”), it <b class="pl-met">would</b> enter' in told
    assert "The pipeline is a draft." in told


def test_a_team_with_very_many_pipelines_is_told_how_many_are_not_on_the_page(viewer: Client, team: Team) -> None:
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    kind = subject_types()["contacts.contact"].content_type_id
    Pipeline.objects.bulk_create(
        Pipeline(team=team, key=f"p{number}", name=f"P{number:03}", subject_type_id=kind) for number in range(52)
    )
    told = " ".join(page(viewer, ann).split())
    assert "2 more pipelines are not shown: choose one above." in told
    assert Api(team).get(f"contacts/{ann.pk}/explain/").json()["left_off"] == 2
    assert "not shown" not in page(viewer, ann, pipeline="p51")
    assert Api(team).get(f"contacts/{ann.pk}/explain/", pipeline="p51").json()["left_off"] == 0


def test_nobody_reads_about_contacts_of_others(sign_in: SignIn, team: Team) -> None:
    ann = Contact.objects.create(team=team, email="ann@example.org")
    other = Team.objects.create(name="Other", slug="other")
    stranger = sign_in("manager", of=other)
    assert stranger.get(f"/admin/explain/contacts.contact/{ann.pk}/").status_code == 404
    assert stranger.get(f"/admin/explain/auth.user/{ann.pk}/").status_code == 404
    assert Client().get(f"/admin/explain/contacts.contact/{ann.pk}/").status_code == 302
