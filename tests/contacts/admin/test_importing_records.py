"""Companies, deals and own records come back from files on a page: brought, looked at, taken."""

import base64
import csv
import html
import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core import signing
from django.db import connection
from django.test import Client

from contacts.admin import record_file
from contacts.imports.records import at_once
from contacts.models import Company, Contact, Deal, FieldDefinition, Record, RecordType
from crm.models import AuditEntry, Team
from crm.permissions import LEADERS
from crm.teams import create_team
from pipelines.models import PipelineRun
from tests.contacts.conftest import SignIn
from tests.contacts.importing import csv_file
from tests.pipelines.engine.building import active

PAGE = "/admin/contacts/{}/import/"
COMPANIES = PAGE.format("company")
CREATED: dict[str, Any] = {"type": "created", "automatic": True, "model": "contacts.company"}
Row = dict[str, str]


class Shown:
    """A page of the import, as somebody reads it."""

    def __init__(self, client: Client, path: str, answer: Any) -> None:
        assert answer.status_code == 200, answer
        self.client, self.path, self.text = client, path, html.unescape(answer.content.decode())

    def press(self, do: str, **choices: str) -> "Shown":
        """Send the form along with what stands in it, but for what is chosen otherwise."""
        return bring(self.client, self.path, do=do, **{**self.fields, **choices})

    @property
    def fields(self) -> dict[str, str]:
        hidden = dict(re.findall(r'<input type="hidden" name="(brought|looked)" value="([^"]*)"', self.text))
        return {**hidden, "key": self.chosen(r'<option value="([^"]*)" selected'), "enroll": self.chosen(_RADIO)}

    def chosen(self, pattern: str) -> str:
        return str(re.findall(pattern, self.text)[0])

    @property
    def numbers(self) -> tuple[int, ...]:
        """Created, updated, unchanged, skipped, failed and runs."""
        return tuple(int(n.replace(",", "")) for n in re.findall(r"<dd data-count=[^>]*>([\d,]+)</dd>", self.text))

    @property
    def refused(self) -> list[Row]:
        """The rows of the download."""
        (content,) = re.findall(r'href="data:text/csv;charset=utf-8;base64,([^"]*)" download', self.text)
        return table(base64.b64decode(content).decode())


_RADIO = r'name="enroll" value="([^"]*)" checked'


def bring(client: Client, path: str, content: str | bytes | None = None, **fields: str) -> Shown:
    file = {} if content is None else {"file": csv_file(content, "rows.csv")}
    body = {"do": "look", "key": "id", "enroll": "yes", **fields, **file}
    return Shown(client, path, client.post(path, body))


def table(text: str) -> list[Row]:
    return list(csv.DictReader(StringIO(text.removeprefix("\ufeff"), newline="")))


def written(rows: list[Row]) -> str:
    sink = StringIO(newline="")
    writer = csv.DictWriter(sink, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()


def export(client: Client, kind: str, query: str = "") -> list[Row]:
    answer: Any = client.get(f"/admin/contacts/{kind}/export/{query}")
    return table(answer.getvalue().decode())


@pytest.fixture
def product(team: Team) -> RecordType:
    fields = [
        {"key": "name", "label": "Product name", "type": "text", "required": True},
        {"key": "quantity", "label": "Quantity", "type": "integer"},
    ]
    return RecordType.objects.create(team=team, key="product", label="Product", fields=fields)


def test_an_export_that_was_edited_is_looked_at_and_then_taken(sign_in: SignIn, team: Team) -> None:
    tea = Company.objects.create(team=team, name="Tea", custom={"plan": "pro"})
    steel = Company.objects.create(team=team, name="Steel")
    client = sign_in("manager")
    first, second = export(client, "company")
    lines = written([first | {"industry": "Leaves", "custom.plan": "free"}, second, second | {"id": "soon"}])
    would = bring(client, COMPANIES, lines)
    assert would.numbers == (0, 1, 1, 0, 1, 0) and "Import 1 row<" in would.text
    assert "<td>industry</td><td>Industry</td>" in would.text
    assert '<td>created_at</td><td class="ct-muted">Not read: filled by the system</td>' in would.text
    assert "Line 4:</span> There is no company soon in this team." in would.text
    tea.refresh_from_db()
    assert tea.industry == "" and not AuditEntry.objects.filter(action="companies.import").exists()
    done = would.press("import")
    assert "<h2>Imported</h2>" in done.text and done.numbers == (0, 1, 1, 0, 1, 0)
    tea.refresh_from_db()
    steel.refresh_from_db()
    assert (tea.industry, tea.custom, steel.industry) == ("Leaves", {"plan": "free"}, "")
    entry = AuditEntry.objects.get(action="companies.import")
    assert entry.team == team and str(entry.actor) == "manager@acme.example"
    assert entry.details == {
        "rows": 3, "created": 0, "updated": 1, "unchanged": 1, "skipped": 0, "failed": 1, "enrolled": 0
    }  # fmt: skip


def test_rows_that_were_not_taken_are_a_file_that_comes_back_when_it_was_mended(sign_in: SignIn, team: Team) -> None:
    deal = Deal.objects.create(team=team, title="Leaves")
    path, client = PAGE.format("deal"), sign_in()
    done = bring(client, path, f"id,title,amount\n{deal.pk},Leaves,much\n").press("import")
    (row,) = done.refused
    assert row["line"] == "2" and row["reason"].startswith("amount: ") and row["title"] == "Leaves"
    assert bring(client, path, written([row | {"amount": "3.50"}])).press("import").numbers == (0, 1, 0, 0, 0, 0)
    deal.refresh_from_db()
    assert str(deal.amount) == "3.50"


def test_by_a_name_missing_ones_are_created_and_enter_their_pipelines_if_that_is_wanted(
    sign_in: SignIn, team: Team
) -> None:
    active(team, [{"type": "end"}], key="made", name="Made", subject="contacts.company", triggers=[CREATED])
    client = sign_in()
    would = bring(client, COMPANIES, text="name\tindustry\r\nTea\tLeaves\r\nCup\t\r\n", key="name")
    assert would.numbers == (2, 0, 0, 0, 0, 2) and "2 in Made" in would.text
    assert not Company.objects.exists() and not PipelineRun.objects.exists()
    quiet = would.press("import", enroll="no")
    assert "You chose otherwise" in quiet.text and quiet.numbers == (2, 0, 0, 0, 0, 0)
    assert not Company.objects.exists() and quiet.fields["enroll"] == "no"
    assert "<h2>Imported</h2>" in quiet.press("import").text
    assert Company.objects.for_team(team).count() == 2 and not PipelineRun.objects.exists()
    bring(client, COMPANIES, "name\nJug\n", key="name").press("import")
    assert PipelineRun.objects.count() == 1


def test_a_file_that_does_not_fit_says_what_to_do_and_need_not_be_brought_again(sign_in: SignIn, team: Team) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.company", key="nr", label="Number", type="text")
    client = sign_in()
    wrong = bring(client, COMPANIES, "custom.code,Number,name\nx,7,Tea\n", enroll="no")
    assert "No column holds the id" in wrong.text and "Choose another key" in wrong.text
    assert "rows.csv, 1 row." in wrong.text and wrong.fields["enroll"] == "no"
    for key, label in (("custom.nr", "Number"), ("custom.code", "Custom value “code”"), ("name", "Name")):
        assert f'<option value="{key}">{label}</option>' in wrong.text
    assert "recognized by “industry”: use one of id, name" in wrong.press("look", key="industry").text
    right = wrong.press("look", key="custom.nr")
    assert right.numbers == (1, 0, 0, 0, 0, 0)
    right.press("import")
    assert Company.objects.get().custom == {"nr": "7", "code": "x"}


@pytest.mark.parametrize(
    ("content", "fields", "told"),
    [
        (None, {}, "Choose a file, or paste rows."),
        (b"PK\x03\x04rest", {}, "This is a spreadsheet or archive. Save the table as CSV"),
        ("id,name\n", {}, "no rows below its first line"),
        ("id,name\n1,A\n", {"text": "id,name\n1,A\n"}, "Choose a file or paste rows, not both."),
        (None, {"brought": "../../etc/passwd"}, "can no longer be read here: bring it again."),
    ],
)
def test_what_cannot_be_read_says_why(
    sign_in: SignIn, team: Team, content: Any, fields: dict[str, str], told: str
) -> None:
    answer = bring(sign_in(), COMPANIES, content, **fields)
    assert told in answer.text and 'name="file"' in answer.text and not answer.numbers
    assert html.escape(fields.get("text", "")).strip() in answer.text


def test_what_is_too_much_for_a_page_names_the_command(
    sign_in: SignIn, team: Team, product: RecordType, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    client = sign_in()
    command = "The command takes any number: manage.py import_records FILE --team acme --model "
    lines = "id\n" + "1\n" * at_once.MOST_ROWS
    assert "The file has 5,001 rows; this page takes 5,000." in bring(client, COMPANIES, lines + "1\n").text
    assert f"{command}product" in bring(client, PAGE.format("record"), lines + "1\n").text
    assert "rows; this page takes" not in bring(client, COMPANIES, lines).text
    monkeypatch.setattr(record_file, "LARGEST", record_file.MEGABYTE)
    assert f"1.0 MB; this page takes 1. {command}companies" in bring(client, COMPANIES, " " * (1 << 20) + "id\n").text
    pasted = bring(client, COMPANIES, text=" " * (1 << 20) + "id\n").text
    assert f"The rows have 1.0 MB; this page takes 1. {command}companies" in pasted
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
    assert f"too large for this page. {command}companies" in bring(client, COMPANIES, "name\nTea\n", key="name").text


def test_what_no_request_holds_is_told_with_its_size_and_the_way_back(sign_in: SignIn, team: Team) -> None:
    answer = sign_in().post(COMPANIES, {"do": "look", "text": "x" * (12 << 20)})
    assert answer.status_code == 413
    assert "This request has 12.0 MiB; at most 11.0 MiB are read. Go back with your browser" in answer.content.decode()


def test_records_go_one_type_at_a_time(sign_in: SignIn, team: Team, product: RecordType) -> None:
    path, client = PAGE.format("record"), sign_in()
    pot = Record.objects.create(team=team, type=product, values={"name": "Pot"})
    alone = Shown(client, path, client.get(path))
    assert "Import records: Product" in alone.text and '<option value="name">Product name</option>' in alone.text
    order = RecordType.objects.create(team=team, key="order", label="Order", fields=product.fields)
    theirs = RecordType.objects.create(team=create_team(name="B", slug="b"), key="theirs", label="Theirs", fields=[])
    for query in ("", f"?type__id__exact={theirs.pk}", "?type__id__exact=x"):
        asked = client.get(f"{path}{query}").content.decode()
        assert f"{path}?type__id__exact={order.pk}" in asked and "Theirs" not in asked and 'name="file"' not in asked
    narrowed = f"/admin/contacts/record/?type__id__exact={product.pk}"
    assert f'href="{path}?type__id__exact={product.pk}"' in client.get(narrowed).content.decode()
    (row,) = export(client, "record", f"?type__id__exact={product.pk}")
    lines = written([row | {"quantity": "3"}])
    assert bring(client, f"{path}?type__id__exact={order.pk}", lines).numbers == (0, 0, 0, 0, 1, 0)
    bring(client, f"{path}?type__id__exact={product.pk}", lines).press("import")
    pot.refresh_from_db()
    assert pot.values == {"name": "Pot", "quantity": 3}
    assert AuditEntry.objects.get(action="records.import").details["type"] == "product"


def test_before_there_is_a_type_the_page_says_so(sign_in: SignIn, team: Team) -> None:
    told = sign_in().get(PAGE.format("record")).content.decode()
    assert "There is no type of record yet" in told and "/admin/contacts/recordtype/" in told


def test_rows_of_another_team_are_out_of_reach(sign_in: SignIn, team: Team) -> None:
    other = create_team(name="B", slug="b")
    theirs = Company.objects.create(team=other, name="Theirs")
    ours = Deal.objects.create(team=team, title="Ours")
    client = sign_in()
    told = bring(client, COMPANIES, f"id,industry\n{theirs.pk},Tea\n").press("import")
    assert told.numbers == (0, 0, 0, 0, 1, 0) and f"There is no company {theirs.pk} in this team." in told.text
    told = bring(client, PAGE.format("deal"), f"id,company_id\n{ours.pk},{theirs.pk}\n").press("import")
    assert f"There is no company “{theirs.pk}” in this team." in told.text
    theirs.refresh_from_db()
    ours.refresh_from_db()
    assert theirs.industry == "" and ours.company is None


def test_what_is_sent_along_opens_for_one_person_one_team_and_one_kind(
    sign_in: SignIn, team: Team, product: RecordType
) -> None:
    client, colleague = sign_in(), sign_in("admin")
    brought = bring(client, COMPANIES, "name\nTea\n", key="name").fields["brought"]
    forged = signing.TimestampSigner(salt="forged").sign_object({"name": "a", "text": "name\nTea\n"}, compress=True)
    gone = "can no longer be read here"
    assert gone not in bring(client, COMPANIES, brought=brought, key="name").text
    assert gone in bring(colleague, COMPANIES, brought=brought, key="name").text
    assert gone in bring(client, PAGE.format("deal"), brought=brought, key="title").text
    assert gone in bring(client, PAGE.format("record"), brought=brought, key="name").text
    assert gone in bring(client, COMPANIES, brought=forged, key="name").text


@pytest.mark.usefixtures("product")
@pytest.mark.parametrize("role", ["viewer", "member", "manager"])
def test_whoever_may_import_contacts_may_import_these(sign_in: SignIn, team: Team, role: str) -> None:
    client = sign_in(role)
    status = 200 if role in LEADERS else 403
    assert client.get(PAGE.format("contact")).status_code == status
    for kind, key in (("company", "name"), ("deal", "title"), ("record", "name")):
        path = PAGE.format(kind)
        body = {"do": "look", "key": key, "enroll": "yes", "text": f"{key}\nTea\n"}
        assert [client.get(path).status_code, client.post(path, body).status_code] == [status, status]
        assert (path in client.get(f"/admin/contacts/{kind}/").content.decode()) == (role in LEADERS)
    assert not Company.objects.exists()


@pytest.mark.parametrize("do", ["look", "import"])
def test_many_rows_ask_no_more_than_few(sign_in: SignIn, team: Team, do: str) -> None:
    active(team, [{"type": "end"}], key="made", subject="contacts.company", triggers=[CREATED])
    client = sign_in()

    def cost(size: int) -> int:
        names = [f"{do}{size}n{n}" for n in range(size)]
        Company.objects.bulk_create([Company(team=team, name=name) for name in names])
        rows = "".join(f"{name},x\nnew {name},y\n{name},again\n,\n" for name in names)
        would = bring(client, COMPANIES, f"name,industry\n{rows}", key="name")
        with connection.execute_wrapper(counting := Counting()):
            shown = would.press(do)
        assert shown.numbers[:4] == (size, size, 0, size)
        return counting.count

    cost(2)
    assert cost(3) == cost(40)


class Counting:
    """Counts statements; the import itself empties the log of them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.count += 1
        return execute(*arguments)


def test_an_import_that_breaks_off_leaves_its_numbers_in_the_audit_log(
    sign_in: SignIn, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contacts.imports.records.reading.BATCH", 1)
    client = sign_in()
    Contact.objects.create(team=team, email="ann@example.org")
    would = bring(client, PAGE.format("deal"), "title,contact\nA,ann@example.org\nB,ann@example.org\n", key="title")
    assert would.numbers[0] == 2
    with connection.execute_wrapper(Breaking()), pytest.raises(OSError, match="gone"):
        would.press("import")
    assert AuditEntry.objects.get(action="deals.import").details["created"] == 1
    assert would.press("import").numbers == (1, 0, 1, 0, 0, 0)


class Breaking:
    """A database that goes away while the second deal is written."""

    def __init__(self) -> None:
        self.deals = 0

    def __call__(self, execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if 'INSERT INTO "contacts_deal"' in sql:
            self.deals += 1
            if self.deals == 2:
                raise OSError("gone")
        return execute(sql, *arguments)
