"""The page of a contact, as a person uses it."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from contacts.models import Activity, Contact
from contacts.operations import add_note, bulk_tag
from crm.models import AuditEntry, Message, Role, Task, Team
from crm.permissions import LEADERS
from pipelines.engine.controls import cancel_runs
from pipelines.engine.enroll import enroll
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations import pause
from pipelines.states import RunStatus
from tests.contacts.conftest import FORM, SignIn
from tests.pipelines.engine.building import NOON, active, email

ADD = "/admin/contacts/contact/add/"


def saved(client: Client, path: str, **values: Any) -> Any:
    answer = client.post(path, {**FORM, **values})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    return answer


def live(contact: Contact) -> set[str]:
    runs = PipelineRun.objects.filter(subject_id=contact.pk, status__lt=RunStatus.COMPLETED.value)
    return set(runs.values_list("pipeline__key", flat=True))


def test_what_another_team_wrote_under_the_same_id_does_not_show(sign_in: SignIn, team: Team) -> None:
    other_team = Team.objects.create(name="Other", slug="other")
    contact = Contact.objects.create(team=team, first_name="Ann")
    about = {"subject_type": ContentType.objects.get_for_model(Contact), "subject_id": contact.pk}
    Activity.objects.create(team=other_team, text="their secret", at=NOON, **about)
    Task.objects.create(team=other_team, title="their secret", **about)
    page = sign_in().get(f"/admin/contacts/contact/{contact.pk}/change/")
    assert b"their secret" not in page.content


def test_a_new_contact_enters_automatic_and_chosen_pipelines(sign_in: SignIn, manual: Pipeline, team: Team) -> None:
    active(team, [email(delay=60)], key="welcome")
    saved(sign_in(), ADD, first_name="Ann", email="ann@example.org", tag_names="VIP, news", pipelines=[str(manual.pk)])
    contact = Contact.objects.get()
    assert (contact.team, sorted(tag.name for tag in contact.tags.all())) == (team, ["VIP", "news"])
    assert live(contact) == {"welcome", "by_hand"}


def test_pipelines_are_added_kept_and_removed_from_the_form(sign_in: SignIn, manual: Pipeline, team: Team) -> None:
    other = active(team, [{"type": "wait", "delay": "1d"}], key="other", triggers=[{"type": "manual"}])
    client = sign_in()
    saved(client, ADD, first_name="Ann", pipelines=[str(manual.pk)])
    contact = Contact.objects.get()
    kept = PipelineRun.objects.get().pk
    page = f"/admin/contacts/contact/{contact.pk}/change/"
    saved(client, page, first_name="Ann", pipelines=[str(manual.pk), str(other.pk)])
    assert live(contact) == {"by_hand", "other"}
    assert PipelineRun.objects.filter(pk=kept, status=RunStatus.PENDING.value).exists()
    saved(client, page, first_name="Ann", pipelines=[str(other.pk)])
    assert live(contact) == {"other"}
    assert PipelineRun.objects.get(pk=kept).reason == "removed by hand"


def test_saving_without_touching_pipelines_leaves_every_run_alone(sign_in: SignIn, team: Team) -> None:
    pipeline = active(team, [{"type": "wait", "delay": "1d"}], key="welcome")
    contact = Contact.objects.create(team=team, first_name="Ann")
    pause(pipeline=pipeline)
    page = f"/admin/contacts/contact/{contact.pk}/change/"
    saved(sign_in(), page, first_name="Anna", pipelines=[str(pipeline.pk)])
    contact.refresh_from_db()
    assert contact.first_name == "Anna" and live(contact) == {"welcome"}


def test_a_paused_pipeline_takes_nobody_and_says_so(sign_in: SignIn, manual: Pipeline, team: Team) -> None:
    pause(pipeline=manual)
    client = sign_in()
    saved(client, ADD, first_name="Ann", pipelines=[str(manual.pk)])
    contact = Contact.objects.get()
    assert live(contact) == set()
    assert b"Not put into a pipeline" in client.get("/admin/contacts/contact/").content


def shown_on(client: Client, contact: Contact, **typed: Any) -> dict[str, Any]:
    """The form as the browser would send it, with what was typed."""
    form = client.get(f"/admin/contacts/contact/{contact.pk}/change/").context["adminform"].form
    names = [name for name in ("shown", "custom", "tag_names", "pipelines", *FORM) if name in form.fields]
    values = {name: form[name].value() for name in names}
    return {**FORM, **{name: value for name, value in values.items() if value is not None}, **typed}


def test_what_pipelines_and_colleagues_did_meanwhile_stays(sign_in: SignIn, manual: Pipeline, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann", custom={"plan": "free", "old": "x"})
    bulk_tag(team=team, ids=[contact.pk], names=["news", "gone"])
    client = sign_in()
    typed = shown_on(client, contact, job_title="Boss", custom='{"plan": "free", "new": 1}', tag_names="news, vip")
    Contact.objects.filter(pk=contact.pk).update(
        lifecycle_stage="customer", phone="+1", custom={"plan": "pro", "old": "x", "score": 7}
    )
    bulk_tag(team=team, ids=[contact.pk], names=["buyer"])
    enroll(pipeline=manual, subject_ids=[contact.pk])
    saved(client, f"/admin/contacts/contact/{contact.pk}/change/", **typed)
    contact.refresh_from_db()
    assert (contact.job_title, contact.lifecycle_stage, contact.phone) == ("Boss", "customer", "+1")
    assert contact.custom == {"plan": "pro", "score": 7, "new": 1}
    assert sorted(tag.name for tag in contact.tags.all()) == ["buyer", "news", "vip"]
    assert live(contact) == {"by_hand"}


def test_a_run_that_ended_meanwhile_is_not_begun_again(sign_in: SignIn, manual: Pipeline, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann")
    enroll(pipeline=manual, subject_ids=[contact.pk])
    client = sign_in()
    typed = shown_on(client, contact, first_name="Anna")
    assert typed["pipelines"] == [str(manual.pk)]
    cancel_runs(run_ids=list(PipelineRun.objects.values_list("pk", flat=True)), reason="test")
    saved(client, f"/admin/contacts/contact/{contact.pk}/change/", **typed)
    assert live(contact) == set() and PipelineRun.objects.count() == 1


def test_saving_without_a_change_changes_nothing(sign_in: SignIn, team: Team) -> None:
    moment = NOON.replace(microsecond=123_456)
    contact = Contact.objects.create(team=team, first_name="Ann", last_interaction=moment, custom={"a": [1, 2]})
    client = sign_in()
    typed = shown_on(client, contact, last_interaction_0="2027-03-01", last_interaction_1="12:00:00")
    before = Contact.objects.values().get()
    saved(client, f"/admin/contacts/contact/{contact.pk}/change/", **typed)
    assert {**Contact.objects.values().get(), "updated_at": None} == {**before, "updated_at": None}


def test_a_forged_memory_of_the_form_is_not_believed(sign_in: SignIn, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann", phone="1")
    client = sign_in()
    typed = shown_on(client, contact, phone="", shown='{"pipelines": ["x"]}')
    saved(client, f"/admin/contacts/contact/{contact.pk}/change/", **typed)
    contact.refresh_from_db()
    assert (contact.first_name, contact.phone) == ("Ann", "")
    assert AuditEntry.objects.get(action="contacts.changed").details == {"fields": ["Phone"]}


def test_an_address_that_another_has_leads_to_merging(sign_in: SignIn, team: Team) -> None:
    other = Contact.objects.create(team=team, email="ANN@example.org")
    client = sign_in()
    saved(client, ADD, first_name="Ann", email="ann@example.org")
    page = client.get("/admin/contacts/contact/").content.decode()
    assert "Another contact has this email." in page and f"merge/?id={other.pk}&amp;id=" in page


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lead_source": "Fair"}, "Give a name, an email or a phone number."),
        ({"email": "nobody"}, "Enter a valid email address."),
        ({"phone": "call me"}, "is no phone number: write it with its country"),
        ({"first_name": "A", "custom": "[1]"}, "custom"),
        ({"first_name": "A", "timezone": "Mars/Olympus"}, "Unknown time zone"),
        ({"first_name": "A", "pipelines": ["99999"]}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_typed_is_lost(
    sign_in: SignIn, manual: Pipeline, values: dict[str, Any], sentence: str
) -> None:
    answer = sign_in().post(ADD, {**FORM, **values})
    assert answer.status_code == 200 and not Contact.objects.exists()
    assert sentence in str(answer.context["adminform"].form.errors)
    assert answer.context["adminform"].form["lead_source"].value() == values.get("lead_source", "")


def test_the_page_tells_what_happened_and_what_comes_next(sign_in: SignIn, manual: Pipeline, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann")
    enroll(pipeline=manual, subject_ids=[contact.pk])
    Task.objects.create(team=team, title="Call Ann", subject=contact)
    Message.objects.create(team=team, recipient="a@x.org", subject="Hi there", about=contact, created_at=NOON)
    client = sign_in()
    client.post(f"/admin/contacts/contact/{contact.pk}/note/", {"text": "Likes blue", "kind": "call"})
    page = client.get(f"/admin/contacts/contact/{contact.pk}/change/").content.decode()
    for word in ("By Hand", "Wait · ", "Call Ann", "Hi there", "Likes blue", "Entered By Hand"):
        assert word in page
    contact.refresh_from_db()
    assert Activity.objects.get().kind == "call" and contact.last_interaction is not None


@pytest.mark.parametrize("role", Role.values)
def test_roles_do_what_the_matrix_says(sign_in: SignIn, team: Team, role: str) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann")
    client = sign_in(role)
    page = f"/admin/contacts/contact/{contact.pk}/change/"
    assert client.get(page).status_code == 200
    assert (client.post(page, {**FORM, "first_name": "Eve"}).status_code == 302) == (role != "viewer")
    client.post(f"/admin/contacts/contact/{contact.pk}/note/", {"text": "x"})
    assert Activity.objects.exists() == (role != "viewer")
    leads = role in LEADERS
    for path in ("import", "duplicates"):
        assert (client.get(f"/admin/contacts/contact/{path}/").status_code == 200) == leads
    assert (client.get(f"/admin/contacts/contact/{contact.pk}/delete/").status_code == 200) == leads


def test_who_may_only_look_sees_tags_and_pipelines(sign_in: SignIn, manual: Pipeline, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann", custom={"favorite_tea": "oolong"})
    bulk_tag(team=team, ids=[contact.pk], names=["vip"])
    enroll(pipeline=manual, subject_ids=[contact.pk])
    page = sign_in("viewer").get(f"/admin/contacts/contact/{contact.pk}/change/").content.decode()
    for words in ("vip", "By Hand", "favorite_tea", "oolong"):
        assert words in page
    assert "<textarea" not in page


def test_an_old_history_is_read_page_by_page(sign_in: SignIn, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann")
    for n in range(25):
        add_note(subject=contact, team=team, text=f"Note {n:02}", at=NOON + timedelta(hours=n))
    client, path = sign_in(), f"/admin/contacts/contact/{contact.pk}/change/"
    first = client.get(path)
    shown = [entry.text for entry in first.context["entries"]]
    assert (shown[0], shown[-1]) == ("Note 24", "Note 05")
    second = client.get(path, {"before": first.context["older"]})
    assert [entry.text for entry in second.context["entries"]] == [f"Note {n:02}" for n in (4, 3, 2, 1, 0)]
    for nonsense in ("yesterday", "2026-01-01T00:00", "2026-99-01T00:00:00Z"):
        assert client.get(path, {"before": nonsense}).status_code == 200


def test_a_contact_of_another_team_is_not_there(sign_in: SignIn) -> None:
    theirs = Contact.objects.create(team=Team.objects.create(name="B", slug="b"), first_name="Zebedee")
    client = sign_in()
    assert client.get(f"/admin/contacts/contact/{theirs.pk}/change/").status_code == 302
    client.post(f"/admin/contacts/contact/{theirs.pk}/note/", {"text": "x"})
    assert not Activity.objects.exists()
    assert b"Zebedee" not in client.get("/admin/contacts/contact/").content
