"""Pages of companies, deals, tags and activities."""

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from contacts.models import Activity, Company, Contact, Deal, Tag
from contacts.operations import add_note, bulk_tag
from crm.models import Task, Team
from tests.contacts.conftest import SignIn
from tests.pipelines.engine.building import NOON

COMPANY: dict[str, Any] = {
    "name": "Acme", "industry": "", "domain": "", "website": "", "phone": "", "owner": "", "address": "", "custom": "",
}  # fmt: skip
DEAL: dict[str, Any] = {
    "title": "Big one", "contact": "", "company": "", "stage": "new", "owner": "", "amount": "1200.50",
    "currency": "eur", "expected_close": "2027-05-01", "custom": "",
}  # fmt: skip


def test_a_company_shows_its_people_its_deals_and_its_history(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    client.post("/admin/contacts/company/add/", {**COMPANY, "custom": '{"tier": 1}'})
    company = Company.objects.get()
    assert (company.team, company.custom) == (team, {"tier": 1})
    for n in range(10):
        Contact.objects.create(team=team, first_name=f"Person {n}", company=company)
    Deal.objects.create(team=team, title="Big one", company=company)
    Task.objects.create(team=team, title="Visit", subject=company)
    client.post(f"/admin/contacts/company/{company.pk}/note/", {"text": "Moved to Rome", "kind": "meeting"})
    page = client.get(f"/admin/contacts/company/{company.pk}/change/").content.decode()
    for words in ("Person 0", "Big one", "Visit", "Moved to Rome", "2 more"):
        assert words in page
    more = client.get(f"/admin/contacts/contact/?company__id__exact={company.pk}")
    assert more.status_code == 200 and more.context["cl"].result_count == 10


def test_a_deal_has_an_amount_and_a_close(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    contact = Contact.objects.create(team=team, first_name="Ann")
    client.post("/admin/contacts/deal/add/", {**DEAL, "contact": contact.pk})
    deal = Deal.objects.get()
    assert (deal.team, deal.contact, str(deal.amount), deal.currency) == (team, contact, "1200.50", "EUR")
    assert "1,200.50\N{NO-BREAK SPACE}EUR" in client.get("/admin/contacts/deal/").content.decode()
    page = client.get(f"/admin/contacts/contact/{contact.pk}/change/").content.decode()
    assert "Big one" in page and "expected 1 May 2027" in page
    only = client.get(f"/admin/contacts/deal/?contact__id__exact={contact.pk}")
    assert only.status_code == 200 and only.context["cl"].result_count == 1


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        ("deal", {"amount": "-1"}, "An amount is not negative."),
        ("deal", {"currency": "€"}, "Use three letters"),
        ("deal", {"custom": '{"Not a key": 1}'}, "custom.Not a key"),
        ("company", {"custom": "[1]"}, "Give an object"),
        ("company", {"custom": "{"}, "Enter a valid JSON"),
        ("company", {"name": ""}, "This field is required"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(
    sign_in: SignIn, team: Team, kind: str, values: dict[str, str], sentence: str
) -> None:
    typed = {**(DEAL if kind == "deal" else COMPANY), **values}
    answer = sign_in().post(f"/admin/contacts/{kind}/add/", typed)
    assert answer.status_code == 200 and sentence in str(answer.context["adminform"].form.errors)
    assert not Deal.objects.exists() and not Company.objects.exists()


def test_records_of_another_team_cannot_be_tied_to_ours(sign_in: SignIn, team: Team) -> None:
    other = Team.objects.create(name="B", slug="b")
    theirs = Contact.objects.create(team=other, first_name="B")
    company = Company.objects.create(team=other, name="Secret")
    client = sign_in()
    for values in ({"contact": theirs.pk}, {"company": company.pk}):
        assert client.post("/admin/contacts/deal/add/", {**DEAL, **values}).status_code == 200
    client.post(f"/admin/contacts/company/{company.pk}/note/", {"text": "x"})
    assert not Deal.objects.exists() and not Activity.objects.exists()
    assert client.get(f"/admin/contacts/contact/?company__id__exact={company.pk}").context["cl"].result_count == 0


def test_activities_are_written_on_records_and_only_their_words_change(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    contact = Contact.objects.create(team=team, first_name="Ann")
    note = add_note(subject=contact, team=team, text="Likes blue")
    assert client.get("/admin/contacts/activity/add/").status_code == 403
    page = f"/admin/contacts/activity/{note.pk}/change/"
    assert f"/admin/contacts/contact/{contact.pk}/change/" in client.get(page).content.decode()
    client.post(page, {"text": "Likes green", "kind": "merge", "subject_id": "9"})
    note.refresh_from_db()
    assert (note.text, note.kind, note.subject_id) == ("Likes green", "note", contact.pk)


def test_what_the_system_wrote_down_stays(sign_in: SignIn, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann")
    kind = ContentType.objects.get_for_model(Contact)
    line = Activity.objects.create(
        team=team, kind="merge", text="Merged", subject_type=kind, subject_id=contact.pk, at=NOON
    )
    client = sign_in()
    page = f"/admin/contacts/activity/{line.pk}/change/"
    assert client.get(page).status_code == 200
    assert client.post(page, {"text": "Nothing happened"}).status_code == 403
    line.refresh_from_db()
    assert line.text == "Merged"


def test_a_tag_leads_to_its_people(sign_in: SignIn, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann")
    Contact.objects.create(team=team, first_name="Bob")
    bulk_tag(team=team, ids=[contact.pk], names=["vip"])
    client, tag = sign_in(), Tag.objects.get()
    assert f"?tag={tag.pk}" in client.get("/admin/contacts/tag/").content.decode()
    assert client.get(f"/admin/contacts/contact/?tag={tag.pk}").context["cl"].result_count == 1
    answer = client.post("/admin/contacts/tag/add/", {"name": "VIP"})
    assert answer.status_code == 200 and Tag.objects.count() == 1


@pytest.mark.parametrize("kind", ["company", "deal", "activity", "tag"])
def test_an_empty_list_says_what_belongs_there(sign_in: SignIn, team: Team, kind: str) -> None:
    client = sign_in()
    assert "Nothing here yet" in client.get(f"/admin/contacts/{kind}/").content.decode()
    assert "Nothing here yet" not in client.get(f"/admin/contacts/{kind}/?q=x").content.decode()


def test_the_head_of_a_page_says_where_one_stands(sign_in: SignIn, team: Team) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann")
    client, titles = sign_in(), {}
    for page in ("", "add/", "import/", f"{contact.pk}/change/", f"{contact.pk}/history/"):
        head = client.get(f"/admin/contacts/contact/{page}").content.decode().split("<title>")[1].split("|")[0]
        titles[page.split("/")[-2] if page else ""] = " ".join(head.split())
    assert titles == {
        "": "Contacts",
        "add": "Add contact · Contacts",
        "import": "Import contacts · Contacts",
        "change": "Ann · Contacts",
        "history": "History · Ann · Contacts",
    }


@pytest.mark.parametrize(("role", "offers"), [("viewer", []), ("member", ["Add"]), ("manager", ["Add", "Import"])])
def test_an_empty_list_of_contacts_offers_what_one_may_do(
    sign_in: SignIn, team: Team, role: str, offers: list[str]
) -> None:
    page = sign_in(role).get("/admin/contacts/contact/").content.decode()
    assert "No contacts yet" in page
    found = {"Add": ">Add a contact</a>" in page, "Import": ">Import a CSV file</a>" in page}
    assert [name for name, there in found.items() if there] == offers


@pytest.mark.parametrize("role", ["viewer", "member", "manager"])
def test_roles_do_with_deals_what_the_matrix_says(sign_in: SignIn, team: Team, role: str) -> None:
    client = sign_in(role)
    created = client.post("/admin/contacts/deal/add/", DEAL).status_code == 302
    assert created == Deal.objects.exists() == (role != "viewer")
    deal = Deal.objects.create(team=team, title="Other")
    assert client.get(f"/admin/contacts/deal/{deal.pk}/change/").status_code == 200
    client.post(f"/admin/contacts/deal/{deal.pk}/note/", {"text": "x"})
    assert Activity.objects.exists() == (role != "viewer")
    client.post(f"/admin/contacts/deal/{deal.pk}/delete/", {"post": "yes"})
    assert Deal.objects.filter(pk=deal.pk).exists() == (role != "manager")
