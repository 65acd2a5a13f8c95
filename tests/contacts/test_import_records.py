"""`import_records`: companies, deals and own records from files, such as those that `export_records` writes."""

import csv
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.imports.records import reading
from contacts.imports.records.batch import write_batch
from contacts.models import Company, Contact, Deal, FieldDefinition, Record, RecordType
from crm.models import AuditEntry, Member, Team
from crm.teams import create_team
from pipelines.engine.tick import process_due_runs
from pipelines.models import PipelineRun
from tests.pipelines.engine.building import active

Import = Callable[..., dict[str, Any]]
END: dict[str, Any] = {"type": "end"}
CREATED: dict[str, Any] = {"type": "created", "automatic": True}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


@pytest.fixture
def bring(team: Team, file: Path) -> Import:
    """Import these lines, or the file as it is; what is answered as JSON, with the reasons of refused rows by line."""

    def call(model: str, lines: str | None, *arguments: str) -> dict[str, Any]:
        if lines is not None:
            file.write_text(lines, "utf-8")
        out, status = StringIO(), 0
        try:
            call_command(
                "import_records", str(file), "--team", "acme", "--model", model, "--json", *arguments, stdout=out
            )
        except SystemExit as ended:
            status = int(str(ended.code))
        told = json.loads(out.getvalue())
        assert status == (1 if told["failed"] else 0)
        refused = table(Path(told["errors_file"])) if told["errors_file"] else []
        return {**told, "reasons": {int(row["line"]): row["reason"] for row in refused}}

    return call


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


def export(model: str, file: Path) -> list[dict[str, str]]:
    call_command("export_records", "--team", "acme", "--model", model, "--output", str(file))
    return table(file)


def write(file: Path, rows: list[dict[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def numbers(told: dict[str, Any]) -> tuple[int, ...]:
    """Created, updated, unchanged, skipped, failed."""
    return tuple(told[name] for name in ("created", "updated", "unchanged", "skipped", "failed"))


@pytest.fixture
def product(team: Team) -> RecordType:
    fields = [
        {"key": "name", "label": "Product name", "type": "text", "required": True},
        {"key": "reason", "label": "Why", "type": "text"},
        {"key": "quantity", "label": "Quantity", "type": "integer"},
        {"key": "active", "label": "Active", "type": "boolean"},
        {"key": "since", "label": "Since", "type": "date"},
        {"key": "size", "label": "Size", "type": "select", "options": ["s", "m"]},
    ]
    return RecordType.objects.create(team=team, key="product", label="Product", fields=fields)


@pytest.fixture
def stranger(team: Team) -> Company:
    """A company of another team, which nobody here may see."""
    return Company.objects.create(team=create_team(name="B", slug="b"), name="Theirs")


@pytest.fixture
def rows(team: Team, product: RecordType, stranger: Company) -> None:
    """Some of everything, with what spreadsheets and types could spoil."""
    seats: dict[str, Any] = {"key": "seats", "label": "Seats", "type": "integer"}
    FieldDefinition.objects.create(team=team, model="contacts.company", **seats)
    owner = User.objects.create_user("Olga", email="olga@acme.example")
    Member.objects.create(team=team, user=owner, role="member")
    tea = Company.objects.create(
        team=team, name="=Tea", address="Way 1\nTown", owner=owner, phone="0012",
        custom={"seats": 12, "old": [1, "a"], "vip": True, "share": 1.5, "note": "'quoted'"},
    )  # fmt: skip
    Company.objects.create(team=team, name=" Steel ", custom={"seats": "many"})
    ann = Contact.objects.create(team=team, first_name="Ann", email="Ann@tea.example", company=tea)
    nameless = Contact.objects.create(team=team, first_name="Bob")
    Deal.objects.create(
        team=team, title="Leaves", contact=ann, company=tea, owner=owner, amount="12.50", expected_close="2027-03-01"
    )
    Deal.objects.create(team=team, title="Plates", stage="won", contact=nameless, amount="-3")
    Record.objects.create(
        team=team, type=product, values={"name": "-Pot", "active": False, "quantity": 3, "since": "2027-01-02"}
    )
    Record.objects.create(team=team, type=product, values={"name": "Cup", "quantity": "3 or so"})


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("arguments", [(), ("--clear-empty",)])
@pytest.mark.parametrize("model", ["companies", "deals", "product"])
def test_an_export_that_nobody_edited_changes_nothing(
    bring: Import, file: Path, model: str, arguments: tuple[str, ...]
) -> None:
    kinds: list[Any] = [Company, Deal, Record]
    before = [list(kind.objects.order_by("pk").values()) for kind in kinds]
    export(model, file)
    assert numbers(bring(model, None, *arguments)) == (0, 0, 2, 0, 0)
    assert [list(kind.objects.order_by("pk").values()) for kind in kinds] == before


@pytest.mark.usefixtures("rows")
def test_an_edited_export_of_companies_changes_what_was_edited(bring: Import, file: Path) -> None:
    tea, steel = export("companies", file)
    tea |= {"name": "'=Green", "industry": "Tea", "custom.seats": "13", "custom.vip": "FALSE", "custom.share": "2.5"}
    steel |= {"owner": "olga@acme.example", "custom.note": "new", "address": "", "custom.seats": ""}
    write(file, [tea, steel])
    assert numbers(bring("companies", None)) == (0, 2, 0, 0, 0)
    assert numbers(bring("companies", None)) == (0, 0, 2, 0, 0)
    green, other = Company.objects.exclude(name="Theirs").order_by("pk")
    assert (green.name, green.industry, green.phone, green.address) == ("=Green", "Tea", "0012", "Way 1\nTown")
    assert green.custom == {"seats": 13, "old": [1, "a"], "vip": False, "share": 2.5, "note": "'quoted'"}
    assert other.owner is not None and other.owner.username == "Olga" and other.name == " Steel "
    assert other.custom == {"seats": "many", "note": "new"}


@pytest.mark.usefixtures("rows")
def test_an_edited_export_of_deals_follows_names_and_ids_within_the_team(
    bring: Import, file: Path, team: Team, stranger: Company
) -> None:
    steel = Company.objects.get(name=" Steel ")
    zoe = Contact.objects.create(team=team, email="zoe@steel.example")
    leaves, plates = export("deals", file)
    leaves |= {
        "company": "Steel",
        "company_id": "",
        "stage": "Won",
        "amount": "99.5",
        "expected_close": "2027-04-01",
        "currency": "usd",
    }
    plates |= {"company_id": str(steel.pk), "company": "", "contact": "ZOE@steel.example", "contact_id": ""}
    write(file, [leaves, plates])
    assert numbers(bring("deals", None)) == (0, 2, 0, 0, 0)
    first, second = Deal.objects.order_by("pk")
    assert (first.company_id, first.stage, first.amount, first.currency) == (steel.pk, "won", Decimal("99.50"), "USD")
    assert first.expected_close == date(2027, 4, 1) and first.contact is not None
    assert (second.company_id, second.contact_id) == (steel.pk, zoe.pk)
    assert numbers(bring("deals", None)) == (0, 0, 2, 0, 0)
    leaves |= {"company": "Theirs"}
    plates |= {"company_id": str(stranger.pk)}
    write(file, [leaves, plates])
    told = bring("deals", None)
    assert told["reasons"] == {
        2: "company: There is no company “Theirs” in this team.",
        3: f"company_id: There is no company “{stranger.pk}” in this team.",
    }


@pytest.mark.usefixtures("rows")
def test_a_name_and_an_id_that_contradict_each_other_are_refused_every_time(bring: Import, file: Path) -> None:
    """Whoever took the edited one would take the other when the file comes again."""
    steel = Company.objects.get(name=" Steel ")
    leaves, plates = export("deals", file)
    write(file, [leaves | {"company": "Steel"}, plates])
    for _ in range(2):
        told = bring("deals", None)
        assert numbers(told) == (0, 0, 1, 0, 1) and "is not “Steel”: change both cells" in told["reasons"][2]
    write(file, [leaves | {"company": "Steel", "company_id": str(steel.pk)}, plates])
    assert [numbers(bring("deals", None)) for _ in range(2)] == [(0, 1, 1, 0, 0), (0, 0, 2, 0, 0)]


@pytest.mark.usefixtures("rows")
def test_own_records_are_found_by_the_labels_of_their_fields_and_hold_their_types(bring: Import, file: Path) -> None:
    pot, cup = Record.objects.order_by("pk")
    other = RecordType.objects.create(team=pot.team, key="order", label="Order", fields=pot.type.fields)
    order = Record.objects.create(team=pot.team, type=other, values={"name": "Order"})
    lines = f"{pot.pk},Jug,yes,2027-01-03,m,red\n{cup.pk}\n{order.pk},Jug\n"
    told = bring("product", f"ID,Product name,Active,Since,Size,Colour\n{lines}")
    assert numbers(told) == (0, 1, 1, 0, 1) and told["reasons"] == {4: f"There is no Product {order.pk} in this team."}
    pot.refresh_from_db()
    assert pot.values == {"name": "Jug", "active": True, "quantity": 3, "since": "2027-01-03", "size": "m"}
    # What an export calls a column goes before what people call it, wherever it stands.
    bring("product", f"id,Why,reason\n{cup.pk},label,key\n")
    cup.refresh_from_db()
    assert cup.values["reason"] == "key"


@pytest.mark.usefixtures("rows")
def test_every_wrong_cell_of_a_row_is_told_and_nothing_of_the_row_is_taken(bring: Import, file: Path) -> None:
    pot, cup = Record.objects.order_by("pk")
    told = bring("product", f"id,name,quantity,active,since,size\n{pot.pk},x,1.5,perhaps,soon,xl\n{cup.pk},y,,,,\n")
    assert numbers(told) == (0, 1, 0, 0, 1)
    for part in (
        "quantity: This is not a whole",
        "active: Use true",
        "since: Write a date",
        "size: Choose one of s, m",
    ):
        assert part in told["reasons"][2]
    pot.refresh_from_db()
    assert pot.values["name"] == "-Pot"
    deal = Deal.objects.order_by("pk")[0]
    lines = [
        f"{deal.pk},{'t' * 201},,,,",
        f"{deal.pk + 1},,lost cause,1.234,EURO,tomorrow",
        f"{deal.pk + 500},,,,,",
        "soon,,,,,",
        ",New,,,,",
        f"{deal.pk}0000000000000000000,,,,,",
    ]
    told = bring("deals", "\n".join(["id,title,stage,amount,currency,expected_close", *lines]))
    assert numbers(told) == (0, 0, 0, 0, 6)
    reasons = told["reasons"]
    assert "title: Ensure this value has at most 200 characters" in reasons[2]
    assert all(f"{name}: " in reasons[3] for name in ("stage", "amount", "currency", "expected_close"))
    assert reasons[4] == f"There is no deal {deal.pk + 500} in this team." and "There is no deal soon" in reasons[5]
    assert "The row has no id" in reasons[6] and "There is no deal" in reasons[7]


def test_another_key_creates_what_is_missing_and_changes_what_is_there(
    bring: Import, team: Team, stranger: Company
) -> None:
    acme = Company.objects.create(team=team, name="Acme", industry="Tools")
    lines = "Name,Industry,custom.size\nACME,Steel,12\nTheirs,Tea,\nNew,,s\nnew,,m\n,Tea,\n"
    told = bring("companies", lines, "--key", "name")
    assert numbers(told) == (2, 1, 0, 1, 1)
    assert told["reasons"] == {
        5: "Skipped: the same Name as line 4.",
        6: "The row has no name, by which records are recognized.",
    }
    acme.refresh_from_db()
    assert (acme.name, acme.industry, acme.custom) == ("Acme", "Steel", {"size": "12"})
    told = bring("companies", f"id,industry\n{stranger.pk},Tea\n")
    assert told["reasons"] == {2: f"There is no company {stranger.pk} in this team."}
    stranger.refresh_from_db()
    assert stranger.industry == "" and Company.objects.for_team(team).count() == 3
    assert numbers(bring("companies", lines, "--key", "name")) == (0, 0, 3, 1, 1)
    Company.objects.create(team=team, name="acme")
    assert "2 have this Name" in bring("companies", lines, "--key", "name")["reasons"][2]


def test_a_new_record_has_what_its_type_requires(bring: Import, team: Team, product: RecordType) -> None:
    lines = "Quantity,name,active\n007,Tea,true\n8,,false\n9,Cup,\nsoon,Pot,\n"
    told = bring("product", lines, "--key", "Quantity")
    assert numbers(told) == (2, 0, 0, 0, 2)
    assert told["reasons"] == {
        3: "A new Product needs Product name.",
        5: "Quantity: This is not a number.",
    }
    made = list(Record.objects.order_by("pk").values_list("values", flat=True))
    assert made == [{"quantity": 7, "name": "Tea", "active": True}, {"quantity": 9, "name": "Cup"}]
    assert numbers(bring("product", lines, "--key", "quantity")) == (0, 0, 2, 0, 2)


def test_a_new_deal_names_its_company_and_contact_without_a_guess(bring: Import, team: Team) -> None:
    tea = Company.objects.create(team=team, name="Tea")
    two = [Company.objects.create(team=team, name="Two") for _ in range(2)]
    ann = Contact.objects.create(team=team, email="ann@example.org")
    for _ in range(2):
        Contact.objects.create(team=team, email="same@example.org")
    away = Contact.objects.create(team=create_team(name="B", slug="b"), email="away@example.org")
    lines = [
        f"A,tea,{tea.pk},Ann@example.org,,olga",
        f"B,Tea,{two[0].pk},,,",
        "C,Two,,,,",
        f"D,Two,{two[1].pk},,,",
        "E,,,same@example.org,,",
        f"F,,,,{ann.pk},nobody",
        "G,,,away@example.org,,",
        f"H,,,,{away.pk},",
    ]
    User.objects.create_user("nobody", email="nobody@example.org")
    member = User.objects.create_user("olga@acme.example", email="olga")
    Member.objects.create(team=team, user=member, role="member")
    told = bring("deals", "\n".join(["title,company,company_id,contact,contact_id,owner", *lines]), "--key", "title")
    assert numbers(told) == (2, 0, 0, 0, 6)
    assert told["reasons"][8] == "contact: No contact of the team has the address “away@example.org”."
    assert told["reasons"][9] == f"contact_id: There is no contact “{away.pk}” in this team."
    assert "is not “Tea”" in told["reasons"][3] and "say which by company_id" in told["reasons"][4]
    assert "say which by contact_id" in told["reasons"][6] and "is no member" in told["reasons"][7]
    made = {deal.title: deal for deal in Deal.objects.all()}
    assert (made["A"].company_id, made["A"].contact_id, made["A"].owner_id) == (tea.pk, ann.pk, member.pk)
    assert (made["A"].stage, made["A"].currency, made["D"].company_id) == ("new", "EUR", two[1].pk)


def test_empty_cells_take_values_away_only_where_that_is_said(bring: Import, team: Team) -> None:
    tea = Company.objects.create(team=team, name="Tea", industry="Tea", custom={"plan": "pro"})
    deal = Deal.objects.create(team=team, title="Leaves", company=tea, amount=3)
    company = f"id,name,industry,custom.plan\n{tea.pk},,,\n"
    assert numbers(bring("companies", company)) == (0, 0, 1, 0, 0)
    told = bring("companies", company, "--clear-empty")
    assert told["reasons"] == {2: "name: A value is needed."}
    assert numbers(bring("companies", company.replace(",,,", ",Tea,,"), "--clear-empty")) == (0, 1, 0, 0, 0)
    tea.refresh_from_db()
    assert (tea.industry, tea.custom) == ("", {})
    bring("deals", f"id,company,company_id,amount\n{deal.pk},,,\n", "--clear-empty")
    deal.refresh_from_db()
    assert (deal.company, deal.amount) == (None, None)


def test_refused_rows_come_back_when_they_were_mended(bring: Import, file: Path, product: RecordType) -> None:
    told = bring("product", "reason,name,quantity\nold,Tea,x\nold,Cup,2\n", "--key", "name")
    assert numbers(told) == (1, 0, 0, 0, 1)
    refused = Path(told["errors_file"])
    assert refused.read_text("utf-8-sig").splitlines()[0] == '"line","reason","reason","name","quantity"'
    again = bring("product", refused.read_text("utf-8-sig"), "--key", "name")
    assert numbers(again) == (0, 0, 0, 0, 1)
    mended = Path(again["errors_file"]).read_text("utf-8-sig").replace('"x"', '"1"')
    assert numbers(bring("product", mended, "--key", "name")) == (1, 0, 0, 0, 0)
    assert Record.objects.latest("pk").values == {"reason": "old", "name": "Tea", "quantity": 1}


def test_new_and_changed_records_enter_their_pipelines(bring: Import, team: Team, product: RecordType) -> None:
    made = active(
        team, [END], key="made", subject="records.product", triggers=[{**CREATED, "model": "records.product"}]
    )
    changed = {"field": "product.quantity", "operator": "changed_to", "value": 9}
    updated = {"type": "updated", "model": "records.product", "where": changed}
    moved = active(team, [END], key="moved", subject="records.product", triggers=[updated])
    tried = bring("product", "name,quantity\nTea,1\nCup,2\n", "--key", "name", "--dry-run")
    assert numbers(tried) == (2, 0, 0, 0, 0) and tried["pipelines"] == {"made": {"name": "Made", "runs": 2}}
    assert not Record.objects.exists() and not PipelineRun.objects.exists()
    assert not AuditEntry.objects.filter(action="records.import").exists()
    assert bring("product", "name,quantity\nTea,1\nCup,2\n", "--key", "name")["enrolled"] == 2
    assert PipelineRun.objects.filter(pipeline=made).count() == 2
    assert bring("product", "name,quantity\nTea,9\nCup,2\nJug,9\n", "--key", "name")["enrolled"] == 1
    process_due_runs()
    inside = PipelineRun.objects.filter(pipeline=moved).values_list("subject_id", flat=True)
    assert list(inside) == [Record.objects.order_by("pk")[0].pk]
    entry = AuditEntry.objects.filter(action="records.import").latest("pk")
    assert entry.team == team and entry.actor_label == "import_records"
    assert entry.details == {
        "rows": 3, "created": 1, "updated": 1, "unchanged": 1, "skipped": 0, "failed": 0, "enrolled": 1,
        "type": "product",
    }  # fmt: skip


def test_a_change_of_a_deals_stage_is_an_event_and_a_quiet_import_starts_nothing(bring: Import, team: Team) -> None:
    deal = Deal.objects.create(team=team, title="Old")
    created = active(team, [END], key="made", subject="contacts.deal", triggers=[{**CREATED, "model": "contacts.deal"}])
    won = {"type": "updated", "model": "contacts.deal", "fields": ["stage"]}
    moved = active(team, [END], key="moved", subject="contacts.deal", triggers=[won])
    lines = f"title,stage\n{deal.title},won\nNew,won\n"
    assert bring("deals", lines.replace("won", "lost"), "--key", "title", "--no-enroll")["enrolled"] == 0
    process_due_runs()
    assert not PipelineRun.objects.exists()
    bring("deals", lines, "--key", "title")
    process_due_runs()
    assert PipelineRun.objects.filter(pipeline=moved).count() == 2
    assert not PipelineRun.objects.filter(pipeline=created).exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "robots"], "There is no kind of record robots"),
        (["--model", "companies", "--team", "nobody"], "There is no team nobody"),
        (["--model", "companies"], "No column holds the id; the first line names name, industry"),
        (["--model", "deals"], "Choose another key by which rows are recognized, such as title."),
        (
            ["--model", "companies", "--key", "industry"],
            "recognized by “industry”: use one of id, name, domain",
        ),
        (["--model", "companies", "--key", "domain"], "No column holds the domain"),
        (["--model", "companies", "--map", "size=industry"], "The file has no column “size”"),
        (["--model", "companies", "--map", "name=robots"], "“robots” is no field: use one of id, name"),
        (["--model", "companies", "--map", "name"], "write COLUMN=FIELD"),
        (["--model", "companies", "--key", "name", "--errors", "{file}"], "is the file that is imported"),
        (["--model", "companies", "--key", "name", "--encoding", "klingon"], "Unknown encoding"),
    ],
)
def test_what_cannot_be_begun_says_why(team: Team, file: Path, arguments: list[str], told: str) -> None:
    file.write_text("name,industry\nTea,Tea\n", "utf-8")
    given = [each.format(file=file) for each in arguments]
    with pytest.raises(CommandError) as refused:
        call_command("import_records", str(file), "--team", "acme", *given, stdout=StringIO())
    assert told in str(refused.value) and refused.value.returncode == 2
    assert not Company.objects.exists()


def test_columns_go_where_they_are_told_and_the_preview_says_where(team: Team, file: Path) -> None:
    file.write_text("Firm;Branch;Note;created_at;\nTea;Food;x\x1b;2020-01-01;\n\x00;;;;\n", "utf-8")
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command(
            "import_records", str(file), "--team", "acme", "--model", "companies", "--key", "name",
            "--map", "Firm=name", "--map", "Branch=Industry", "--map", "Note=-", stdout=out,
        )  # fmt: skip
    told = out.getvalue()
    assert "Firm → name" in told and "Branch → industry" in told and "Note → not read (not wanted)" in told
    assert "created_at → not read (filled by the system)" in told and "line 2: name=Tea, industry=Food" in told
    assert "\x00" not in told and "\x1b" not in told
    assert "2 rows: 1 created, 0 updated, 0 unchanged, 0 skipped, 1 failed. 0 runs started." in told
    assert Company.objects.get().industry == "Food"


def test_an_import_that_is_stopped_keeps_its_batches_and_goes_on_from_the_beginning(
    bring: Import, file: Path, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH", 2)

    def stop(batch: Any) -> Any:
        if batch.rows[0].key == "C2":
            raise KeyboardInterrupt
        return write_batch(batch)

    monkeypatch.setattr(reading, "write_batch", stop)
    lines = "name\n" + "".join(f"C{n}\n" for n in range(5))
    with pytest.raises(CommandError, match="Stopped behind row 2 of 5") as stopped:
        bring("companies", lines, "--key", "name")
    assert stopped.value.returncode == 130 and Company.objects.count() == 2
    assert AuditEntry.objects.get().details["created"] == 2
    monkeypatch.setattr(reading, "write_batch", write_batch)
    assert numbers(bring("companies", lines, "--key", "name")) == (3, 0, 2, 0, 0)


def test_a_type_that_is_deleted_meanwhile_ends_the_import_with_a_sentence(
    bring: Import, team: Team, product: RecordType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH", 2)

    def delete_first(batch: Any) -> Any:
        if batch.rows[0].key == "P2":
            RecordType.objects.all().delete()
        return write_batch(batch)

    monkeypatch.setattr(reading, "write_batch", delete_first)
    lines = "name\n" + "".join(f"P{n}\n" for n in range(5))
    with pytest.raises(CommandError) as stopped:
        bring("product", lines, "--key", "name")
    gone = "The type of records “Product” was deleted, and its records with it."
    assert str(stopped.value) == f"{gone} Stopped behind row 2 of 5."
    assert stopped.value.returncode == 2 and AuditEntry.objects.filter(action="records.import").exists()


@pytest.mark.parametrize("key", ["id", "title"])
def test_a_batch_of_many_asks_no_more_than_one_of_few(bring: Import, team: Team, key: str) -> None:
    active(team, [END], key="made", subject="contacts.deal", triggers=[{**CREATED, "model": "contacts.deal"}])
    updated = {"type": "updated", "model": "contacts.deal", "fields": ["amount"]}
    active(team, [END], key="moved", subject="contacts.deal", triggers=[updated])

    def cost(size: int) -> int:
        deals = [Deal.objects.create(team=team, title=f"s{size}n{n}") for n in range(size)]
        for n in range(size):
            Company.objects.create(team=team, name=f"s{size}n{n}")
            Contact.objects.create(team=team, email=f"s{size}n{n}@example.org")
        lines = [f"{d.pk},{d.title},{d.title},{d.title}@example.org,{d.pk % 90}.25" for d in deals]
        lines += [f"nobody{n},new-s{size}n{n},s{size}n{n},,1" for n in range(size)]
        with CaptureQueriesContext(connection) as queries:
            told = bring("deals", "\n".join(["id,title,company,contact,amount", *lines]), "--key", key)
        assert told["updated"] == size and told["created" if key == "title" else "failed"] == size
        return len(queries)

    cost(2)
    assert cost(3) == cost(20)
