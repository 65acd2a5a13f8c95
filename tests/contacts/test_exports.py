"""Companies, deals and own records as CSV: from their lists, and by a command."""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contacts.models import Company, Contact, Deal, FieldDefinition, Record, RecordType
from crm.models import AuditEntry, Team
from crm.permissions import LEADERS
from crm.teams import create_team
from tests.contacts.conftest import SignIn

PAGES: dict[str, Any] = {"company": Company, "deal": Deal, "record": Record, "contact": Contact}


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text.removeprefix("\ufeff"), newline="")))


def taken(client: Client, path: str) -> list[dict[str, str]]:
    answer: Any = client.get(f"/admin/contacts/{path}")
    assert answer.streaming, answer
    return table(answer.getvalue().decode())


@pytest.fixture
def product(team: Team) -> RecordType:
    fields = [
        {"key": "name", "label": "Name", "type": "text", "required": True},
        {"key": "active", "label": "Active", "type": "boolean"},
    ]
    return RecordType.objects.create(team=team, key="product", label="Product", fields=fields)


@pytest.fixture
def rows(team: Team, product: RecordType) -> None:
    """Some of everything, and a row of another team."""
    for position, key in enumerate(["seats", "plan"]):
        FieldDefinition.objects.create(team=team, model="contacts.company", key=key, label=key, position=position)
    tea = Company.objects.create(team=team, name="=Tea", industry="Tea", custom={"plan": "pro", "old": [1, "a"]})
    Company.objects.create(team=team, name="Steel", industry="Steel", custom={"another": True})
    Company.objects.create(team=create_team(name="B", slug="b"), name="Theirs")
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@tea.example", company=tea)
    Deal.objects.create(
        team=team, title="Leaves", contact=ann, company=tea, amount="12.50", expected_close="2027-03-01"
    )
    Deal.objects.create(team=team, title="Plates", stage="won")
    Record.objects.create(team=team, type=product, values={"name": "Pot", "active": False})
    Record.objects.create(team=team, type=product, values={"name": "Cup"})


@pytest.mark.usefixtures("rows")
def test_the_button_above_a_list_exports_what_its_filters_and_its_search_show(sign_in: SignIn) -> None:
    client = sign_in()
    companies = taken(client, "company/export/")
    assert [row["name"] for row in companies] == ["'=Tea", "Steel"]
    # Defined fields in their order, filled or not, then the other keys in use.
    assert list(companies[0])[-4:] == ["custom.seats", "custom.plan", "custom.another", "custom.old"]
    assert list(companies[0].values())[-4:] == ["", "pro", "", "1; a"] and companies[1]["custom.another"] == "true"
    assert 'href="/admin/contacts/company/export/?industry=Steel"' in (
        client.get("/admin/contacts/company/?industry=Steel").content.decode()
    )
    assert [row["name"] for row in taken(client, "company/export/?industry=Steel")] == ["Steel"]
    assert [row["title"] for row in taken(client, "deal/export/?q=leaves")] == ["Leaves"]
    assert client.get("/admin/contacts/deal/export/?stage=won&amount__nonsense=1").status_code in (302, 400)


@pytest.mark.usefixtures("rows")
def test_a_deal_names_its_contact_and_its_company(sign_in: SignIn, team: Team) -> None:
    leaves, plates = taken(sign_in(), "deal/export/")
    ann = Contact.objects.get(email="ann@tea.example")
    assert (leaves["contact"], leaves["contact_id"], leaves["company"]) == (ann.email, str(ann.pk), "'=Tea")
    assert (leaves["amount"], leaves["currency"], leaves["expected_close"]) == ("12.50", "EUR", "2027-03-01")
    assert (plates["contact"], plates["company_id"], plates["stage"]) == ("", "", "won")
    entry = AuditEntry.objects.get(action="deals.export")
    assert entry.team == team and entry.details == {"deals": 2}


@pytest.mark.usefixtures("rows")
def test_own_records_have_the_columns_of_their_type_and_go_one_type_at_a_time(sign_in: SignIn, team: Team) -> None:
    client = sign_in()
    pot, cup = taken(client, "record/export/")
    assert list(pot) == ["id", "created_at", "name", "active"]
    assert [(row["name"], row["active"]) for row in (pot, cup)] == [("Pot", "false"), ("Cup", "")]
    assert AuditEntry.objects.get(action="records.export").details == {"records": 2, "type": "product"}
    order = RecordType.objects.create(team=team, key="order", label="Order", fields=[])
    Record.objects.create(team=team, type=order)
    told = client.get("/admin/contacts/record/export/", follow=True).content.decode()
    assert "Export records of one type" in told
    chosen = {"action": "export_selected", "_selected_action": Record.objects.values_list("pk", flat=True)}
    assert "Export records of one type" in client.post("/admin/contacts/record/", chosen, follow=True).content.decode()
    assert len(taken(client, f"record/export/?type__id__exact={order.pk}")) == 1


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("role", ["viewer", "member", "manager"])
def test_exports_are_for_those_the_matrix_grants_them(sign_in: SignIn, team: Team, role: str) -> None:
    client = sign_in(role)
    for page, model in PAGES.items():
        path = f"/admin/contacts/{page}/"
        chosen = model.objects.for_team(team).values_list("pk", flat=True)[:1]
        answers = [
            client.get(f"{path}export/"),
            client.post(path, {"action": "export_selected", "_selected_action": list(chosen)}),
        ]
        assert [answer.streaming for answer in answers] == [role in LEADERS] * 2, page
        assert (f"{path}export/" in client.get(path).content.decode()) == (role in LEADERS)
        if role in LEADERS:
            assert len(table(answers[1].getvalue().decode())) == 1


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("page", ["company", "deal", "record"])
def test_an_export_of_many_asks_no_more_than_one_of_few(
    sign_in: SignIn, team: Team, product: RecordType, page: str
) -> None:
    client = sign_in()

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            taken(client, f"{page}/export/")
        return len(queries)

    taken(client, f"{page}/export/")
    few = cost()
    for n in range(30):
        company = Company.objects.create(team=team, name=f"C{n}", custom={f"k{n}": n})
        contact = Contact.objects.create(team=team, email=f"c{n}@example.org")
        Deal.objects.create(team=team, title=f"D{n}", company=company, contact=contact)
        Record.objects.create(team=team, type=product, values={"name": f"R{n}"})
    assert cost() == few


@pytest.mark.usefixtures("rows")
def test_the_command_writes_what_the_page_writes(sign_in: SignIn, team: Team, tmp_path: Path) -> None:
    client, file = sign_in(), tmp_path / "out.csv"
    for kind, path in {"companies": "company", "deals": "deal", "product": "record"}.items():
        call_command("export_records", "--team", "acme", "--model", kind, "--output", str(file))
        assert table(file.read_bytes().decode()) == taken(client, f"{path}/export/")
    written = AuditEntry.objects.filter(actor_label="export_records").order_by("pk")
    assert [entry.details for entry in written] == [{"companies": 2}, {"deals": 2}, {"records": 2, "type": "product"}]
    with pytest.raises(CommandError, match="Choose one of companies, deals, product") as refused:
        call_command("export_records", "--team", "acme", "--model", "robots")
    assert refused.value.returncode == 2
