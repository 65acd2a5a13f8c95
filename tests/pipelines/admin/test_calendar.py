"""The page that tells everything a contact will receive."""

from django.test import Client

from contacts.models import Contact
from crm.models import Team
from pipelines.models import PipelineRun
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.engine.building import active, email

CUSTOMER = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}


def page(client: Client, contact: Contact, **query: str) -> str:
    answer = client.get(f"/admin/calendar/{contact.pk}/", query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def newcomer(team: Team) -> Contact:
    return Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")


def test_the_page_of_a_contact_leads_there(viewer: Client, team: Team) -> None:
    ann = newcomer(team)
    answer = viewer.get(f"/admin/contacts/contact/{ann.pk}/change/")
    assert f"/admin/calendar/{ann.pk}/" in answer.content.decode()


def test_each_message_has_its_verdict_its_rule_and_its_run(viewer: Client, team: Team) -> None:
    wait = {"type": "wait_for", "timeout": "3d", "with": {"events": [{"event": "order.paid"}]}}
    active(team, [
        {"key": "hello", "delay": "2d", **email(subject="Hi {{ contact.first_name }}")},
        {"key": "vip", "name": "For customers", "if": CUSTOMER, **email()},
        {"key": "wait", **wait, "on": {"order.paid": "end", "timeout": "remind"}},
        {"key": "remind", **email(subject="Still there?")},
    ])  # fmt: skip
    told = page(viewer, newcomer(team))
    assert "Hi Ann" in told and "will be sent" in told
    assert "For customers" in told and "condition of the step" in told and "it was lead" in told
    assert "Waits for order.paid" in told and "If order.paid does not come in time." in told
    assert f"/admin/pipelines/pipelinerun/{PipelineRun.objects.get().pk}/change/" in told


def test_an_empty_calendar_says_so_and_what_is_further_off_too(viewer: Client, team: Team) -> None:
    ann = newcomer(team)
    assert "is in no pipeline at the moment" in page(viewer, ann)
    active(team, [{"key": "hello", "delay": "40d", **email()}, {"key": "bye", "delay": "100d", **email()}])
    bob = newcomer(team)
    assert "sends nothing to" in page(viewer, bob, days="30")
    assert "there is more to come" in page(viewer, bob)
    assert "there is more to come" not in page(viewer, bob, days="366")


def test_nobody_reads_about_contacts_of_others(sign_in: SignIn, team: Team) -> None:
    ann = newcomer(team)
    stranger = sign_in("manager", of=Team.objects.create(name="Other", slug="other"))
    assert stranger.get(f"/admin/calendar/{ann.pk}/").status_code == 404
    assert Client().get(f"/admin/calendar/{ann.pk}/").status_code == 302
