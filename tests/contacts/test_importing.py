"""What contacts are recognized by, what becomes of rows about which there is a doubt, and going on after a stop."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts.erasing import erase_contact
from contacts.imports import apply, forgetting, running
from contacts.imports.batch import write_batch
from contacts.imports.files import StoredBytes
from contacts.imports.lifecycle import Choices, begin_check, begin_running, cancel, draft, start
from contacts.imports.running import ATTEMPTS, LEASE, claim, imports_due, run, work_imports
from contacts.imports.uploads import bring
from contacts.models import Contact, ContactImport, FieldDefinition, ImportKey, ImportMapping, ImportProblem
from contacts.queries import with_email
from crm.csv_files import MemoryBytes, inspect
from crm.models import AuditEntry, Team
from crm.teams import create_team
from pipelines.models import PipelineRun
from tests.contacts.importing import csv_file, newest, numbers_of, work_off
from tests.pipelines.engine.building import active, email

Command = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path


@pytest.fixture
def command(team: Team, tmp_path: Path) -> Command:
    """Import these lines by the command; what it answers as JSON, with the reasons of refused rows by line."""
    file = tmp_path / "people.csv"

    def call(lines: str, *arguments: str) -> dict[str, Any]:
        file.write_text(lines, "utf-8")
        out = StringIO()
        try:
            call_command("import_contacts", str(file), "--team", "acme", "--json", *arguments, stdout=out)
        except SystemExit as ended:
            assert ended.code == 1
        told = json.loads(out.getvalue())
        reasons = ImportProblem.objects.filter(upload=told["import"]).values_list("line", "reason")
        return {**told, "reasons": dict(reasons)}

    return call


def define(team: Team, key: str, label: str, **more: Any) -> FieldDefinition:
    return FieldDefinition.objects.create(team=team, model="contacts.contact", key=key, label=label, **more)


def contact(team: Team, **values: Any) -> Contact:
    return Contact.objects.create(team=team, **values)


def test_an_identity_elsewhere_finds_contacts_whatever_their_address(command: Command, team: Team) -> None:
    ann = contact(team, email="old@example.org", custom={"external_id": "a-1", "plan": "free"})
    bob = contact(team, first_name="Bob", custom={"external_id": 7})
    lines = "External ID,Email,First name\na-1,new@example.org,Ann\n7,,Robert\na-9,cid@example.org,Cid\n"
    told = command(lines, "--key", "external_id")
    assert (told["created"], told["updated"], told["failed"]) == (1, 2, 0)
    ann.refresh_from_db()
    bob.refresh_from_db()
    assert (ann.email, ann.first_name, ann.custom) == ("new@example.org", "Ann", {"external_id": "a-1", "plan": "free"})
    assert (bob.first_name, bob.custom) == ("Robert", {"external_id": 7})
    assert Contact.objects.get(email="cid@example.org").custom == {"external_id": "a-9"}


@pytest.mark.parametrize("written", ["+49 151 / 123-45", "0049151 12345", "+4915112345", "(+49) 151.12345"])
def test_a_phone_number_is_the_same_however_it_is_written(command: Command, team: Team, written: str) -> None:
    ann = contact(team, phone="+49 (151) 123 45")
    told = command(f'Phone,First name\n"{written}",Ann\n', "--key", "phone")
    ann.refresh_from_db()
    assert (told["updated"], ann.first_name, ann.phone) == (1, "Ann", "+49 (151) 123 45")


def test_any_custom_value_may_be_the_key(command: Command, team: Team) -> None:
    ann = contact(team, first_name="Ann", custom={"a__b": "x'%"})
    command("Number,First name\nx'%,Anna\n", "--key", "custom.a__b", "--map", "Number=custom.a__b")
    ann.refresh_from_db()
    assert ann.first_name == "Anna" and Contact.objects.count() == 1


@pytest.mark.parametrize(
    ("key", "values", "row"),
    [
        ("email", {"email": "a@example.org"}, "A@example.org,,"),
        ("phone", {"phone": "+49151"}, "x@example.org,0049 151,"),
        ("external_id", {"custom": {"external_id": "7"}}, "x@example.org,,7"),
    ],
)
def test_a_row_that_fits_several_contacts_is_refused(
    command: Command, team: Team, key: str, values: dict[str, Any], row: str
) -> None:
    one, other = contact(team, **values), contact(team, **values)
    told = command(f"Email,Phone,External ID\n{row}\n", "--key", key)
    assert (told["failed"], told["updated"], told["created"]) == (1, 0, 0)
    assert told["reasons"][2].startswith(f"2 contacts have this {key.replace('_', ' ')} ({one.pk}, {other.pk})")


def test_a_contact_of_another_team_is_nobody_here(command: Command, team: Team) -> None:
    theirs = contact(create_team(name="Other", slug="other"), custom={"external_id": "1"}, email="a@example.org")
    told = command("External ID,Email\n1,a@example.org\n", "--key", "external_id")
    theirs.refresh_from_db()
    assert told["created"] == 1 and theirs.first_name == ""


def test_an_address_that_another_contact_has_is_not_given_twice(command: Command, team: Team) -> None:
    ann = contact(team, email="ann@example.org")
    contact(team, email="bob@example.org", custom={"external_id": "2"})
    for number in (1, 2):
        told = command(f"External ID,Email\n{number},Ann@example.org\n", "--key", "external_id")
        assert told["reasons"] == {2: f"Contact {ann.pk} has this email, but not this external id."}
    assert Contact.objects.count() == 2


def test_repetitions_within_the_file_name_the_earlier_line(command: Command, team: Team) -> None:
    lines = "External ID,Email\n1,a@example.org\n1,b@example.org\n2,A@example.org\n3,b@example.org\n"
    told = command(lines, "--key", "external_id")
    assert (told["created"], told["skipped"]) == (2, 2)
    assert told["reasons"] == {
        3: "Skipped: the same external id as line 2.", 4: "Skipped: the same email as line 2."
    }  # fmt: skip


def test_a_row_without_its_key_is_refused(command: Command, team: Team) -> None:
    told = command("Phone,Email\n,a@example.org\n", "--key", "phone")
    assert told["reasons"] == {2: "The row has no phone, by which contacts are recognized."}


def test_a_row_of_nothing_but_its_key_changes_and_never_creates(command: Command, team: Team) -> None:
    contact(team, custom={"external_id": "1"})
    told = command(
        "External ID,Plan\n1,pro\n2,pro\n", "--key", "external_id", "--map", "Plan=custom.plan"
    )  # fmt: skip
    assert (told["updated"], told["failed"]) == (1, 1)
    assert told["reasons"][3].endswith("No contact has this external id either.")


@pytest.mark.parametrize("key", ["lead_source", "custom.", "owner", "phone"])
def test_a_key_that_is_none_or_has_no_column_is_refused(command: Command, key: str) -> None:
    with pytest.raises(CommandError, match=r"is no key|choose the column"):
        command("Email\na@example.org\n", "--key", key)


def test_columns_of_defined_fields_are_converted_and_checked(command: Command, team: Team) -> None:
    define(team, "plan", "Tariff", type="select", options=["free", "pro"], required=True)
    define(team, "seats", "Number of seats", type="integer")
    define(team, "vip", "VIP", type="boolean")
    contact(team, email="old@x.org", custom={"plan": "free"})
    lines = (
        "Email,tariff,Number of Seats,vip,Chairs\n"
        "a@x.org,pro,12,yes,3\nb@x.org,gold,1,,\nc@x.org,pro,many,,\nd@x.org,,1,,\nold@x.org,,7,no,\n"
    )
    told = command(lines, "--map", "Chairs=custom.chairs")
    assert (told["created"], told["updated"], told["failed"]) == (1, 1, 3)
    assert Contact.objects.get(email="a@x.org").custom == {"plan": "pro", "seats": 12, "vip": True, "chairs": "3"}
    assert Contact.objects.get(email="old@x.org").custom == {"plan": "free", "seats": 7, "vip": False}
    assert told["reasons"] == {
        3: "tariff: Choose one of free, pro.",
        4: "Number of Seats: This is not a number.",
        5: "A new contact needs Tariff.",
    }
    assert command("Email,Paid for\na@x.org,free\n", "--map", "Paid for=Tariff")["updated"] == 1
    assert Contact.objects.get(email="a@x.org").custom["plan"] == "free"


def test_an_export_of_defined_fields_comes_back_as_it_was(command: Command, team: Team, tmp_path: Path) -> None:
    for position, (key, type_) in enumerate(
        {"zip": "text", "seats": "number", "vip": "boolean", "since": "date"}.items()
    ):
        define(team, key, key.title(), type=type_, position=position)
    values = {"zip": "01067", "seats": -2.5, "vip": False, "since": "2027-03-01", "a_note": "free"}
    contact(team, email="a@x.org", custom=values)
    contact(team, email="b@x.org", custom={"vip": True})
    file = tmp_path / "out.csv"
    call_command("export_contacts", "--team", "acme", "--output", str(file))
    text = file.read_text("utf-8-sig")
    assert text.splitlines()[0].endswith('"custom.zip","custom.seats","custom.vip","custom.since","custom.a_note"')
    assert command(text)["updated"] == 0
    Contact.objects.all().delete()
    assert command(text)["created"] == 2
    assert [each.custom for each in Contact.objects.order_by("email")] == [values, {"vip": True}]


def test_a_dry_run_says_who_would_enter_what(command: Command, team: Team) -> None:
    where = {"field": "contact.lead_source", "operator": "equals", "value": "web"}
    trigger = {"type": "created", "model": "contacts.contact", "automatic": True, "where": where}
    active(team, [email()], key="all", name="Everybody")
    active(team, [email()], key="web", name="From the web", triggers=[trigger])
    lines = "Email,Source\n" + "".join(f"p{n}@example.org,{'web' if n % 2 else 'fair'}\n" for n in range(10))
    told = command(lines, "--dry-run")
    assert told["pipelines"] == {"all": {"name": "Everybody", "runs": 10}, "web": {"name": "From the web", "runs": 5}}
    assert told["enrolled"] == 15
    assert not Contact.objects.exists() and not PipelineRun.objects.exists() and not ContactImport.objects.exists()
    assert command(lines)["enrolled"] == 15


def test_the_command_remembers_and_forgets_columns(command: Command, team: Team) -> None:
    command("Wer,Nr\na@example.org,1\n", "--map", "Wer=email", "--map", "Nr=custom.external_id", "--key", "external_id")
    # The same titles, and the key with them.
    told = command("Nr,Wer\n1,b@example.org\n")
    assert told["updated"] == 1 and Contact.objects.get().email == "b@example.org"
    with pytest.raises(CommandError, match="No column holds"):
        command("Nr,Wer\n1,c@example.org\n", "--forget-mapping")
    assert not ImportMapping.objects.exists()


def _stopped_after(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of the batch after so many."""
    written = write_batch
    calls = iter(range(batches))

    def write(batch: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return written(batch)

    monkeypatch.setattr(apply, "write_batch", write)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    with monkeypatch.context() as patch:
        patch.setattr(apply, "BATCH", 3)
        yield patch


LINES = "Email,Stage\n" + "".join(
    f"{'nobody' if n % 4 == 3 else f'p{n}@example.org'},lead\n" for n in range(10)
) + "P0@example.org,lead\n"  # fmt: skip


def test_the_same_command_goes_on_where_it_was_stopped(
    command: Command, team: Team, small_batches: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    active(team, [email(delay=60)], key="welcome")
    with monkeypatch.context() as patch:
        _stopped_after(2, patch)
        with pytest.raises(CommandError, match=r"--resume \d+") as stopped:
            command(LINES)
        assert stopped.value.returncode == 130
    assert (newest().state, newest().position, Contact.objects.count()) == ("running", 6, 5)
    told = command(LINES)
    assert ContactImport.objects.count() == 1
    assert {name: told[name] for name in ("rows", "created", "skipped", "failed", "enrolled")} == {
        "rows": 11, "created": 8, "skipped": 1, "failed": 2, "enrolled": 8,
    }  # fmt: skip
    # Line 2 was read before the stop, and its repetition is known all the same.
    assert told["reasons"][12] == "Skipped: the same email as line 2."
    assert Contact.objects.count() == PipelineRun.objects.count() == 8
    assert not ImportKey.objects.exists()
    assert AuditEntry.objects.filter(action="contacts.import").count() == 1


def test_an_import_under_way_passes_over_who_is_erased_meanwhile(
    command: Command, team: Team, small_batches: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _stopped_after(2, patch)
        with pytest.raises(CommandError):
            command(LINES)
    erase_contact(contact=Contact.objects.get(email="p0@example.org"))
    erase_contact(contact=Contact.objects.create(team=team, email="P8@example.org"))
    told = command(LINES)
    assert not Contact.objects.filter(email__in=["p0@example.org", "P0@example.org", "p8@example.org"]).exists()
    assert {name: told[name] for name in ("rows", "created", "skipped", "failed")} == {
        "rows": 11, "created": 7, "skipped": 2, "failed": 2,
    }  # fmt: skip
    assert not [cells for cells in ImportProblem.objects.values_list("cells", flat=True) if "P0@example.org" in cells]
    assert "example.org" not in json.dumps(newest().erased)


def test_what_an_import_met_is_kept_under_a_key_of_its_own_and_forgotten_when_it_ends_early(
    team: Team, small_batches: pytest.MonkeyPatch
) -> None:
    first, second = brought(team, LINES), brought(team, LINES)
    work_imports(clock=timezone.now, seconds=0)
    ContactImport.objects.filter(pk=first.pk).update(leased_until=timezone.now() + timedelta(hours=1))
    work_imports(clock=timezone.now, seconds=0)
    marks = [set(ImportKey.objects.filter(upload=row).values_list("mark", flat=True)) for row in (first, second)]
    assert marks[0] and marks[1] and not marks[0] & marks[1]
    cancel(row=first, now=timezone.now())
    assert {key.upload_id for key in ImportKey.objects.all()} == {second.pk}
    ContactImport.objects.filter(pk=second.pk).update(attempts=ATTEMPTS)
    work_imports(clock=timezone.now, seconds=0)
    second.refresh_from_db()
    assert second.state == "failed" and not ImportKey.objects.exists()


def test_a_stopped_import_is_named_or_begun_anew(
    command: Command, small_batches: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _stopped_after(1, patch)
        with pytest.raises(CommandError):
            command(LINES)
    number = str(newest().pk)
    with pytest.raises(CommandError, match="has other contents"):
        command("Email\nother@example.org\n", "--resume", number)
    with pytest.raises(CommandError, match=rf"Stopped: {number} \(people.csv\)"):
        command(LINES, "--resume", "999999")
    assert command(LINES, "--restart")["updated"] == 0
    assert command(LINES, "--resume", number)["import"] == int(number)


def test_workers_leave_what_the_command_imports(team: Team, tmp_path: Path) -> None:
    source = MemoryBytes(b"Email\na@example.org\n")
    row = draft(
        team=team, table=inspect(source=source), name="x", choices=Choices(targets=["email"]), source="command"
    )  # fmt: skip
    begin_running(row=row, now=timezone.now())
    assert not imports_due(timezone.now()).exists()


def brought(team: Team, lines: str) -> ContactImport:
    row = bring(team=team, upload=csv_file(lines), by=None, source="api")
    start(row=row, now=timezone.now(), unchecked=True)
    return row


def test_a_worker_that_was_overtaken_writes_nothing_more(team: Team, small_batches: pytest.MonkeyPatch) -> None:
    row = brought(team, LINES)
    slow = claim(row=row, now=timezone.now())

    def overtake(done: int, total: int) -> None:
        if done == 3:
            claim(row=row, now=timezone.now())

    with pytest.raises(apply.Stopped):
        run(row=slow, clock=timezone.now, source=StoredBytes(row.file), progress=overtake)
    assert newest().position == 3 and Contact.objects.count() == 3


def test_reading_again_what_was_taken_keeps_others_away_however_long_it_takes(
    team: Team, small_batches: pytest.MonkeyPatch
) -> None:
    row = brought(team, LINES)
    for _ in range(3):
        work_imports(clock=timezone.now, seconds=0)
    # As of an import that an earlier release began.
    ContactImport.objects.update(place={})
    ImportKey.objects.all().delete()
    now = timezone.now()

    class Slow(BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            nonlocal now
            now += timedelta(seconds=4)
            assert not imports_due(now).exists()
            return super().read1(20)

        def seekable(self) -> bool:
            return False

    class Source:
        def open(self) -> BinaryIO:
            return Slow(LINES.encode())

    began = now
    run(row=claim(row=row, now=now), clock=lambda: now, source=Source())
    assert newest().state == "done" and now - began > LEASE
    assert (newest().counts["created"], newest().counts["skipped"]) == (8, 1)


QUOTED = "Email;Notiz\r\n" + "".join(f'p{n}@example.org;"grün {n},\r\n\n ""schön"" à"\r\n\r\n' for n in range(300))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("lines", [QUOTED, QUOTED.replace("\r\n", "\n"), QUOTED.replace("\r\n", "\r").rstrip()])
def test_a_bookmark_opens_a_file_at_the_next_row(encoding: str, lines: str) -> None:
    content = lines.encode(encoding)
    table = inspect(source=MemoryBytes(content), encoding=encoding)
    rows, after = list(table.rows()), None
    found = []
    while True:
        with table.reading(after) as reading:
            some = list(islice(reading, 7))
            after = reading.bookmark()
        found += some
        if len(some) < 7:
            break
    assert found == rows and len(rows) == 300


def test_what_was_taken_is_not_read_again(team: Team, small_batches: pytest.MonkeyPatch) -> None:
    lines = QUOTED.replace("Notiz", "First name").replace("\r\n\n", " ")
    row = brought(team, lines)
    work_imports(clock=timezone.now, seconds=0)
    assert newest().position == 3
    begin = lines.index("p3@")
    rest = MemoryBytes(b"?" * len(lines[:begin].encode()) + lines[begin:].encode())
    run(row=claim(row=row, now=timezone.now()), clock=timezone.now, source=rest)
    assert numbers_of(newest())["created"] == newest().position == Contact.objects.count() == 300
    assert not ImportProblem.objects.exists()


def test_a_pass_that_took_long_to_come_where_it_goes_on_takes_more_than_one_batch(
    team: Team, small_batches: pytest.MonkeyPatch
) -> None:
    brought(team, LINES)
    moments = iter([0.0, 40.0, 44.0, 46.0])
    small_batches.setattr(running, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    work_imports(clock=timezone.now, seconds=15)
    assert (newest().state, newest().position) == ("running", 9)


def test_a_check_that_is_interrupted_goes_on_too(team: Team, small_batches: pytest.MonkeyPatch) -> None:
    active(team, [email(delay=60)], key="welcome")
    row = bring(team=team, upload=csv_file(LINES), by=None, source="api")
    begin_check(row=row, choices=Choices(targets=row.targets))
    for _ in range(10):
        work_imports(clock=timezone.now, seconds=0)
    assert newest().state == "checked" and not Contact.objects.exists()
    assert numbers_of(newest()) == {"created": 8, "updated": 0, "skipped": 1, "failed": 2, "enrolled": 8}
    assert not ImportKey.objects.exists()
    assert newest().trial["pipelines"]["welcome"]["runs"] == 8


def test_an_import_that_cannot_go_on_gives_up_and_stops_no_other(
    team: Team, small_batches: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    bad, good = brought(team, LINES), brought(team, "Email\nfine@example.org\n")
    written = write_batch

    def write(batch: Any) -> Any:
        if len(batch.rows) > 1:
            raise RuntimeError("p0@example.org")
        return written(batch)

    monkeypatch.setattr(apply, "write_batch", write)
    for _ in range(ATTEMPTS + 2):
        work_imports(clock=timezone.now, seconds=60)
        ContactImport.objects.filter(state="running").update(leased_until=None)
    work_off()
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, good.state) == ("failed", "done")
    assert "stopped 5 times" in bad.problem and "RuntimeError" in caplog.text and "p0@" not in caplog.text


def test_a_batch_costs_the_same_with_few_rows_and_with_many(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    active(team, [email(delay=60)], key="welcome")
    monkeypatch.setattr(apply, "reset_queries", lambda: None)

    def cost(size: int) -> int:
        rows = "".join(f"s{size}n{n}@x.org,{size}{n},{size}-{n}\nnobody,,\n" for n in range(size))
        table = inspect(source=MemoryBytes(f"Email,Phone,External ID\n{rows}".encode()))
        choices = Choices(targets=["email", "phone", "custom.external_id"], key="custom.external_id")
        row = draft(team=team, table=table, name="x", choices=choices, source="command")
        begin_running(row=row, now=timezone.now())
        mine = claim(row=row, now=timezone.now())
        with CaptureQueriesContext(connection) as queries:
            run(row=mine, clock=timezone.now, source=table.source)
        return len(queries)

    cost(2)
    assert cost(5) == cost(20)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite plans by its indexes alone")
def test_the_database_knows_that_few_contacts_share_an_address(team: Team) -> None:
    Contact.objects.bulk_create(Contact(team=team, email=f"n{n}@example.org") for n in range(3000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE contacts_contact")
    plan = with_email(team=team, emails=[f"n{n}@example.org" for n in range(1000)]).explain(format="json")
    assert json.loads(plan)[0]["Plan"]["Plan Rows"] < 1500


def test_who_is_erased_stands_in_no_refused_row_and_others_stay(
    command: Command, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "CHUNK", 2)
    ann = contact(team, email="ann@example.org", phone="+49 (151) 998 877 66")
    mine = ["Ann@example.org", "Ann B <ANN@example.org>", "+49 151/99887766", "0049151-99887766"]
    others = [
        "joann@example.org", "ann@example.org.uk", "jo-ann@example.org", "+49 151 998877665",
        "ann@example.com",
    ]  # fmt: skip
    rows = "".join(f"{cell},Bob,emperor\n" for cell in [*others[:2], *mine, *others[2:]])
    command(f"Note,First name,Stage\n{rows}", "--unknown-as-custom")
    erase_contact(contact=ann)
    assert [row.cells[0] for row in ImportProblem.objects.order_by("line")] == others
