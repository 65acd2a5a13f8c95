"""Triggers in the admin: fields of every kind, whether a record would enter and why not, and what schedules did."""

from django.test import Client

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Pipeline, Trigger
from pipelines.triggers.hooks import open_hook
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import PIPELINE, form_of, text_of
from tests.pipelines.engine.building import active
from tests.pipelines.triggers.test_event_triggers import HOLD, on


def paid(team: Team) -> Pipeline:
    where = {"field": "trigger.total", "operator": "greater_than", "value": 50}
    return active(team, HOLD, key="paid", triggers=[on("order.paid", where=where, key="paid")])


def test_one_can_try_whether_a_record_would_enter(viewer: Client, team: Team) -> None:
    pipeline = paid(team)
    Contact.objects.create(team=team, email="ada@example.org")
    page = f"{PIPELINE}{pipeline.pk}/ways-in/"
    assert "Nobody was turned away" in text_of(viewer.get(page))

    def tried(total: int) -> str:
        query = {"record": "ADA@example.org", "event": "order.paid", "payload": f'{{"total": {total}}}'}
        return text_of(viewer.get(page, query))

    assert "it would enter" in tried(80)
    assert "it would not enter: conditions not met" in tried(20) and "20" in tried(20)
    assert "There is no such record" in text_of(viewer.get(page, {"record": "nobody@example.org"}))
    assert "No trigger of this pipeline listens" in text_of(viewer.get(page, {"record": "ada@example.org"}))


def test_a_webhook_without_an_address_is_told_and_leads_to_where_one_is_opened(sign_in: SignIn, team: Team) -> None:
    pipeline = active(team, HOLD, key="signup", triggers=[{"type": "webhook", "key": "form"}])
    trigger = pipeline.triggers.get()
    page = f"{PIPELINE}{pipeline.pk}/ways-in/"
    owner, viewer = sign_in("owner"), sign_in("viewer")
    opens = f"/admin/pipelines/hook/add/?trigger={trigger.pk}"
    assert "Nobody can post to “form” yet." in text_of(viewer.get(page)) and opens not in str(viewer.get(page).content)
    assert opens in owner.get(page).content.decode()
    assert f'<option value="{trigger.pk}" selected' in owner.get(opens).content.decode()
    open_hook(trigger=trigger, name="Signup form", signed=False)
    assert "not signed: 0 received, 0 refused." in text_of(viewer.get(page))


def test_who_was_turned_away_stands_there_by_name(viewer: Client, team: Team) -> None:
    where = {"field": "contact.first_name", "operator": "equals", "value": "Bob"}
    created = {"type": "created", "model": "contacts.contact", "where": where}
    pipeline = active(team, HOLD, key="greet", triggers=[created])
    ada = Contact.objects.create(team=team, first_name="Ada", last_name="Lovelace")
    page = viewer.get(f"{PIPELINE}{pipeline.pk}/ways-in/").content.decode()
    assert f'href="/admin/contacts/contact/{ada.pk}/change/">Ada Lovelace' in page


def test_another_teams_ways_in_do_not_exist(sign_in: SignIn, team: Team) -> None:
    from crm.teams import create_team

    stranger = sign_in("owner", of=create_team(name="Other", slug="other"))
    assert stranger.get(f"{PIPELINE}{paid(team).pk}/ways-in/").status_code in (302, 404)


def test_the_fields_of_a_schedule_are_kept_as_they_were_written(manager: Client, team: Team) -> None:
    pipeline = paid(team)
    page = f"{PIPELINE}{pipeline.pk}/change/"
    values = form_of(manager.get(page))
    (prefix,) = {name.removesuffix("-kind") for name in values if name.endswith("-kind") and "__prefix__" not in name}
    changed = {"kind": "1", "model": str(pipeline.subject_type_id), "event": "", "only_fields": "email, plan, email",
               "debounce": "10m", "where": ""}  # fmt: skip
    answer = manager.post(page, {**values, **{f"{prefix}-{name}": value for name, value in changed.items()}})
    assert answer.status_code == 302, text_of(answer)
    trigger = Trigger.objects.get(pipeline=pipeline)
    assert (trigger.kind, trigger.only_fields, trigger.debounce) == (Trigger.Kind.UPDATED, ["email", "plan"], 600)
    again = form_of(manager.get(page))
    assert (again[f"{prefix}-only_fields"], again[f"{prefix}-debounce"]) == ("email, plan", "10m")
